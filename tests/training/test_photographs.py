"""Samples of photographs, and how their folders are read."""

import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from harmonize_composite.files.training_images import PictureError, read_rgb
from harmonize_composite.training.data.iharmony4 import IHarmony4
from harmonize_composite.training.data.photos import Photographs, validation_set
from harmonize_composite.training.data.splits import held_out
from harmonize_composite.training.sample import Sample
from harmonize_composite.training.synthesis import augment
from harmonize_composite.training.synthesis.augment import NONE, Augmentation
from harmonize_composite.training.synthesis.mixture import Mixture
from photographs import assert_same, broken, disc, scene


def test_a_loose_region_is_larger_or_smaller_than_its_mask_by_at_most_3_percent():
    mask = np.zeros((100, 100), np.uint8)
    mask[30:70, 30:70] = 255
    areas = {int(np.count_nonzero(augment.loosen(mask, np.random.default_rng(seed)))) for seed in range(60)}
    assert areas == {side**2 for side in (34, 36, 38, 42, 44, 46)}


@settings(max_examples=20, deadline=None)
@given(sigma=st.floats(0.3, 1.0), value=st.floats(-0.4, 0.4))
def test_a_soft_edge_spreads_the_change_across_the_rim_and_loses_none_of_it(sigma, value):
    image = np.full((40, 40, 3), 0.5, np.float32)
    inside = np.zeros((40, 40), bool)
    inside[10:30, 10:30] = True
    changed = np.where(inside[..., None], image + np.float32(value), image)
    soft = augment.soften_edge(image, changed, inside, sigma)
    np.testing.assert_allclose(soft[14:26, 14:26], changed[14:26, 14:26], atol=1e-6)
    np.testing.assert_array_equal(soft[:6], image[:6])
    np.testing.assert_allclose((soft - image).sum(), (changed - image).sum(), rtol=1e-3, atol=1e-3)
    across = (soft - image)[20, 4:16, 0] * np.sign(value)
    assert (np.diff(across) >= -1e-6).all()
    if abs(value) > 0.1:
        assert 0 < across[5] < abs(value) / 2 < across[6] < abs(value)


@settings(max_examples=30, deadline=None)
@given(width=st.floats(0.5, 6), halo=st.integers(0, 5))
def test_a_clean_rim_holds_no_trace_of_the_object_within_its_width(width, halo):
    mask = np.zeros((40, 40), np.uint8)
    mask[14:26, 14:26] = 255
    real = np.zeros((40, 40, 3), np.uint8)
    real[14 - halo : 26 + halo, 14 - halo : 26 + halo] = 200
    pair = Sample(np.where(mask[..., None] > 0, 90, real).astype(np.uint8), mask, real)
    cleaned = augment.clean_rim(pair, width)
    outside = mask == 0
    assert (cleaned.real[outside] == 0).all() == (math.hypot(halo, halo) <= width)  # at the corners
    for name in ("composite", "real"):
        np.testing.assert_array_equal(getattr(cleaned, name)[~outside], getattr(pair, name)[~outside])
    np.testing.assert_array_equal(cleaned.composite[outside], cleaned.real[outside])
    everywhere = replace(pair, mask=np.full_like(mask, 255))
    assert augment.clean_rim(everywhere, width) is everywhere


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), size=st.integers(8, 80))
def test_a_pair_differs_from_its_photograph_only_in_the_foreground(folder_of_photos, seed, size):
    source = Photographs(folder_of_photos, augmentation=Augmentation(loose_region=0, soft_edge=0))
    pair = source.sample(seed % len(source), np.random.default_rng(seed), size)
    assert pair.composite.shape == pair.real.shape == (size, size, 3)
    assert pair.mask.shape == (size, size)
    assert all(array.dtype == np.uint8 for array in vars(pair).values())
    assert set(np.unique(pair.mask)) <= {0, 255}
    background = pair.mask == 0
    np.testing.assert_array_equal(pair.composite[background], pair.real[background])


def test_a_pair_depends_on_its_random_numbers_alone(photos):
    first, second = Photographs(photos), Photographs(photos)
    second.sample(3, np.random.default_rng(8), 32)  # what was read before must not matter
    for index in range(len(first)):
        rngs = [np.random.default_rng([5, index]) for _ in range(2)]
        assert_same(first.sample(index, rngs[0], 48), second.sample(index, rngs[1], 48))


