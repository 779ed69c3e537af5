"""Pasted composites and cameras: nothing beside the mask tells, and light behaves as light."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import gaussian_filter

from harmonize_composite.hdnet import HDNet, HDNetConfig
from harmonize_composite.training.data.photos import Photographs
from harmonize_composite.training.loop.objective import affine_part, emphasis, foreground_mse
from harmonize_composite.training.loop.widen import widen
from harmonize_composite.training.synthesis.camera import Camera, change_camera, to_linear, to_srgb
from harmonize_composite.training.synthesis.mixture import Mixture
from harmonize_composite.training.synthesis.paste import compose, inaccurate, place_in, take_apart, with_halo

NEUTRAL = {
    "exposure": 0.0,
    "gains": np.ones(3, np.float32),
    "contrast": 1.0,
    "saturation": 1.0,
    "haze": 0.0,
    "veil": np.ones(3, np.float32),
    "gradient": 0.0,
    "direction": 0.0,
}


def disc(height, width, radius=0.3):
    rows, columns = np.mgrid[:height, :width]
    return np.hypot(rows - height / 2, columns - width / 2) < radius * min(height, width)


def blurred_photograph(height, width, background=(40, 90, 200), thing=(220, 120, 30), sigma=0.5):
    """A disc of one colour on another, its edge mixed as lenses and resizing leave it."""
    inside = disc(height, width)
    share = gaussian_filter(inside.astype(np.float32), sigma)[..., None]
    picture = share * np.array(thing, np.float32) + (1 - share) * np.array(background, np.float32)
    return picture.round().astype(np.uint8), np.where(inside, np.uint8(255), np.uint8(0))


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(120, 260),
    width=st.integers(120, 260),
    size=st.sampled_from([48, 64, 96, 200]),
    shift=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_neither_layer_holds_a_trace_of_the_other(height, width, size, shift, seed):
    picture, mask = blurred_photograph(height, width)
    layers = take_apart(picture, mask, size, None, np.random.default_rng(seed), shift)
    background, thing = (np.array(colour, np.float32) / 255 for colour in ((40, 90, 200), (220, 120, 30)))
    assert np.abs(layers.background - background).max() < 0.02
    assert np.abs(layers.foreground[layers.mask] - thing).max() < 0.06  # a pixel from the edge, the blur's last tail


def test_the_rim_stays_where_it_is_to_be_kept():
    picture, mask = blurred_photograph(160, 160)
    layers = take_apart(picture, mask, 160, None, np.random.default_rng(0), keep_rim=True)
    assert np.array_equal(layers.mask, mask > 0)
    whole = np.where(layers.mask[..., None], layers.foreground, layers.background)
    np.testing.assert_allclose(whole, picture / 255, atol=1e-5)


def test_truth_and_composite_share_all_but_the_objects_colours():
    picture, mask = blurred_photograph(180, 200)
    layers = take_apart(picture, mask, 96, None, np.random.default_rng(0))
    green = np.tile(np.float32([0, 1, 0]), (layers.mask.sum(), 1))
    composite, real = compose(layers, green), compose(layers)
    assert (composite[~layers.mask] == real[~layers.mask]).all()
    assert (composite[layers.mask] == (0, 255, 0)).all()


def test_an_object_too_thin_to_lose_its_edge_gives_no_layers():
    mask = np.zeros((160, 160), np.uint8)
    mask[80:82] = 255
    assert take_apart(np.zeros((160, 160, 3), np.uint8), mask, 64, None, np.random.default_rng(0)) is None
    everything = np.full_like(mask, 255)
    assert take_apart(np.zeros((160, 160, 3), np.uint8), everything, 64, None, np.random.default_rng(0)) is None


def test_a_halo_touches_the_rim_alone():
    picture, mask = blurred_photograph(150, 150)
    layers = take_apart(picture, mask, 64, None, np.random.default_rng(0))
    changed = with_halo(layers, np.float32([1, 1, 1]), np.random.default_rng(1))
    differs = (changed.foreground != layers.foreground).any(-1)
    assert differs.any() and not (differs & ~layers.rim).any()


@given(st.integers(0, 2**31))
def test_an_inaccurate_mask_is_off_by_one_pixel(seed):
    mask = disc(40, 50)
    changed = inaccurate(mask, np.random.default_rng(seed))
    assert changed.any() and not changed.all()
    edge = gaussian_filter(mask.astype(float), 0.5)
    assert not ((changed != mask) & ((edge < 1e-3) | (edge > 1 - 1e-3))).any()


def test_the_transfer_function_is_srgbs():
    # IEC 61966-2-1: code 188 of 255 is about half the light, 0.04045 the end of the linear part
    assert to_linear(np.float32([188 / 255]))[0] == pytest.approx(0.5029, abs=1e-3)
    values = np.linspace(0, 1, 101, dtype=np.float32)
    assert to_srgb(to_linear(values)) == pytest.approx(values, abs=1e-5)


def test_a_neutral_camera_changes_nothing():
    colours = np.random.default_rng(0).random((100, 3)).astype(np.float32)
    assert Camera(**NEUTRAL)(colours) == pytest.approx(colours, abs=1e-5)


def test_a_stop_doubles_the_light():
    colours = np.random.default_rng(0).uniform(0.05, 0.6, (100, 3)).astype(np.float32)
    brighter = Camera(**NEUTRAL | {"exposure": 1.0})(colours)
    assert to_linear(brighter) == pytest.approx(2 * to_linear(colours), rel=1e-4)


def test_a_gradient_runs_over_the_object():
    place = place_in(np.ones((3, 5), bool))
    assert place.min(0).tolist() == [-1, -1] and place.max(0).tolist() == [1, 1]
    grey = np.full((15, 3), 0.4, np.float32)
    light = to_linear(Camera(**NEUTRAL | {"gradient": 2.0, "direction": np.pi / 2})(grey, place))[:, 0].reshape(3, 5)
    stops = np.log2(light / light[1])
    assert stops[0] == pytest.approx(-1, abs=1e-3) and stops[2] == pytest.approx(1, abs=1e-3)


@given(st.integers(0, 2**31), st.sampled_from([0.6, 1.0, 2.2]))
def test_changes_by_a_camera_can_be_seen_and_undone(seed, boldness):
    rng = np.random.default_rng(seed)
    colours = rng.uniform(0.1, 0.9, (200, 3)).astype(np.float32)
    changed = change_camera(colours, rng.uniform(-1, 1, (200, 2)).astype(np.float32), rng, boldness)
    if changed is not None:
        assert changed.min() >= 0 and changed.max() <= 1
        assert np.sqrt(np.mean((changed - colours) ** 2)) >= 0.01
        assert (changed == 1).any(1).mean() <= 0.25


def test_pasted_pairs_are_the_same_for_the_same_seed_and_differ_inside_only(tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for number in range(8):
        picture, mask = blurred_photograph(160, 200, thing=(200, 20 * number, 60))
        Image.fromarray(picture).save(tmp_path / "images" / f"{number}.png")
        Image.fromarray(mask).save(tmp_path / "masks" / f"{number}.png")
    source = Photographs(tmp_path, mixture=Mixture(untouched=0, pasted=1))
    for seed in range(12):
        pair, again = (source.sample(0, np.random.default_rng(seed), 64) for _ in range(2))
        assert all((getattr(pair, name) == getattr(again, name)).all() for name in vars(pair))
        assert pair.composite.shape == pair.real.shape == (64, 64, 3)
        assert (pair.composite == pair.real)[pair.mask == 0].all()
        assert set(np.unique(pair.mask)) == {0, 255}


def test_emphasis_lets_what_is_far_off_count_more():
    mask = torch.ones(2, 1, 16, 16)
    real = torch.zeros(2, 3, 16, 16)
    composite = torch.stack([torch.full((3, 16, 16), 0.1), torch.full((3, 16, 16), 0.4)])
    weights = emphasis(composite, real, mask, 0.5)
    # losses 0.01 and 0.16, each with 0.02 added, over 0.08
    assert weights == pytest.approx(np.sqrt([0.03 / 0.08, 0.18 / 0.08]), rel=1e-5)
    loss = foreground_mse(composite, real, mask, weights)
    assert float(loss) == pytest.approx(float(weights @ torch.tensor([0.01, 0.16])) / 2, rel=1e-5)


@pytest.mark.parametrize(
    ("preset", "context"),
    [
        ("hdnet-lite", {}),
        ("base+ld", {}),
        ("learned-mask", {}),
        ("hdnet-lite", {"scene_context": 16}),
        ("hdnet-lite", {"semantic_context": 16}),
    ],
)
def test_a_wider_network_computes_the_same(preset, context):
    torch.manual_seed(0)
    config = HDNetConfig.preset(preset)
    config = HDNetConfig(**{**vars(config), "base_channels": 4, **context})
    network = HDNet(config)
    for name, parameter in network.named_parameters():
        if "encoder.stages" not in name:  # fifty layers deep: too much would come out
            torch.nn.init.normal_(parameter, 0, 0.2)
    wide = widen(network, 2)
    assert wide.config.base_channels == 8
    composite, mask = torch.rand(1, 3, 40, 48) * 2 - 1, torch.zeros(1, 1, 40, 48)
    mask[..., 8:24, 8:30] = 1
    assert torch.allclose(wide(composite, mask), network(composite, mask), atol=1e-4)


def test_the_affine_part_is_the_least_squares_map():
    rng = np.random.default_rng(0)
    composite, mask = torch.rand(2, 3, 20, 24) * 2 - 1, torch.zeros(2, 1, 20, 24)
    mask[:, :, 4:15, 5:20] = 1
    output = torch.from_numpy(rng.uniform(-1, 1, (2, 3, 20, 24)).astype(np.float32))
    mapped = affine_part(output, composite, mask)
    for image, target, got in zip(composite, output, mapped):
        inside = mask[0, 0] > 0
        colours = np.c_[image[:, inside].T.numpy(), np.ones(int(inside.sum()))]
        expected = colours @ np.linalg.lstsq(colours, target[:, inside].T.numpy(), rcond=None)[0]
        assert got[:, inside].T.numpy() == pytest.approx(expected, abs=0.03)  # the ridge's share
    assert torch.allclose(affine_part(composite, composite, mask), composite, atol=1e-5)
