"""The network is the oracle's, for every variant, on any size, and its parts are those of the paper."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import oracle
from harmonize_composite.hdnet import HDNet, HDNetConfig
from harmonize_composite.hdnet.network.initialisation import near_identity_

PRESETS = ["hdnet", "hdnet-lite", "base", "base+ld", "base+mgd", "learned-mask"]
VARIANTS = [("paper", 1), ("paper", 2), ("paper", 5), ("paper", 9), ("published", 1), (None, 1)]


def random_network(config, seed=0):
    """Parameters large enough to show every mistake, small enough to keep the tanh away from its ends."""
    torch.manual_seed(seed)
    network = HDNet(config).double().eval().requires_grad_(False)
    for parameter in network.parameters():
        fan = parameter[0].numel() if parameter.dim() > 1 else 4
        torch.nn.init.normal_(parameter, 0, fan**-0.5)
    network.head.weight *= 0.2
    return network


def random_mask(batch, height, width, kind):
    noise = torch.rand(batch, 1, height, width, dtype=torch.float64)
    if kind == "blob":  # left and top half: may vanish or fill everything at an eighth of the size
        return (torch.ones_like(noise) * (torch.arange(width) < width * 0.6)).clone()
    return {
        "random": (noise > 0.5).to(noise),
        "soft": noise,
        "none": torch.zeros_like(noise),
        "all": torch.ones_like(noise),
        "a few points": (noise > 0.98).to(noise),
        "all but a few points": (noise < 0.98).to(noise),
    }[kind]


MASKS = ["blob", "random", "soft", "none", "all", "a few points", "all but a few points"]


def assert_equals_the_oracle(network, composite, mask, reference=None):
    """With gradients and without, where much is computed in another way."""
    config = network.config
    expected = oracle.network(
        composite,
        mask,
        network.state_dict(),
        local_dynamics=config.local_dynamics,
        neighbours=config.neighbours,
        global_dynamics=config.global_dynamics,
        reference=reference,
    )
    for gradients in (True, False):
        with torch.set_grad_enabled(gradients):
            output = network(composite, mask, reference)
        assert output.shape == composite.shape
        assert output.abs().max() <= 1
        torch.testing.assert_close(output, expected, rtol=0, atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(1, 33), st.integers(1, 33)),
    batch=st.integers(1, 2),
    channels=st.sampled_from([3, 4]),
    variant=st.sampled_from(VARIANTS),
    global_dynamics=st.sampled_from(["mask", "learned", None]),
    mask=st.sampled_from(MASKS),
    with_reference=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_the_network_computes_the_papers_equations(
    size, batch, channels, variant, global_dynamics, mask, with_reference, seed
):
    network = random_network(HDNetConfig(2, channels, *variant, global_dynamics), seed)
    composite = torch.rand(batch, 3, *size, dtype=torch.float64) * 2 - 1
    mask = random_mask(batch, *size, mask)
    assert_equals_the_oracle(network, composite, mask, random_mask(batch, *size, "random") if with_reference else None)


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize("global_dynamics", ["mask", "learned", None])
def test_every_variant_computes_the_papers_equations(channels, variant, global_dynamics):
    network = random_network(HDNetConfig(2, channels, *variant, global_dynamics))
    composite = torch.rand(2, 3, 36, 45, dtype=torch.float64) * 2 - 1
    assert_equals_the_oracle(network, composite, random_mask(2, 36, 45, "blob"))


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (7, 3), (8, 8), (9, 9), (15, 17), (24, 1), (6, 200)])
@pytest.mark.parametrize("mask", MASKS)
def test_any_size_and_any_mask_give_a_picture(size, mask):
    network = random_network(HDNetConfig(base_channels=2, neighbours=3)).float()
    composite = torch.rand(2, 3, *size) * 2 - 1
    mask = random_mask(2, *size, mask).float()
    for reference in (None, torch.zeros_like(mask), torch.rand_like(mask)):
        output = network(composite, mask, reference)
        assert output.shape == composite.shape
        assert torch.isfinite(output).all()
        assert output.abs().max() <= 1


@pytest.mark.parametrize("colour", [None, 0.9])
@pytest.mark.parametrize("size", [8, 16])
def test_a_reference_of_a_few_pixels_does_not_upset_the_background(colour, size):
    """Divided by the deviation of one position, or of a white wall, the other background would explode."""
    network = random_network(HDNetConfig(base_channels=2)).float()
    composite = torch.rand(1, 3, 64, 64) * 2 - 1
    reference = torch.zeros(1, 1, 64, 64)
    reference[..., 48 : 48 + size, 48 : 48 + size] = 1
    if colour is not None:
        composite = torch.where(reference > 0, colour, composite)
    largest = []
    for layer in network.decoder:
        layer.register_forward_hook(lambda layer, inputs, output: largest.append(output.abs().max()))
    network(composite, random_mask(1, 64, 64, "blob").float(), reference)
    # normalised features, whose gains here are about 1
    assert max(largest) < 100


@pytest.mark.parametrize("colour", [-1.0, 0.0, 1.0])
@pytest.mark.parametrize("mask", MASKS)
def test_pictures_of_one_colour_give_a_picture_and_gradients(colour, mask):
    network = HDNet(HDNetConfig(base_channels=2))
    output = network(torch.full((1, 3, 17, 24), colour), random_mask(1, 17, 24, mask).float())
    output.square().sum().backward()
    assert torch.isfinite(output).all()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_picture_is_harmonized_alike_alone_and_in_a_batch(preset):
    shape = HDNetConfig.preset(preset)
    network = random_network(HDNetConfig(2, 4, shape.local_dynamics, shape.neighbours, shape.global_dynamics))
    composite = torch.rand(3, 3, 20, 28, dtype=torch.float64) * 2 - 1
    mask = torch.cat([random_mask(1, 20, 28, kind) for kind in ("blob", "none", "all")])
    together = network(composite, mask)
    for n in range(3):
        torch.testing.assert_close(network(composite[n : n + 1], mask[n : n + 1])[0], together[n])


@pytest.mark.parametrize(
    ("preset", "parameters"),
    # network.md counts 10,414,677 and 652,965 with the guides that the published code never uses
    [("hdnet", 10_414_677 - 902), ("hdnet-lite", 652_965 - 230), ("learned-mask", 10_414_677)],
)
def test_the_number_of_parameters_is_the_papers(preset, parameters):
    with torch.device("meta"):
        network = HDNet(HDNetConfig.preset(preset))
    assert sum(p.numel() for p in network.parameters()) == parameters


def test_the_ablations_lack_what_they_say():
    names = {}
    for preset in PRESETS:
        with torch.device("meta"):
            names[preset] = {name.partition(".")[0] for name in HDNet(HDNetConfig.preset(preset)).state_dict()}
    base = {"encoder", "decoder", "head"}
    assert names["base"] == base
    assert names["base+ld"] == base | {"local_dynamics"}
    assert names["base+mgd"] == base | {"global_dynamics"}
    for whole in ("hdnet", "hdnet-lite", "learned-mask"):
        assert names[whole] == base | {"local_dynamics", "global_dynamics"}


@pytest.mark.parametrize("preset", PRESETS)
def test_every_parameter_learns(preset):
    shape = HDNetConfig.preset(preset)
    network = HDNet(HDNetConfig(4, 4, shape.local_dynamics, shape.neighbours, shape.global_dynamics))
    torch.manual_seed(0)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, 0, 0.1)
    composite, mask = torch.rand(2, 3, 32, 32) * 2 - 1, random_mask(2, 32, 32, "blob").float()
    network(composite, mask).square().sum().backward()
    still = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert not still


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_under_autocast_stays_near(dtype, gradients):
    torch.manual_seed(0)
    network = HDNet(HDNetConfig(8, local_dynamics=None)).eval().requires_grad_(False)
    near_identity_(network)
    composite, mask = torch.rand(1, 3, 40, 40) * 2 - 1, random_mask(1, 40, 40, "blob").float()
    exact = network(composite, mask)
    with torch.set_grad_enabled(gradients), torch.autocast("cpu", dtype):
        near = network(composite, mask)
    torch.testing.assert_close(near.float(), exact, rtol=0, atol=0.05)


def test_a_near_identity_start_returns_the_composite():
    torch.manual_seed(0)
    network = HDNet(HDNetConfig.preset("hdnet-lite")).eval().requires_grad_(False)
    near_identity_(network)
    composite, mask = torch.rand(1, 3, 64, 64) * 1.6 - 0.8, random_mask(1, 64, 64, "blob").float()
    assert (network(composite, mask) - composite).abs().mean() < 0.1


def test_inputs_are_never_written():
    network = HDNet(HDNetConfig(base_channels=2, local_dynamics="published")).eval()
    composite, mask = torch.rand(1, 3, 16, 16) * 2 - 1, random_mask(1, 16, 16, "soft").float()
    before = composite.clone(), mask.clone()
    with torch.no_grad():
        network(composite, mask)
    assert torch.equal(composite, before[0])
    assert torch.equal(mask, before[1])


@pytest.mark.parametrize(
    ("composite", "mask"),
    [
        ((3, 8, 8), (1, 8, 8)),
        ((1, 4, 8, 8), (1, 1, 8, 8)),
        ((1, 3, 8, 8), (1, 1, 8, 7)),
        ((2, 3, 8, 8), (1, 1, 8, 8)),
        ((1, 3, 8, 8), (1, 8, 8)),
        ((1, 3, 8, 8), (1, 3, 8, 8)),
    ],
)
def test_shapes_that_do_not_belong_together_are_refused(composite, mask):
    with pytest.raises(ValueError, match=r"must have the shape"):
        HDNet(HDNetConfig(base_channels=2))(torch.zeros(composite), torch.zeros(mask))


@pytest.mark.parametrize(
    "wrong",
    [
        {"base_channels": 0},
        {"base_channels": 8.5},
        {"in_channels": 5},
        {"local_dynamics": "Paper"},
        {"neighbours": 0},
        {"neighbours": 10},
        {"neighbours": 1.5},
        {"global_dynamics": "masks"},
        {"local_dynamics": "published", "neighbours": 2},
    ],
    ids=str,
)
def test_a_configuration_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match=next(reversed(wrong))):
        HDNetConfig(**wrong)


def test_an_unknown_preset_lists_the_known_ones():
    with pytest.raises(ValueError, match="hdnet-lite"):
        HDNetConfig.preset("hdnet-large")
