"""Cameras of a batch are those of single pictures."""

from dataclasses import fields

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import ks_2samp

from harmonize_composite.training.synthesis import camera, cameras
from harmonize_composite.training.synthesis.camera import Camera
from harmonize_composite.training.synthesis.cameras import Cameras, change_cameras, lost, places_in
from harmonize_composite.training.synthesis.paste import place_in

NAMES = [each.name for each in fields(Camera)]

between = st.floats
single_cameras = st.builds(
    Camera,
    exposure=between(-3, 3),
    gains=st.tuples(*[between(0.3, 3)] * 3).map(np.array),
    contrast=between(0.4, 2.4),
    saturation=between(0, 2.4),
    haze=between(0, 0.15),
    veil=st.tuples(*[between(0.4, 1)] * 3).map(np.array),
    gradient=between(-2, 2),
    direction=between(0, 6.3),
)
masks = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(lambda shape: arrays(bool, shape)).filter(np.any)
seeds = st.integers(0, 2**31)


def together(many):
    return Cameras(*(torch.tensor(np.array([getattr(one, name) for one in many])) for name in NAMES))


def planes(picture):
    """Float `[H, W, 3]` as `[1, 3, H, W]`."""
    return torch.from_numpy(picture).permute(2, 0, 1)[None]


def generator(seed):
    return torch.Generator().manual_seed(seed)


@settings(max_examples=60, deadline=None)
@given(many=st.lists(single_cameras, min_size=1, max_size=3), mask=masks, seed=seeds, with_places=st.booleans())
def test_each_picture_is_seen_as_a_single_camera_sees_it(many, mask, seed, with_places):
    colours = np.random.default_rng(seed).random((len(many), *mask.shape, 3))
    inside = torch.from_numpy(mask)[None, None].repeat(len(many), 1, 1, 1)
    batch = torch.cat([planes(picture) for picture in colours])
    seen = together(many)(batch, places_in(inside).double() if with_places else None)
    for one, picture, got in zip(many, colours, seen.permute(0, 2, 3, 1).numpy()):
        expected = one(picture[mask], place_in(mask) if with_places else None)
        np.testing.assert_allclose(got[mask], expected, rtol=1e-4, atol=1e-4)


@settings(deadline=None)
@given(masks)
def test_places_are_those_of_a_single_mask(mask):
    found = places_in(torch.from_numpy(mask)[None, None])[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(found[mask], place_in(mask), atol=1e-6)


def test_an_empty_mask_has_finite_places():
    assert places_in(torch.zeros(1, 1, 5, 4, dtype=torch.bool)).isfinite().all()


@settings(deadline=None)
@given(mask=masks, seed=seeds)
def test_as_many_colours_are_lost_as_in_a_single_picture(mask, seed):
    rng = np.random.default_rng(seed)
    before, after = rng.random((*mask.shape, 3)), rng.uniform(-0.2, 1.2, (*mask.shape, 3)) * rng.integers(2)
    share = lost(planes(before), planes(after), torch.from_numpy(mask)[None, None])
    assert share.item() == pytest.approx(camera.lost(before[mask], after[mask]), abs=1e-6)


@pytest.mark.parametrize("boldness", [0.5, 2.2])
def test_random_cameras_are_drawn_alike(boldness):
    rng = np.random.default_rng(1)
    singles = [Camera.random(rng, boldness) for _ in range(3000)]
    drawn = Cameras.random(torch.full((3000,), boldness), generator(1))
    for name in NAMES:
        values, expected = getattr(drawn, name).numpy(), np.array([getattr(one, name) for one in singles])
        assert values.shape == expected.shape
        for channel, wanted in zip(np.atleast_2d(values.T), np.atleast_2d(expected.T)):
            assert ks_2samp(channel, wanted).pvalue > 1e-3, name


@settings(max_examples=25, deadline=None)
@given(mask=masks, seed=seeds)
def test_changes_by_cameras_can_be_seen_and_undone(mask, seed):
    picture = np.random.default_rng(seed).uniform(0.1, 0.9, (*mask.shape, 3)).astype(np.float32)
    batch = planes(picture).repeat(3, 1, 1, 1)
    inside = torch.from_numpy(mask)[None, None].repeat(3, 1, 1, 1)
    changed = change_cameras(batch, inside, torch.tensor([0.6, 1.2, 2.2]), generator(seed))
    assert changed.min() >= 0 and changed.max() <= 1
    for got in changed.permute(0, 2, 3, 1).numpy():
        difference = np.sqrt(np.mean((got[mask] - picture[mask]) ** 2))
        assert difference == 0 or difference >= camera.MIN_CHANGE * 0.999
        assert camera.lost(picture[mask], np.where(got >= 1, 1.01, got)[mask]) <= camera.MAX_LOST


def test_what_no_camera_changes_plausibly_stays(monkeypatch):
    monkeypatch.setattr(cameras, "MAX_LOST", -1.0)
    picture = torch.rand(2, 3, 8, 8, generator=generator(0))
    mask = torch.ones(2, 1, 8, 8, dtype=torch.bool)
    assert torch.equal(change_cameras(picture, mask, torch.ones(2), generator(0)), picture)
