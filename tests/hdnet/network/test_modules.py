"""The network's modules compute the equations of the oracle, whatever the size, the mask and the batch."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import oracle
from harmonize_composite.hdnet.network.global_dynamics import GlobalDynamics
from harmonize_composite.hdnet.network.local_dynamics import LocalDynamics, nearest_keys
from harmonize_composite.hdnet.network.rain import RAIN, instance_norm
from harmonize_composite.hdnet.network.regions import Regions

F64 = torch.float64
a_few = settings(max_examples=40, deadline=None)

MASKS = {
    "random": lambda noise: (noise > 0.6).to(noise),
    "soft": lambda noise: noise,
    "rare foreground": lambda noise: (noise > 0.97).to(noise),
    "rare background": lambda noise: (noise > 0.03).to(noise),
    "no foreground": torch.zeros_like,
    "no background": torch.ones_like,
    "first picture empty": lambda noise: (noise > 0.5).to(noise).index_fill(0, torch.tensor([0]), 0.0),
    "first picture full": lambda noise: (noise > 0.5).to(noise).index_fill(0, torch.tensor([0]), 1.0),
}


@st.composite
def feature_maps(draw):
    """Features, the oracle's keywords for mask, valid part and reference, and the same as `Regions`."""
    batch, channels = draw(st.integers(1, 3)), draw(st.integers(1, 5))
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    torch.manual_seed(draw(st.integers(0, 2**31)))
    x = torch.randn(batch, channels, height, width, dtype=F64) * 2 + 0.5
    mask = MASKS[draw(st.sampled_from(sorted(MASKS)))](torch.rand(batch, 1, height, width, dtype=F64))
    valid = draw(st.integers(max(1, height - 3), height)), draw(st.integers(max(1, width - 3), width))
    reference = None
    if draw(st.booleans()):
        reference = (torch.rand(batch, 1, height, width, dtype=F64) > draw(st.sampled_from([0.3, 0.9]))).to(F64)
    keywords = {"mask": mask, "valid": valid, "reference": reference}
    return x, keywords, Regions.from_mask(mask, valid, reference)


def randomised(module):
    """Parameters of a size that shows every mistake, in float64."""
    module = module.to(F64)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, 0, 0.5)
    return module, dict(module.state_dict())


def assert_equal(ours, theirs, tolerance=1e-9):
    """Padding included: it continues the region beside it."""
    assert torch.isfinite(ours).all()
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


@a_few
@given(feature_maps())
def test_instance_norm_counts_only_the_picture(case):
    x, keywords, regions = case
    assert_equal(instance_norm(x, regions), oracle.instance_norm(x, keywords["valid"]))


def test_instance_norm_is_that_of_pytorch():
    x = torch.randn(2, 3, 7, 5) * 3 + 1
    ours = instance_norm(x, Regions.from_mask(torch.zeros(2, 1, 7, 5)))
    torch.testing.assert_close(ours, torch.nn.functional.instance_norm(x, eps=1e-5), rtol=1e-5, atol=1e-5)


@a_few
@given(feature_maps())
def test_rain_gives_the_foreground_the_statistics_of_the_background(case):
    x, keywords, regions = case
    module, parameters = randomised(RAIN(x.shape[1]))
    with torch.no_grad():
        assert_equal(module(x, regions), oracle.rain(x, parameters=parameters, **keywords), 1e-6)


def test_rain_starts_by_matching_mean_and_deviation_of_the_regions():
    torch.manual_seed(0)
    x, mask = torch.randn(1, 3, 16, 16, dtype=F64), torch.zeros(1, 1, 16, 16, dtype=F64)
    mask[..., 4:12, 4:12] = 1
    x = torch.where(mask > 0, 3 * x - 2, x)
    with torch.no_grad():
        y = RAIN(3).to(F64)(x, Regions.from_mask(mask))
    inside, outside = y[..., mask[0, 0] > 0], y[..., mask[0, 0] == 0]
    # the background leaves with mean 0 and deviation 1; the foreground with the background's own
    background = x[..., mask[0, 0] == 0]
    torch.testing.assert_close(outside.mean(-1), torch.zeros(1, 3, dtype=F64), atol=1e-4, rtol=0)
    torch.testing.assert_close(outside.std(-1, correction=0), torch.ones(1, 3, dtype=F64), atol=1e-4, rtol=0)
    torch.testing.assert_close(inside.mean(-1), background.mean(-1), atol=1e-4, rtol=0)
    torch.testing.assert_close(inside.std(-1, correction=0), background.std(-1, correction=0), atol=1e-4, rtol=0)


