"""Where training pairs come from: photographs, iHarmony4, and the data sets written here."""

import argparse
import logging
import math
import os
import shutil
from dataclasses import replace
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from harmonize_composite.cli import prepare as prepare_command
from harmonize_composite.cli import synthesize as synthesize_command
from harmonize_composite.files.training_images import PictureError, read_rgb
from harmonize_composite.training.data.iharmony4 import IHarmony4, MissingFiles, find_pairs
from harmonize_composite.training.data.pairs import Stream, collate, open_source
from harmonize_composite.training.data.photos import Photographs, validation_set
from harmonize_composite.training.data.prepare import prepare
from harmonize_composite.training.data.splits import held_out
from harmonize_composite.training.data.synthesize import synthesize
from harmonize_composite.training.sample import Sample
from harmonize_composite.training.synthesis import augment
from harmonize_composite.training.synthesis.augment import NONE, Augmentation
from harmonize_composite.training.synthesis.mixture import Mixture


def scene(seed, width=90, height=64):
    """A smooth picture in colours of its own."""
    rng = np.random.default_rng(seed)
    grid = (rng.uniform(0.2, 0.8, 3) + rng.uniform(-0.2, 0.2, (4, 5, 3))) * 255
    small = Image.fromarray(grid.clip(0, 255).astype(np.uint8))
    return small.resize((width, height), Image.Resampling.BICUBIC)


def disc(width=90, height=64, x=0.5, y=0.5, radius=0.25):
    rows, columns = np.mgrid[:height, :width]
    inside = np.hypot(columns - x * width, rows - y * height) < radius * height
    return Image.fromarray(inside)  # 1 bit


def write_photographs(root):
    """Twelve photographs: one or two masks each, the last one without."""
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    for number in range(12):
        scene(number).save(root / f"images/shot_{number:02}.jpg", quality=95)
        if number % 3 == 0:
            disc(x=0.4).save(root / f"masks/shot_{number:02}.png")
        elif number < 11:
            disc(x=0.3).save(root / f"masks/shot_{number:02}_0.png")
            disc(x=0.7, radius=0.3).save(root / f"masks/shot_{number:02}_1.png")
    return root


@pytest.fixture
def photos(tmp_path):
    return write_photographs(tmp_path / "photos")


@pytest.fixture(scope="module")
def folder_of_photos(tmp_path_factory):
    """The same for tests that only read."""
    return write_photographs(tmp_path_factory.mktemp("data") / "photos")