def test_a_share_of_the_pairs_is_left_untouched(photos):
    def untouched(share):
        source = Photographs(photos, mixture=Mixture(untouched=share))
        pairs = [source.sample(i % len(source), np.random.default_rng(i), 24) for i in range(200)]
        return np.mean([np.array_equal(pair.composite, pair.real) for pair in pairs])

    assert untouched(1.0) == 1
    assert 0.35 < untouched(0.5) < 0.65
    assert untouched(0.0) < 0.1


def test_every_mask_of_a_photograph_is_used(photos):
    source = Photographs(photos, augmentation=NONE)
    two = next(i for i, photo in enumerate(source.with_masks) if len(source.masks[photo]) == 2)
    sizes = {int(source.sample(two, np.random.default_rng(seed), 64).mask.sum()) for seed in range(20)}
    assert len(sizes) == 2


def test_a_manifest_decides_the_split(photos):
    lines = [f"shot_{n:02},{'val' if n in (1, 4) else 'train'}" for n in range(11)]
    (photos / "manifest.csv").write_text("id,split\n" + "\n".join(lines))
    names = {split: [p.stem for p in Photographs(photos, split).pictures] for split in ("train", "val")}
    assert names["val"] == ["shot_01", "shot_04"]
    assert len(names["train"]) == 9


def test_without_a_manifest_every_photograph_is_in_one_split(photos):
    train, val = ({path.name for path in Photographs(photos, split).pictures} for split in ("train", "val"))
    assert train and val and not train & val
    assert len(train | val) == 12


@settings(deadline=None)
@given(st.sets(st.text(min_size=1, max_size=8), min_size=2, max_size=50))
@example({"0010<I°", "11v{"})  # the hashes of both fall into the held-out share
def test_something_but_not_everything_is_held_out(names):
    chosen = held_out(names, 0.1)
    assert chosen and chosen < names


def test_a_new_photograph_moves_no_other_to_the_other_split():
    names = [f"photo {n}" for n in range(1000)]
    before, after = held_out(names[:500], 0.1), held_out(names, 0.1)
    assert before == after & set(names[:500])
    assert 70 < len(after) < 130


def test_the_validation_set_is_always_the_same(photos):
    sets = [validation_set(Photographs(photos, "val"), count=5, size=40) for _ in range(2)]
    assert len(sets[0]) == 5
    for pair, again in zip(*sets, strict=True):
        assert pair.real.shape == (40, 40, 3)
        assert_same(pair, again)


def test_files_on_disk_make_a_validation_set_too(iharmony4):
    source = IHarmony4(iharmony4, "train")
    pairs = validation_set(source, count=3, size=32)
    files = [source.whole(index, size=32) for index in range(len(source))]
    for pair in pairs:
        assert any(np.array_equal(pair.composite, other.composite) for other in files)


def test_a_photograph_on_its_side_is_turned_upright(photos):
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn by 90 degrees to view
    path = photos / "images/turned.jpg"
    scene(0, 90, 64).save(path, exif=exif)
    assert read_rgb(path).size == (64, 90)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: shutil.rmtree(root / "masks"), "masks: no such folder"),
        (lambda root: [p.unlink() for p in (root / "masks").iterdir()], "no photograph .* has a mask"),
        (lambda root: (root / "manifest.csv").write_text("name\nx\n"), "columns 'id' and 'split'"),
    ],
)
def test_a_folder_that_is_not_photographs_says_why(photos, spoil, message):
    spoil(photos)
    with pytest.raises(ValueError, match=message):
        Photographs(photos)


def test_a_broken_photograph_is_named(photos):
    source = Photographs(photos)
    path = source.pictures[source.with_masks[2]]
    broken(path)
    with pytest.raises(PictureError, match=f"{path.name}: the picture is damaged"):
        source.sample(2, np.random.default_rng(0), 32)


def test_a_mask_of_another_size_is_named(photos):
    disc(50, 50).save(photos / "masks/shot_00.png")
    source = Photographs(photos)
    index = [source.pictures[i].stem for i in source.with_masks].index("shot_00")
    with pytest.raises(PictureError, match=r"shot_00\.png: the mask is 50x50 but .* 90x64"):
        source.sample(index, np.random.default_rng(0), 32)