@pytest.mark.parametrize("offset", [1.0, 10.0, 50.0])
@pytest.mark.parametrize("contrast", [0.0, 1e-3, 1e-2, 1.0])
def test_float32_statistics_survive_flat_bright_regions(offset, contrast):
    """Studio shots on white: the deviation must not drown in the rounding of the mean."""
    torch.manual_seed(0)
    x = torch.randn(1, 4, 64, 64, dtype=F64) * contrast + offset
    x = x.float()
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 20:40, 20:40] = 1
    regions = Regions.from_mask(mask)
    module = RAIN(4)
    exact = oracle.rain(x.double(), mask, {n: p.double() for n, p in module.state_dict().items()})
    with torch.no_grad():
        # both subtract a mean that float32 cannot hold more exactly than this
        rounding = 1e-4 + 32 * torch.finfo(torch.float32).eps * offset / (contrast**2 + oracle.EPSILON) ** 0.5
        assert (module(x, regions) - exact).abs().max() < rounding
        exact = oracle.instance_norm(x.double())
        assert (instance_norm(x, regions) - exact).abs().max() < rounding


@a_few
@given(feature_maps(), st.integers(1, 9), st.sampled_from(["cosine", "dot"]))
def test_local_dynamics_take_the_nearest_background_features(case, neighbours, similarity):
    x, keywords, regions = case
    module, parameters = randomised(LocalDynamics(x.shape[1], neighbours, "paper", similarity))
    expected = oracle.local_dynamics_paper(
        x, parameters["linear.weight"], parameters["linear.bias"], k=neighbours, similarity=similarity, **keywords
    )
    with torch.no_grad():
        output = module(x, regions)
    if similarity == "cosine" and x.shape[1] == 1:  # scalars: every cosine is 1 or -1, all neighbours tie
        assert torch.isfinite(output).all()
    else:
        assert_equal(output, expected)


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.parametrize("neighbours", range(1, 10))
def test_local_dynamics_mix_as_many_neighbours_as_asked(neighbours, similarity):
    torch.manual_seed(neighbours)
    x = torch.randn(2, 4, 7, 6, dtype=F64)
    mask = (torch.rand(2, 1, 7, 6, dtype=F64) > 0.5).to(F64)
    module, parameters = randomised(LocalDynamics(4, neighbours, "paper", similarity))
    weight, bias = parameters["linear.weight"], parameters["linear.bias"]
    with torch.no_grad():
        output = module(x, Regions.from_mask(mask))
    assert_equal(output, oracle.local_dynamics_paper(x, weight, bias, mask, neighbours, similarity))


@a_few
@given(feature_maps())
def test_published_local_dynamics_are_those_of_the_code(case):
    x, keywords, regions = case
    module, parameters = randomised(LocalDynamics(x.shape[1], 1, "published"))
    weight, bias = parameters["linear.weight"], parameters["linear.bias"]
    with torch.no_grad():
        assert_equal(module(x, regions), oracle.local_dynamics_published(x, weight, bias, **keywords))


@pytest.mark.parametrize("neighbours", [1, 4])
def test_local_dynamics_do_not_depend_on_how_the_search_is_cut_into_blocks(monkeypatch, neighbours):
    from harmonize_composite.hdnet.network import local_dynamics

    torch.manual_seed(0)
    x = torch.randn(2, 4, 12, 10, dtype=F64)
    regions = Regions.from_mask((torch.rand(2, 1, 12, 10) > 0.4).float())
    module, _ = randomised(LocalDynamics(4, neighbours))
    with torch.no_grad():
        whole = module(x, regions)
        for queries, keys in [(1, 1), (7, 5), (3, 200)]:
            monkeypatch.setattr(local_dynamics, "QUERIES", queries)
            monkeypatch.setattr(local_dynamics, "KEYS", keys)
            torch.testing.assert_close(module(x, regions), whole)


@pytest.mark.parametrize("mask", ["no foreground", "no background"])
@pytest.mark.parametrize("neighbours", [1, 9])
def test_local_dynamics_leave_features_alone_where_a_region_is_missing(mask, neighbours):
    x = torch.randn(2, 3, 5, 5)
    regions = Regions.from_mask(MASKS[mask](torch.rand(2, 1, 5, 5)))
    assert torch.equal(LocalDynamics(3, neighbours)(x, regions), x)


@pytest.mark.parametrize("mode", ["paper", "published"])
def test_local_dynamics_leave_the_background_alone(mode):
    x = torch.randn(2, 3, 6, 7)
    mask = (torch.rand(2, 1, 6, 7) > 0.5).float()
    y = LocalDynamics(3, 1, mode)(x, Regions.from_mask(mask))
    outside = (mask == 0).expand_as(x)
    assert torch.equal(y[outside], x[outside])
    assert not torch.equal(y[~outside], x[~outside])