def tree(root):
    """Every file below `root` with its bytes."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def assert_same(pair, other):
    for name in ("composite", "mask", "real"):
        np.testing.assert_array_equal(getattr(pair, name), getattr(other, name))


# Photographs


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


def broken(path):
    path.write_bytes(path.read_bytes()[:200])


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


# The stream


def test_every_pass_visits_each_picture_once_in_another_order():
    class Source:
        def __len__(self):
            return 10

        def sample(self, index, rng, size):
            return index

    stream = Stream(Source(), seed=1)
    passes = [[stream[10 * epoch + i, 32] for i in range(10)] for epoch in range(4)]
    assert all(sorted(one) == list(range(10)) for one in passes)
    assert len({tuple(one) for one in passes}) == 4


def test_the_stream_can_be_read_from_anywhere(photos):
    stream, other = (Stream(Photographs(photos), seed=4) for _ in range(2))
    forwards = [stream[position, 24] for position in range(25)]
    backwards = [other[position, 24] for position in reversed(range(25))][::-1]
    for pair, again in zip(forwards, backwards, strict=True):
        assert_same(pair, again)
    changed = Stream(Photographs(photos), seed=5)
    assert any(not np.array_equal(pair.composite, changed[i, 24].composite) for i, pair in enumerate(forwards))


def test_a_broken_picture_is_skipped_and_reported_once(photos, caplog):
    source = Photographs(photos)
    path = source.pictures[source.with_masks[0]]
    broken(path)
    stream = Stream(source)
    with caplog.at_level(logging.WARNING):
        pairs = [stream[position, 24] for position in range(5 * len(source))]
    assert all(pair.real.shape == (24, 24, 3) for pair in pairs)
    skipped = [record for record in caplog.messages if record.startswith("Skipped")]
    assert len(skipped) == 1 and path.name in skipped[0]


def test_pictures_that_are_all_broken_end_the_stream(photos):
    for path in (photos / "images").iterdir():
        broken(path)
    with pytest.raises(PictureError):
        Stream(Photographs(photos))[0, 24]


def test_a_batch_holds_pictures_in_minus_one_to_one_and_masks_in_zero_to_one():
    rng = np.random.default_rng(0)
    pairs = [
        Sample(
            composite=rng.integers(0, 256, (6, 5, 3), np.uint8),
            mask=rng.integers(0, 256, (6, 5), np.uint8),
            real=rng.integers(0, 256, (6, 5, 3), np.uint8),
        )
        for _ in range(3)
    ]
    pairs[0].real[0, 0] = (0, 255, 51)
    pairs[0].mask[0, 0] = 255
    batch = collate(pairs)
    assert batch.composite.shape == batch.real.shape == (3, 3, 6, 5)
    assert batch.mask.shape == (3, 1, 6, 5)
    assert all(tensor.dtype == torch.float32 for tensor in batch)
    assert batch.real[0, :, 0, 0].tolist() == pytest.approx([-1, 1, -0.6])
    assert batch.mask[0, 0, 0, 0] == 1


def test_worker_processes_give_the_same_pairs(photos):
    stream = Stream(Photographs(photos), seed=2)
    loader = torch.utils.data.DataLoader(
        stream,
        sampler=[(position, 24) for position in range(12)],
        batch_size=4,
        num_workers=2,
        collate_fn=collate,
    )
    composites = torch.cat([batch.composite for batch in loader])
    here = collate([stream[position, 24] for position in range(12)]).composite
    assert torch.equal(composites, here)


# Augmentation


@pytest.mark.parametrize("seed", range(20))
def test_a_crop_keeps_a_useful_share_of_foreground(seed):
    mask = disc(120, 80, x=0.15, y=0.2, radius=0.15).convert("L")
    box = augment.random_crop(mask, np.random.default_rng(seed))
    left, top, right, bottom = box
    assert 0 <= left < right <= 120 and 0 <= top < bottom <= 80
    part = np.asarray(mask.crop(box)) > 0
    assert 0.01 <= part.mean() <= 0.8
    assert part.size >= 0.3 * 120 * 80


def test_a_picture_that_is_all_foreground_is_not_cropped():
    everything = Image.new("L", (40, 30), 255)
    assert augment.random_crop(everything, np.random.default_rng(0)) is None


def test_a_flip_turns_picture_and_mask_together():
    picture = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    pair = Sample(picture, np.array([[0, 0, 255, 255]] * 2, np.uint8), picture + 1)
    flipped = Augmentation(flip=1)(pair, np.random.default_rng(0))
    assert_same(flipped, Sample(*(np.fliplr(array) for array in (pair.composite, pair.mask, pair.real))))
    assert_same(Augmentation(flip=0)(pair, np.random.default_rng(0)), pair)


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    share=st.floats(0, 1),
)
def test_a_jittered_mask_is_still_a_mask(seed, height, width, share):
    mask = (np.random.default_rng(seed).random((height, width)) < share).astype(np.uint8) * 255
    changed = augment.jitter_mask(mask, np.random.default_rng(seed))
    assert changed.shape == mask.shape and changed.dtype == np.uint8
    if mask.any() and not mask.all():
        assert changed.max() > 127 and changed.min() < 128


def test_mask_jitter_stays_near_the_edge():
    mask = np.asarray(disc(200, 200)).astype(np.uint8) * 255
    inside, outside = (ndimage.distance_transform_cdt(part, "chessboard") for part in (mask, 255 - mask))
    growth, softened = set(), set()
    for seed in range(40):
        changed = augment.jitter_mask(mask, np.random.default_rng(seed))
        growth.add(np.sign(int((changed > 127).sum()) - int((mask > 127).sum())))
        softened.add(bool((changed % 255).any()))
        # 2 % of 200 pixels grown, then softened over at most three times as many
        assert (changed[inside > 17] == 255).all() and (changed[outside > 17] == 0).all()
    assert growth == {-1, 0, 1}
    assert softened == {False, True}


def test_a_re_encoded_composite_leaves_the_truth_and_the_mask_alone(photos):
    pair = Photographs(photos).whole(0, np.random.default_rng(0), 64)
    noise = np.random.default_rng(1).integers(0, 30, pair.composite.shape, np.uint8)
    pair = replace(pair, composite=pair.composite // 2 + noise)
    changed = Augmentation(flip=0, jpeg=1)(pair, np.random.default_rng(0))
    assert np.array_equal(changed.real, pair.real)
    assert np.array_equal(changed.mask, pair.mask)
    difference = np.abs(changed.composite.astype(int) - pair.composite)
    assert 0 < difference.mean() < 12


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_a_probability_outside_its_range_is_refused(value):
    with pytest.raises(ValueError, match="mask_jitter must be a probability"):
        Augmentation(mask_jitter=value)


# iHarmony4


def write_pair(root, subset, name, k=1, j=1, extension="jpg"):
    folder = root / subset
    for kind in ("composite_images", "masks", "real_images"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    scene(crc32(f"{name} {k} {j}".encode())).save(folder / f"composite_images/{name}_{k}_{j}.{extension}")
    disc().save(folder / f"masks/{name}_{k}.png")
    scene(crc32(name.encode())).save(folder / f"real_images/{name}.{extension}")
    return f"{subset}/composite_images/{name}_{k}_{j}.jpg"


@pytest.fixture
def iharmony4(tmp_path):
    """Two subsets, with lists as they are downloaded."""
    root = tmp_path / "iHarmony4"
    train = [write_pair(root, "HCOCO", f"c{n}_9", j=j) for n in range(6) for j in (1, 2)]
    train += [write_pair(root, "Hmine", f"x{n}") for n in range(4)]
    test = [write_pair(root, "HCOCO", "c77_9"), write_pair(root, "Hmine", "x77")]
    (root / "IHD_train.txt").write_text("\n".join(train) + "\n")
    (root / "IHD_test.txt").write_text("\n".join(test) + "\n")
    return root


TEST_PAIRS = ["HCOCO/composite_images/c77_9_1_1", "Hmine/composite_images/x77_1_1"]


def names(pairs):
    return [os.path.splitext(pair.name)[0] for pair in pairs]


def test_a_line_of_a_list_leads_to_three_files(iharmony4):
    pair = find_pairs(iharmony4, "test")[0]
    assert pair.subset == "HCOCO"
    assert pair.composite == iharmony4 / "HCOCO/composite_images/c77_9_1_1.jpg"
    assert pair.mask == iharmony4 / "HCOCO/masks/c77_9_1.png"
    assert pair.real == iharmony4 / "HCOCO/real_images/c77_9.jpg"


def rewrite(root, name, change):
    path = root / name
    lines = path.read_text().split()
    path.unlink()
    for target, text in change(lines):
        (root / target).write_text(text)


LISTS = {
    "as downloaded": None,
    "plain name": lambda lines: [("test.txt", "\n".join(lines))],
    "without subset": lambda lines: [("test.txt", "\n".join(line.split("/", 1)[1] for line in lines))],
    "file names only": lambda lines: [("test.txt", "\n".join(line.rsplit("/", 1)[1] for line in lines))],
    "other ending": lambda lines: [("test.txt", "\n".join(lines).replace(".jpg", ".png"))],
    "Windows": lambda lines: [("test.txt", "\ufeff" + "\r\n\r\n".join(lines).replace("/", "\\"))],
    "in each subset": lambda lines: [
        ("HCOCO/HCOCO_test.txt", lines[0]),
        ("Hmine/Hmine_test.txt", lines[1].split("/", 1)[1]),
    ],
    "for each subset, in the root": lambda lines: [
        ("HCOCO_test.txt", lines[0]),
        ("Hmine_test.txt", lines[1].rsplit("/", 1)[1]),
    ],
}


@pytest.mark.parametrize("kind", LISTS)
def test_lists_of_every_kind_are_understood(iharmony4, kind):
    if LISTS[kind]:
        rewrite(iharmony4, "IHD_test.txt", LISTS[kind])
    pairs = find_pairs(iharmony4, "test")
    assert names(pairs) == TEST_PAIRS
    assert [pair.subset for pair in pairs] == ["HCOCO", "Hmine"]
    assert all(path.is_file() for pair in pairs for path in (pair.composite, pair.mask, pair.real))


def test_png_files_serve_where_the_list_says_jpg(tmp_path):
    line = write_pair(tmp_path, "HFlickr", "f1", extension="png")
    (tmp_path / "test.txt").write_text(line)
    pair = find_pairs(tmp_path, "test")[0]
    assert pair.composite.name == "f1_1_1.png" and pair.real.name == "f1.png"
    assert pair.load(32).real.shape == (32, 32, 3)


def test_subsets_can_be_chosen(iharmony4):
    shutil.rmtree(iharmony4 / "HCOCO/real_images")  # not asked for, so not missed
    assert names(find_pairs(iharmony4, "test", subsets=["Hmine"])) == TEST_PAIRS[1:]
    with pytest.raises(ValueError, match="no subset Hday2night; it has HCOCO, Hmine"):
        find_pairs(iharmony4, "test", subsets=["Hday2night"])


def test_one_subset_can_stand_alone(iharmony4):
    (iharmony4 / "HCOCO/HCOCO_test.txt").write_text("HCOCO/composite_images/c77_9_1_1.jpg")
    moved = iharmony4.parent / "renamed"
    (iharmony4 / "HCOCO").rename(moved)
    (moved / "HCOCO_test.txt").rename(moved / "test.txt")
    assert names(find_pairs(moved, "test")) == ["renamed/composite_images/c77_9_1_1"]


def test_own_pairs_need_no_lists_and_may_share_one_name(tmp_path):
    for folder in ("composite_images", "masks", "real_images"):
        (tmp_path / "mine" / folder).mkdir(parents=True)
    for name in ("beach_2024_07", "dog"):
        scene(1).save(tmp_path / f"mine/composite_images/{name}.jpg")
        disc().save(tmp_path / f"mine/masks/{name}.png")
        scene(2).save(tmp_path / f"mine/real_images/{name}.png")
    pairs = find_pairs(tmp_path / "mine", "test")
    assert [pair.mask.stem for pair in pairs] == ["beach_2024_07", "dog"]
    train, val = (find_pairs(tmp_path / "mine", split) for split in ("train", "val"))
    assert len(train) == len(val) == 1 and train != val


def test_all_missing_files_are_reported_at_once(iharmony4):
    gone = ["HCOCO/masks/c0_9_1.png", "HCOCO/real_images/c3_9.jpg", "Hmine/composite_images/x2_1_1.jpg"]
    for name in gone:
        (iharmony4 / name).unlink()
    with pytest.raises(MissingFiles, match="3 files are missing") as caught:
        IHarmony4(iharmony4, "train")
    assert isinstance(caught.value, ValueError)
    assert sorted(caught.value.missing) == gone
    assert all(name in str(caught.value) for name in gone)
    assert "\n" not in str(caught.value)


def test_files_missing_for_training_and_for_validation_are_reported_together(iharmony4):
    lines = (iharmony4 / "IHD_train.txt").read_text().split()
    (iharmony4 / "IHD_train.txt").write_text("\n".join(lines[2:]))
    (iharmony4 / "IHD_val.txt").write_text("\n".join(lines[:2]))
    gone = ["HCOCO/masks/c0_9_1.png", "Hmine/composite_images/x2_1_1.jpg"]
    for name in gone:
        (iharmony4 / name).unlink()
    with pytest.raises(MissingFiles) as caught:
        IHarmony4(iharmony4, "train")
    assert sorted(caught.value.missing) == gone


def test_validation_shares_no_real_picture_with_training(iharmony4):
    train, val = (IHarmony4(iharmony4, split).pairs for split in ("train", "val"))
    assert train and val
    assert len(train) + len(val) == 16
    assert not {pair.real for pair in train} & {pair.real for pair in val}


def test_a_validation_list_is_used_where_there_is_one(iharmony4):
    rewrite(
        iharmony4,
        "IHD_train.txt",
        lambda lines: [("IHD_train.txt", "\n".join(lines[2:])), ("IHD_val.txt", "\n".join(lines[:2]))],
    )
    assert len(find_pairs(iharmony4, "train")) == 14
    assert len(find_pairs(iharmony4, "val")) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: (root / "IHD_test.txt").unlink(), "no list for the split 'test'"),
        (lambda root: (root / "IHD_test.txt").write_text("\n"), "the split 'test' has no pairs"),
        (lambda root: shutil.rmtree(root), "no such folder"),
        (lambda root: [shutil.rmtree(root / name) for name in ("HCOCO", "Hmine")], "no subset here"),
    ],
)
def test_a_wrong_layout_says_what_is_expected(iharmony4, change, message):
    change(iharmony4)
    with pytest.raises(ValueError, match=message):
        find_pairs(iharmony4, "test")


def test_a_pair_is_resized_like_the_paper_does(iharmony4):
    files = find_pairs(iharmony4, "test")[0]
    pair = files.load(40)
    with Image.open(files.real) as real, Image.open(files.mask) as mask:
        expected = real.resize((40, 40), Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(pair.real, np.asarray(expected))
        expected = mask.convert("L").resize((40, 40), Image.Resampling.NEAREST)
        np.testing.assert_array_equal(pair.mask, np.asarray(expected))
    assert files.load().composite.shape == (64, 90, 3)


def test_the_parts_of_a_sample_stay_aligned(iharmony4):
    source = IHarmony4(iharmony4, "test")
    files = source.pairs[0]
    shutil.copy(files.real, files.composite)
    mask = np.asarray(Image.open(files.real).convert("L")) > 0
    mask[:, :45] = False
    Image.fromarray(mask).save(files.mask)
    picture = np.zeros((64, 90, 3), np.uint8)
    picture[mask] = 255
    Image.fromarray(picture).save(files.composite, quality=100)
    for seed in range(10):
        pair = source.sample(0, np.random.default_rng(seed), 48)
        white = pair.composite.mean(2) > 127
        assert (white == (pair.mask > 0)).mean() > 0.97


def test_a_folder_is_recognized_by_what_it_holds(iharmony4, photos):
    assert isinstance(open_source(iharmony4, "train"), IHarmony4)
    assert isinstance(open_source(iharmony4 / "HCOCO", "train"), IHarmony4)
    assert isinstance(open_source(photos, "train"), Photographs)
    with pytest.raises(ValueError, match="no pairs here; expected images/ and masks/"):
        open_source(photos / "images", "train")


# Data sets written here


def test_the_same_seed_writes_the_same_bytes(photos, tmp_path):
    for out, seed, workers in (("a", 3, 1), ("b", 3, 4), ("c", 4, 2)):
        assert synthesize(photos, tmp_path / out, 20, seed, size=32, workers=workers) == []
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    assert tree(tmp_path / "a") != tree(tmp_path / "c")


def test_a_synthesized_set_reads_as_iharmony4(photos, tmp_path):
    synthesize(photos, tmp_path / "out", 30)
    train, test = (IHarmony4(tmp_path / "out", split) for split in ("train", "test"))
    val = IHarmony4(tmp_path / "out", "val")
    assert len(train) + len(val) + len(test) == 30
    assert len({pair.name for pair in train.pairs + val.pairs + test.pairs}) == 30
    held = {path.stem for path in Photographs(photos, "val").pictures}
    assert {pair.real.stem for pair in test.pairs} <= held
    assert not {pair.real.stem for pair in train.pairs + val.pairs} & held
    for pair in train.pairs:
        arrays = pair.load()
        assert arrays.real.shape == (64, 90, 3)
        outside = ndimage.binary_dilation(arrays.mask > 0, iterations=8) == 0
        change = np.abs(arrays.composite.astype(int) - arrays.real)
        assert change[outside].mean() < 2  # JPEG
        assert change[arrays.mask > 0].mean() > 2


def test_an_interrupted_synthesis_goes_on_where_it_was(photos, tmp_path, monkeypatch):
    synthesize(photos, tmp_path / "whole", 24, size=32, workers=1)
    made = 0
    write = Photographs.whole

    def interrupted(*args):
        nonlocal made
        made += 1
        if made > 9:
            raise KeyboardInterrupt
        return write(*args)

    with monkeypatch.context() as patch:
        patch.setattr(Photographs, "whole", interrupted)
        with pytest.raises(KeyboardInterrupt):
            synthesize(photos, tmp_path / "parts", 24, size=32, workers=1)
    left = tree(tmp_path / "parts")
    assert 0 < len(left) < len(tree(tmp_path / "whole"))
    synthesize(photos, tmp_path / "parts", 24, size=32, workers=1)
    assert tree(tmp_path / "parts") == tree(tmp_path / "whole")


def test_more_pairs_are_added_to_those_made(photos, tmp_path):
    synthesize(photos, tmp_path / "out", 10, size=32)
    before = tree(tmp_path / "out")
    synthesize(photos, tmp_path / "out", 25, size=32)
    after = tree(tmp_path / "out")
    assert sum("composite_images" in name for name in after) == 25
    assert all(after[name] == data for name, data in before.items() if not name.endswith(".txt"))


def test_other_settings_need_another_folder(photos, tmp_path):
    synthesize(photos, tmp_path / "out", 5, seed=1, size=32)
    with pytest.raises(ValueError, match="made with other settings"):
        synthesize(photos, tmp_path / "out", 5, seed=2, size=32)
    (tmp_path / "out/synthesis.json").unlink()
    with pytest.raises(ValueError, match="already has a subset"):
        synthesize(photos, tmp_path / "out", 5, seed=1, size=32)


def test_a_broken_photograph_does_not_end_a_synthesis(photos, tmp_path, capsys):
    path = Photographs(photos).pictures[0]
    broken(path)
    code = run_command("synthesize", photos, tmp_path / "out", "--pairs", "20", "--size", "32")
    assert code == 1
    error = capsys.readouterr().err
    assert f"{path.name}: the picture is damaged" in error
    listed = (tmp_path / "out/IHD_train.txt").read_text()
    assert listed and path.stem not in listed
    find_pairs(tmp_path / "out", "train")


def run_command(name, *arguments):
    parser = argparse.ArgumentParser()
    module = {"prepare": prepare_command, "synthesize": synthesize_command}[name]
    module.add_arguments(parser)
    return module.run(parser.parse_args([str(a) for a in arguments]))


@pytest.mark.parametrize("wrong", [{"pairs": 0}, {"pairs": -1}, {"size": 0}, {"seed": -1}])
def test_senseless_numbers_are_refused(photos, tmp_path, wrong):
    with pytest.raises(ValueError, match="must be (at least|8 to)"):
        synthesize(photos, tmp_path / "out", **({"pairs": 1} | wrong))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["synthesize", "prepare"])
def test_there_is_at_least_one_worker(name, photos, tmp_path, capsys):
    needed = {"synthesize": ["--pairs", "1"], "prepare": ["--size", "24"]}[name]
    with pytest.raises(SystemExit):
        run_command(name, photos, tmp_path / "out", *needed, "--workers", "0")
    assert "a whole number of" in capsys.readouterr().err


def test_two_pairs_suffice_to_train_and_to_test(photos, tmp_path):
    synthesize(photos, tmp_path / "out", 2, size=32)
    assert len(find_pairs(tmp_path / "out", "test")) == 1


def test_a_prepared_copy_gives_the_pixels_of_the_original(iharmony4, tmp_path):
    assert run_command("prepare", iharmony4, tmp_path / "small", "--size", "24") == 0
    for split in ("train", "val", "test"):
        originals, copies = find_pairs(iharmony4, split), find_pairs(tmp_path / "small", split)
        assert names(originals) == names(copies)
        for original, copy in zip(originals, copies, strict=True):
            assert_same(original.load(24), copy.load())


def test_a_prepared_copy_can_be_jpeg(iharmony4, tmp_path):
    prepare(iharmony4, tmp_path / "small", 24, extension="jpg")
    assert not list((tmp_path / "small").glob("*/real_images/*.png"))
    original, copy = (find_pairs(root, "test")[0].load(24) for root in (iharmony4, tmp_path / "small"))
    assert np.abs(original.real.astype(int) - copy.real).mean() < 3


def test_of_two_pictures_with_one_name_the_copy_is_of_the_one_that_is_read(iharmony4, tmp_path):
    used = find_pairs(iharmony4, "test")[0]
    scene(99).save(used.real.with_suffix(".png"))
    prepare(iharmony4, tmp_path / "small", 24)
    assert_same(used.load(24), find_pairs(tmp_path / "small", "test")[0].load())


def test_a_copy_that_was_interrupted_is_completed(iharmony4, tmp_path):
    out = tmp_path / "small"
    prepare(iharmony4, out, 24)
    finished = tree(out)
    kept, lost = sorted((out / "HCOCO/composite_images").iterdir())[:2]
    lost.unlink()
    stamp = kept.stat().st_mtime_ns
    prepare(iharmony4, out, 24)
    assert tree(out) == finished
    assert kept.stat().st_mtime_ns == stamp
    prepare(iharmony4, out, 16)
    assert find_pairs(out, "test")[0].load().real.shape == (16, 16, 3)


def test_a_broken_picture_is_reported_after_all_others_were_copied(iharmony4, tmp_path, capsys):
    path = iharmony4 / "Hmine/real_images/x1.jpg"
    broken(path)
    assert run_command("prepare", iharmony4, tmp_path / "small", "--size", "24") == 1
    assert f"{path}: the picture is damaged" in capsys.readouterr().err
    with pytest.raises(MissingFiles, match="1 file is missing: Hmine/real_images/x1.jpg"):
        find_pairs(tmp_path / "small", "train")


def test_a_full_disk_ends_a_copy_and_leaves_no_parts(iharmony4, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        prepare(iharmony4, tmp_path / "small", 24)
    assert tree(tmp_path / "small") == {}


def test_a_copy_into_itself_is_refused(iharmony4):
    before = tree(iharmony4)
    with pytest.raises(ValueError, match="needs a folder of its own"):
        prepare(iharmony4, Path(iharmony4) / "HCOCO" / "..", 24)
    assert tree(iharmony4) == before
