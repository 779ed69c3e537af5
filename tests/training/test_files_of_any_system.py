"""Data sets as systems and programs leave them: side files, lists, tables, names."""

import json

import numpy as np
import pytest
from PIL import Image

from command_line import run
from harmonize_composite.files.text import read_table, read_text
from harmonize_composite.training.data.iharmony4 import find_pairs
from harmonize_composite.training.data.photos import Photographs
from harmonize_composite.training.loop.options import load_options

INSIDE = np.zeros((48, 64), bool)
INSIDE[12:36, 16:48] = True
MASK = Image.fromarray(INSIDE * np.uint8(255))


def colours(seed=0, size=(64, 48)):
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def add_side_files(root):
    for folder in [root, *(path for path in root.rglob("*") if path.is_dir())]:
        for path in list(folder.iterdir()):
            if path.is_file() and not path.name.startswith("._"):
                (folder / f"._{path.name}").write_bytes(b"\0\5\x16\7")
        for name in (".DS_Store", "Thumbs.db", "desktop.ini"):
            (folder / name).write_bytes(b"\0")
        (folder / "@eaDir").mkdir(exist_ok=True)


@pytest.fixture
def pairs(tmp_path):
    root = tmp_path / "pairs"
    for kind in ("composite_images", "masks", "real_images"):
        (root / "Sub" / kind).mkdir(parents=True)
    for number in range(3):
        colours(number).save(root / "Sub" / "composite_images" / f"p{number}_1_1.jpg")
        MASK.save(root / "Sub" / "masks" / f"p{number}_1.png")
        colours(number + 9).save(root / "Sub" / "real_images" / f"p{number}.jpg")
    return root


@pytest.fixture
def photos(tmp_path):
    root = tmp_path / "photos"
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    for number in range(4):
        colours(number).save(root / "images" / f"Shot{number}.jpg")
        MASK.save(root / "masks" / f"Shot{number}.png")
    return root


# Side files


def test_side_files_are_passed_over_by_every_command(pairs, photos, tmp_path, capsys):
    for kind in ("composite_images", "masks", "real_images"):
        (pairs / "__MACOSX" / kind).mkdir(parents=True)
    add_side_files(pairs)
    add_side_files(photos)
    assert run("evaluate", pairs, "--size", "64") == 0
    assert "3 pairs" in capsys.readouterr().out
    for root, name in ((pairs, "pairs"), (photos, "photos")):
        assert run("prepare", root, tmp_path / f"small {name}", "--size", "16") == 0
    assert run("synthesize", photos, tmp_path / "made", "--pairs", "4") == 0
    assert len(list((tmp_path / "made").rglob("composite_images/*.jpg"))) == 4
    assert {path.stem for path in (tmp_path / "small photos" / "images").iterdir()} == {f"Shot{n}" for n in range(4)}


