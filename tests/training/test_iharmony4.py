"""Pairs on disk in the layout of iHarmony4."""

import shutil

import numpy as np
import pytest
from PIL import Image

from harmonize_composite.training.data.iharmony4 import IHarmony4, MissingFiles, find_pairs
from harmonize_composite.training.data.pairs import open_source
from harmonize_composite.training.data.photos import Photographs
from photographs import disc, names, scene, write_pair

TEST_PAIRS = ["HCOCO/composite_images/c77_9_1_1", "Hmine/composite_images/x77_1_1"]


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
