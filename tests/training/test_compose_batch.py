"""Composites of a batch are those that numpy makes of single pictures."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import binary_dilation, binary_erosion

from harmonize_composite.training.data.photos import HALO, SHIFTED, Photographs
from harmonize_composite.training.sample import Sample, to_mask
from harmonize_composite.training.synthesis import compose_batch as module
from harmonize_composite.training.synthesis.augment import NONE, Augmentation
from harmonize_composite.training.synthesis.camera import Camera, change_camera
from harmonize_composite.training.synthesis.compose_batch import compose_batch, inaccurate_masks, pack
from harmonize_composite.training.synthesis.mixture import Mixture
from harmonize_composite.training.synthesis.paste import (
    Layers,
    compose,
    inaccurate,
    place_in,
    resize_inside,
    take_apart,
    with_halo,
)
from harmonize_composite.training.synthesis.recolour import recolour
from photographs import assert_same

seeds = st.integers(0, 2**31)


def random_layers(seed, size=16):
    rng = np.random.default_rng(seed)
    foreground, background = rng.random((2, size, size, 3)).astype(np.float32)
    mask = rng.random((size, size)) < rng.uniform(0.1, 0.9)
    mask[3:7, 5:9] = True
    return Layers(foreground, background, mask, mask & False)


def composed(packed, size, untouched=0.0, seed=0):
    batch = compose_batch(torch.from_numpy(np.stack(packed)), size, untouched, torch.Generator().manual_seed(seed))
    return [each.permute(0, 2, 3, 1).numpy() for each in batch]


def to_range(picture):
    """Uint8 as `pairs.collate` brings it into -1..1."""
    return picture.astype(np.float32) / 127.5 - 1


@pytest.fixture(scope="module", autouse=True)
def plain():
    """Without the changes that hit some of the composites by chance."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "OTHER_LIGHT", 0.0)
        patch.setattr(module, "INACCURATE", 0.0)
        yield patch


@settings(max_examples=30, deadline=None)
@given(seed=seeds)
def test_truth_and_recoloured_composites_are_numpys(seed):
    many = [random_layers([seed, number]) for number in range(3)]
    others = [np.random.default_rng([seed, 9, number]).random((16, 16, 3)).astype(np.float32) for number in range(3)]
    composite, shown, real = composed([pack(layers, other) for layers, other in zip(many, others)], 16, seed=seed)
    for number, (layers, other) in enumerate(zip(many, others)):
        np.testing.assert_allclose(real[number], to_range(compose(layers)), atol=1e-6)
        np.testing.assert_allclose(composite[number], to_range(compose(layers, other[layers.mask])), atol=1e-6)
        np.testing.assert_array_equal(shown[number, ..., 0], layers.mask)


@settings(max_examples=20, deadline=None)
@given(seed=seeds)
def test_where_there_are_no_other_colours_a_camera_changes_the_object_alone(seed):
    layers = random_layers(seed)
    composite, shown, real = composed([pack(layers)] * 4, 16, seed=seed)
    np.testing.assert_array_equal((composite != real).any(-1) & (shown[..., 0] == 0), False)
    changed = [np.abs(a - b)[layers.mask].mean() for a, b in zip(composite, real)]
    assert sum(change > 0.005 for change in changed) >= 3  # one may have found no plausible camera
    assert len({change for change in changed if change}) >= 3  # and each has another one


def test_untouched_composites_are_the_truth():
    composite, _, real = composed([pack(random_layers(seed)) for seed in range(4)], 16, untouched=1.0)
    np.testing.assert_array_equal(composite, real)


def test_other_light_reaches_the_truth_and_the_background_too(plain):
    with plain.context() as patch:
        patch.setattr(module, "OTHER_LIGHT", 1.0)
        layers = random_layers(3)
        composite, _, real = composed([pack(layers)] * 3, 16, untouched=1.0)
    np.testing.assert_array_equal(composite, real)
    for picture in real:
        difference = np.abs(picture - to_range(compose(layers)))
        assert difference[layers.mask].mean() > 0.01 and difference[~layers.mask].mean() > 0.01


def test_what_an_inaccurate_mask_misses_is_not_to_be_harmonized(plain):
    with plain.context() as patch:
        patch.setattr(module, "INACCURATE", 1.0)
        layers = random_layers(5)
        composite, shown, real = composed([pack(layers)] * 6, 16)
    for mask, one, truth in zip(shown[..., 0] > 0, composite, real):
        assert (mask != layers.mask).any()
        np.testing.assert_array_equal(one[~mask], truth[~mask])