@a_few
@given(feature_maps())
def test_global_dynamics_give_each_region_its_own_kernel(case):
    x, keywords, regions = case
    module, parameters = randomised(GlobalDynamics(x.shape[1]))
    with torch.no_grad():
        expected = oracle.global_dynamics_mask(x, keywords["mask"], parameters, keywords["valid"])
        assert_equal(module(x, regions), expected)


@a_few
@given(feature_maps())
def test_learned_global_dynamics_choose_by_the_guide_and_learn_through_the_softmax(case):
    x, keywords, regions = case
    module, parameters = randomised(GlobalDynamics(x.shape[1], learned=True))
    parameters = {name: value.clone().requires_grad_() for name, value in parameters.items()}
    ours, theirs = module(x, regions), oracle.global_dynamics_learned(x, parameters, keywords["valid"])
    assert_equal(ours, theirs)
    weights = torch.randn_like(x)
    (ours * weights).sum().backward()
    (theirs * weights).sum().backward()
    for name, parameter in module.named_parameters():
        torch.testing.assert_close(parameter.grad, parameters[name].grad, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("mask", ["random", "no foreground", "no background", "first picture full"])
@pytest.mark.parametrize(
    "build",
    [
        RAIN,
        lambda channels: LocalDynamics(channels, 1),
        lambda channels: LocalDynamics(channels, 3),
        lambda channels: LocalDynamics(channels, 9, similarity="dot"),
        lambda channels: LocalDynamics(channels, 1, "published"),
        GlobalDynamics,
    ],
    ids=["rain", "local, 1 neighbour", "local, 3 neighbours", "local, dot product", "local, published", "global"],
)
def test_gradients_are_those_of_the_function(build, mask):
    torch.manual_seed(3)
    module, parameters = randomised(build(2))
    x = torch.randn(2, 2, 3, 4, dtype=F64, requires_grad=True)
    regions = Regions.from_mask(MASKS[mask](torch.rand(2, 1, 3, 4, dtype=F64)), (3, 3))

    def function(x, *values):
        return torch.func.functional_call(module, dict(zip(parameters, values)), (x, regions))

    values = [value.clone().requires_grad_() for value in parameters.values()]
    assert torch.autograd.gradcheck(function, (x, *values), check_undefined_grad=False)


def test_instance_norm_gradients_are_those_of_the_function():
    torch.manual_seed(0)
    x = torch.randn(2, 2, 3, 4, dtype=F64, requires_grad=True)
    regions = Regions.from_mask(torch.zeros(2, 1, 3, 4), (2, 3))
    assert torch.autograd.gradcheck(lambda x: instance_norm(x, regions), (x,))


@pytest.mark.parametrize("mask", sorted(MASKS))
@pytest.mark.parametrize("build", [RAIN, LocalDynamics, GlobalDynamics])
def test_gradients_stay_finite_on_constant_features(build, mask):
    """Black pictures happen; so do regions of one colour."""
    for value in (0.0, 1.0):
        x = torch.full((2, 3, 4, 5), value, requires_grad=True)
        module = build(3)
        y = module(x, Regions.from_mask(MASKS[mask](torch.rand(2, 1, 4, 5))))
        y.square().sum().backward()
        assert torch.isfinite(y).all()
        assert torch.isfinite(x.grad).all()
        assert all(torch.isfinite(p.grad).all() for p in module.parameters() if p.grad is not None)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("build", [RAIN, LocalDynamics])
def test_statistics_are_taken_in_float32_under_autocast(build, dtype):
    torch.manual_seed(0)
    module = build(3)
    x = (torch.randn(1, 3, 32, 32) * 100).to(dtype)
    regions = Regions.from_mask((torch.rand(1, 1, 32, 32) > 0.5).float())
    with torch.no_grad(), torch.autocast("cpu", dtype):
        y = module(x, regions)
    with torch.no_grad():
        exact = module(x.float(), regions)
    assert y.dtype == dtype
    torch.testing.assert_close(y.float(), exact, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("queries", [1, 300])
@pytest.mark.parametrize("keys", [1, 63, 64, 65, 4097, 4160, 9001])
def test_nearest_keys_are_those_of_the_whole_matrix_whatever_the_blocks(queries, keys):
    torch.manual_seed(keys)
    left, right = torch.randn(queries, 16, dtype=torch.float64), torch.randn(keys, 16, dtype=torch.float64)
    similarity = left @ right.T
    assert torch.equal(nearest_keys(left, right, 1)[:, 0], similarity.argmax(1))
    most = min(3, keys)
    assert torch.equal(nearest_keys(left, right, most), similarity.topk(most, 1).indices)