# Lists, tables and settings


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lists_in_any_encoding(pairs, encoding, end):
    lines = ['"Sub\\composite_images\\p0_1_1.jpg"', "", " P2_1_1.PNG ", "Thumbs.db", "._p1_1_1.jpg", "desktop.ini"]
    (pairs / "IHD_test.txt").write_bytes(end.join(lines).encode(encoding))
    assert [pair.composite.stem for pair in find_pairs(pairs, "test")] == ["p0_1_1", "p2_1_1"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_manifests_of_any_program(photos, encoding, separator):
    rows = ["sep=" + separator] if separator == ";" else []
    rows += [separator.join(row) for row in (("ID", "Split"), ("shot0.JPG", "Validation"), ("images\\Shot1", "TRAIN"))]
    rows += ["", separator.join((" Shot2 ", " val "))]
    (photos / "manifest.csv").write_bytes("\r\n".join(rows).encode(encoding))
    names = {split: [path.stem for path in Photographs(photos, split).pictures] for split in ("train", "val")}
    assert names == {"train": ["Shot1"], "val": ["Shot0", "Shot2"]}


@pytest.mark.parametrize(
    "read", [read_text, lambda path: read_table(path, {"id"}), lambda path: load_options(str(path))]
)
def test_text_in_an_old_code_page_is_named(tmp_path, read):
    (tmp_path / "a.toml").write_bytes("id\nStraße".encode("cp1252"))
    with pytest.raises(ValueError, match="a.toml: this text is not in UTF-8; save it as UTF-8"):
        read(tmp_path / "a.toml")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("name", ["mine.toml", "MINE.TOML"])
def test_configurations_of_any_program(tmp_path, encoding, name):
    (tmp_path / name).write_bytes("steps = 7\r\nstages = [{size = 32, batch = 2}]\r\n".encode(encoding))
    assert load_options(str(tmp_path / name)).steps == 7


# Names


@pytest.mark.parametrize(
    "name",
    ["shot0.PNG", "SHOT0.jpg", "Shot0.jpeg", "Shot0.bmp", "Shot0.TIF", "Shot0.gif", "Shot0_mask.png", "mask_Shot0.png",
     "Shot0.jpg.png", "Shot0_mask_1.png", "Shot0 matte.webp"],
)  # fmt: skip
def test_masks_of_photographs_have_many_names(photos, name):
    for path in (photos / "masks").iterdir():
        path.unlink()
    MASK.convert("RGB").save(photos / "masks" / name)
    (photos / "manifest.csv").write_text("id,split\nShot0,train\nShot1,train\n")
    source = Photographs(photos, "train")
    assert [path.name for masks in source.masks for path in masks] == [name]


@pytest.mark.parametrize("suffix", [".JPG", ".bmp", ".TIFF", ".Png"])
def test_photographs_have_many_suffixes(photos, suffix):
    for path in list((photos / "images").iterdir()):
        Image.open(path).save(path.with_suffix(suffix))
        path.unlink()
    assert len(Photographs(photos, "train").pictures) + len(Photographs(photos, "val").pictures) == 4


def test_pairs_whose_names_differ_in_case_belong_together(pairs):
    for path in list((pairs / "Sub" / "masks").iterdir()):
        path.rename(path.with_name(path.name.upper()))
    assert len(find_pairs(pairs, "test")) == 3


def test_deep_and_palette_masks_of_pairs(pairs, capsys):
    masks = sorted((pairs / "Sub" / "masks").iterdir())
    Image.fromarray(INSIDE.astype(np.uint16)).save(masks[0])
    Image.fromarray(INSIDE.astype(np.int32)).save(masks[1].with_suffix(".tif"))
    masks[1].unlink()
    palette = Image.fromarray(INSIDE * np.uint8(3))
    palette.putpalette([0, 0, 0] + [9, 9, 99] * 255)
    palette.save(masks[2])
    for pair in find_pairs(pairs, "test"):
        assert np.array_equal(pair.load().mask, np.asarray(MASK))


# Preparing photographs


def test_prepared_photographs_keep_their_proportions_and_splits(photos, tmp_path):
    (photos / "manifest.csv").write_text("id,split\nShot0,train\nShot1,val\nShot2,train\nShot3,val\n")
    assert run("prepare", photos, tmp_path / "small", "--size", "24", "--format", "jpg") == 0
    for kind in ("images", "masks"):
        assert {Image.open(path).size for path in (tmp_path / "small" / kind).iterdir()} == {(32, 24)}
    source = Photographs(tmp_path / "small", "val")
    assert [path.name for path in source.pictures] == ["Shot1.jpg", "Shot3.jpg"]
    assert set(np.unique(Image.open(tmp_path / "small" / "masks" / "Shot0.png"))) == {0, 255}
    before = (tmp_path / "small" / "images" / "Shot0.jpg").stat().st_mtime_ns
    assert run("prepare", photos, tmp_path / "small", "--size", "24", "--format", "jpg") == 0
    assert (tmp_path / "small" / "images" / "Shot0.jpg").stat().st_mtime_ns == before


def test_prepared_photographs_are_never_enlarged(photos, tmp_path):
    assert run("prepare", photos, tmp_path / "large", "--size", "200") == 0
    assert {Image.open(path).size for path in (tmp_path / "large" / "images").iterdir()} == {(64, 48)}


# What is asked for


@pytest.mark.parametrize(
    "command",
    [
        ("synthesize", "{0}", "{0}", "--pairs", "3"),
        ("train", "--data", "{0}", "--out", "{0}"),
        ("prepare", "{0}", "{0}", "--size", "8"),
    ],
)
def test_data_are_not_written_over(photos, capsys, command):
    before = sorted(photos.rglob("*"))
    assert run(*(each.format(photos) for each in command)) == 2
    error = capsys.readouterr().err
    assert "of its own" in error or "of their own" in error
    assert sorted(photos.rglob("*")) == before


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("lr=3", "'learning_rate'"),
        ("batch_size=3", "'stages'"),
        ("learning-rate=3", "'learning_rate'"),
        ("seed=99999999999999999999999", "seed must not be as large"),
        ("steps=1" + "0" * 400, "steps must not be as large"),
        ("learning_rate=1" + "0" * 400, "learning_rate must be at least 0"),
    ],
)
def test_options_that_are_wrong_are_told_in_our_words(option, words):
    with pytest.raises(ValueError, match=words):
        load_options("ours", [option])


def test_the_help_says_what_options_are_set_to(capsys):
    assert run("train", "--help") == 0
    shown = capsys.readouterr().out
    for line in ("learning_rate", "seed", "beta2"):
        assert any(row.split()[:1] == [line] and row.rstrip().endswith("]") for row in shown.splitlines())
    assert "at its highest [0.0012]" in shown


def test_progress_is_no_noise_in_a_file(photos, tmp_path, capsys):
    assert run("synthesize", photos, tmp_path / "made", "--pairs", "2") == 0
    assert run("prepare", photos, tmp_path / "small", "--size", "8") == 0
    assert capsys.readouterr().err == ""


def test_reports_of_names_that_are_no_text_are_written(pairs, tmp_path, capsys):
    name = b"p\xff_1_1.jpg".decode("utf-8", "surrogateescape")
    try:
        colours().save(pairs / "Sub" / "composite_images" / name)
    except OSError:
        pytest.skip("this file system has no such names")
    MASK.save(pairs / "Sub" / "masks" / name.replace("_1_1.jpg", "_1.png"))
    colours(1).save(pairs / "Sub" / "real_images" / name.replace("_1_1.jpg", ".jpg"))
    report, table = tmp_path / "report.json", tmp_path / "table.csv"
    assert run("evaluate", pairs, "--size", "64", "--report", report, "--csv", table) == 0
    assert json.loads(report.read_text())["n"] == 4 and len(table.read_bytes().splitlines()) == 5