@settings(deadline=None)
@given(mask=st.integers(0, 2**25 - 1), seed=seeds)
def test_inaccurate_masks_are_scipys_erosion_or_dilation(mask, seed):
    mask = np.array([mask >> bit & 1 for bit in range(25)], bool).reshape(5, 5)
    changed = inaccurate_masks(torch.from_numpy(mask).repeat(100, 1, 1, 1), torch.Generator().manual_seed(seed))
    allowed = [binary_erosion(mask, border_value=1), binary_dilation(mask)]
    smaller, larger = (each if each.any() and not each.all() else mask for each in allowed)
    are_smaller, are_larger = ((changed[:, 0].numpy() == each).all((1, 2)) for each in (smaller, larger))
    assert (are_smaller | are_larger).all()
    assert 0.35 < are_smaller.mean() < 0.85 or (smaller == larger).all()  # 0.6 of them


@settings(max_examples=20, deadline=None)
@given(seed=seeds, size=st.sampled_from([8, 12, 20]))
def test_reduced_layers_keep_their_colours_apart(seed, size):
    mask = np.zeros((24, 24), bool)
    mask[5:17, 3:20] = True
    own, other, behind = np.random.default_rng(seed).random((3, 1, 1, 3)).astype(np.float32)
    foreground, changed, background = (np.broadcast_to(colour, (24, 24, 3)) for colour in (own, other, behind))
    packed = pack(Layers(foreground, background, mask, mask & False), changed)
    composite, shown, real = composed([packed], size)
    inside = shown[0, ..., 0] > 0
    assert inside.any() and not inside.all() and composite.shape == (1, size, size, 3)
    for picture, colour in ((composite, other), (real, own)):
        for where, expected in ((inside, colour), (~inside, behind)):
            assert np.abs(picture[0][where] - (2 * expected[0] - 1)).max() < 0.01


def test_an_object_that_vanishes_with_the_resizing_leaves_a_finite_picture():
    mask = np.zeros((32, 32), bool)
    mask[7, 9] = True
    layers = Layers(*np.random.default_rng(0).random((2, 32, 32, 3)).astype(np.float32), mask, mask)
    composite, shown, real = composed([pack(layers)], 8)
    assert not shown.any() and np.isfinite(composite).all()
    np.testing.assert_array_equal(composite, real)


def test_what_is_outside_does_not_count_in_a_reduction():
    rng = np.random.default_rng(0)
    colours, weight = torch.from_numpy(rng.random((2, 3, 12, 16))), torch.from_numpy(rng.random((2, 1, 12, 16)) < 0.5)
    means, share = resize_inside(colours, weight.double(), 5)
    others, _ = resize_inside(torch.where(weight, colours, 0.7), weight.double(), 5)
    assert torch.equal(means, others)
    # where all counts, it is a plain reduction, and so is that of the share
    plain, whole = resize_inside(colours, torch.ones_like(weight).double(), 5)
    expected = torch.nn.functional.interpolate(colours, (5, 5), mode="bilinear", antialias=True)
    assert torch.allclose(plain, expected) and torch.allclose(whole, torch.ones(1).double())
    assert share.mean().item() == pytest.approx(weight.double().mean().item(), abs=0.05)


# Photographs


def pasted_step_by_step(source, photo, rng, size):
    """What `Photographs.sample` gives of a pasted composite, draw by draw: it must stay so, for runs to be resumed."""
    picture, mask = source.read(photo, rng)
    box = source.augmentation.box(mask, rng)
    rng.random()  # pasted
    layers = take_apart(np.asarray(picture), np.asarray(mask), size, box, rng, rng.random() < SHIFTED)
    if rng.random() < 0.25:
        light = Camera.random(rng, 1.0)
        both = layers.foreground, layers.background
        both = (light(each.reshape(-1, 3)).clip(0, 1).reshape(each.shape) for each in both)
        layers = Layers(*both, layers.mask, layers.rim)
    if rng.random() < HALO:
        colours = source.reference(photo, rng)
        layers = with_halo(layers, colours[rng.integers(len(colours))], rng)
    changed, inside = None, layers.foreground[layers.mask]
    if rng.random() >= source.mixture.untouched:
        if rng.random() < source.mixture.camera:
            changed = change_camera(inside, place_in(layers.mask), rng, rng.choice([0.6, 1.0, 1.6, 2.2]))
        else:
            tries = (recolour(layers.foreground, layers.mask, source.reference(photo, rng), rng) for _ in range(12))
            recoloured = next((each for each in tries if each is not None), None)
            changed = None if recoloured is None else recoloured[layers.mask]
    composite, real = compose(layers, changed), compose(layers)
    shown = inaccurate(layers.mask, rng) if rng.random() < 0.2 else layers.mask
    sample = Sample(composite, to_mask(shown), np.where(shown[..., None], real, composite))
    return sample if rng.random() >= source.augmentation.flip else sample.flipped()


@settings(max_examples=40, deadline=None)
@given(seed=seeds)
def test_pasted_samples_are_drawn_in_a_fixed_order(folder_of_photos, seed):
    source = Photographs(folder_of_photos, mixture=Mixture(untouched=0.1, pasted=1, camera=0.5))
    index = seed % len(source)
    expected = pasted_step_by_step(source, source.with_masks[index], np.random.default_rng(seed), 40)
    assert_same(source.sample(index, np.random.default_rng(seed), 40), expected)


@settings(max_examples=20, deadline=None)
@given(seed=seeds, size=st.integers(24, 72))
def test_layers_of_a_photograph_follow_from_its_random_numbers(folder_of_photos, seed, size):
    source, index = Photographs(folder_of_photos, mixture=Mixture(pasted=0.5, camera=0.5)), seed % 8
    layers, again = (source.layers(index, np.random.default_rng(seed), size) for _ in range(2))
    np.testing.assert_array_equal(layers, again)
    assert layers.shape == (10, size, size) and layers.dtype == np.uint8
    foreground, mask, recoloured = layers[:3], layers[6] > 0, layers[7:]
    assert set(np.unique(layers[6])) == {0, 255}
    assert not foreground[:, ~mask].any() and not recoloured[:, ~mask].any()


def test_layers_are_those_that_take_apart_gives(folder_of_photos, monkeypatch):
    monkeypatch.setattr("harmonize_composite.training.data.photos.HALO", 0.0)
    source = Photographs(folder_of_photos, augmentation=NONE, mixture=Mixture(pasted=1, camera=1.0))
    rng, again = (np.random.default_rng(4) for _ in range(2))
    picture, mask = source.read(source.with_masks[2], again)
    again.random(), again.random()  # whether it is cropped and pasted
    shifted = again.random() < SHIFTED
    expected = take_apart(np.asarray(picture), np.asarray(mask), 48, None, again, shifted)
    composite, shown, real = composed([source.layers(2, rng, 48)], 48)
    np.testing.assert_array_equal(shown[0, ..., 0], expected.mask)
    np.testing.assert_allclose(real[0], to_range(compose(expected)), atol=1e-6)


def test_layers_come_with_other_colours_and_flipped_as_often_as_asked(folder_of_photos):
    def layers(camera, flip):
        mixture = Mixture(pasted=1, camera=camera)
        source = Photographs(folder_of_photos, augmentation=Augmentation(flip=flip), mixture=mixture)
        return [source.layers(number % 8, np.random.default_rng(number), 32) for number in range(12)]

    assert all((each[:3] == each[7:]).all() for each in layers(1.0, 0.0))
    assert sum((each[:3] != each[7:]).any() for each in layers(0.0, 0.0)) >= 10
    for one, other in zip(layers(0.5, 0.0), layers(0.5, 1.0)):
        np.testing.assert_array_equal(one, other[..., ::-1])


def test_an_object_that_is_not_pasted_stays_with_its_rim_and_takes_other_colours(folder_of_photos):
    source = Photographs(folder_of_photos, augmentation=NONE, mixture=Mixture(pasted=0, camera=1.0))
    picture, mask = source.read(source.with_masks[2], np.random.default_rng(4))
    side = max(picture.size)
    layers = source.layers(2, np.random.default_rng(4), side)
    inside = layers[6] > 0
    resized = np.asarray(picture.resize((side, side), Image.Resampling.BILINEAR), np.float32)
    whole = np.where(inside, layers[:3], layers[3:6]).transpose(1, 2, 0)
    away = binary_erosion(inside, iterations=2) | binary_erosion(~inside, iterations=2)  # both are resized apart
    np.testing.assert_allclose(whole[away], resized[away], atol=2)
    shown = np.asarray(mask.resize((side, side), Image.Resampling.BILINEAR)) > 127
    assert (inside != shown).mean() < 0.01
    assert (layers[7:] != layers[:3]).any()
