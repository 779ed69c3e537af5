"""The command line: what it writes, and how it refuses."""

import errno
import shutil
from pathlib import Path

import numpy as np
import pytest
from harmonize_composite import folders, pictures
from harmonize_composite.cli import main
from harmonize_composite.hdnet import Harmonizer
from PIL import Image

SIZE = 96, 64  # width, height


def pixels(path):
    return np.asarray(Image.open(path))


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """A folder with composite.png, mask.png and other inputs, good and bad."""
    folder = tmp_path_factory.mktemp("examples")
    rng = np.random.default_rng(0)
    noise = rng.integers(40, 200, (SIZE[1] // 8, SIZE[0] // 8, 3), np.uint8)
    composite = Image.fromarray(noise).resize(SIZE, Image.Resampling.BICUBIC)
    mask = np.zeros(SIZE[::-1], np.uint8)
    mask[16:48, 24:72] = 255
    reddish = np.asarray(composite).copy()
    reddish[mask > 0] = reddish[mask > 0] * 0.6 + (90, 0, 0)
    Image.fromarray(reddish).save(folder / "composite.png")
    composite.save(folder / "background.png")
    Image.fromarray(mask).save(folder / "mask.png")
    Image.fromarray(255 - mask).save(folder / "inverted.png")
    Image.fromarray(np.roll(mask, 24, 1)).save(folder / "aside.png")
    Image.fromarray(mask).resize((192, 128), Image.Resampling.NEAREST).save(folder / "larger_mask.png")
    Image.new("L", (64, 96)).save(folder / "upright_mask.png")
    Image.new("L", SIZE).save(folder / "empty_mask.png")
    Image.new("L", SIZE, 255).save(folder / "full_mask.png")
    Image.new("RGB", (50, 50)).save(folder / "small.png")
    Image.fromarray(np.full(SIZE[::-1], np.nan, np.float32)).save(folder / "nan.tiff")
    (folder / "text.png").write_text("no picture at all")
    whole = (folder / "composite.png").read_bytes()
    (folder / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (folder / "weights.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    (folder / "a_file").write_text("in the way")
    return folder


@pytest.fixture
def run(examples, tmp_path, monkeypatch, capsys):
    """Runs a command line beside copies of the examples; gives exit code, output and errors."""
    shutil.copytree(examples, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)

    def call(line):
        try:
            code = main(line.split())
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return call


def test_a_picture_is_harmonized_inside_the_mask_and_nowhere_else(run):
    assert run("image composite.png mask.png -o out.png")[0] == 0
    before, after, inside = pixels("composite.png"), pixels("out.png"), pixels("mask.png") > 0
    assert np.array_equal(after[~inside], before[~inside])
    assert np.abs(after[inside].astype(int) - before[inside]).mean() > 1


def test_strength_0_changes_nothing_and_a_half_changes_half(run):
    for strength in ("0", "0.5", "1"):
        assert run(f"image composite.png mask.png -o out{strength}.png --strength {strength}")[0] == 0
    before, half, whole = (pixels(f"out{strength}.png").astype(float) for strength in ("0", "0.5", "1"))
    assert np.array_equal(before, pixels("composite.png"))
    assert np.abs(half - (before + whole) / 2).max() <= 1


def test_inverting_the_mask_is_giving_the_inverted_mask(run):
    run("image composite.png mask.png -o one.png")
    run("image composite.png inverted.png -o other.png --invert-mask")
    assert np.array_equal(pixels("one.png"), pixels("other.png"))


def test_a_mask_of_another_scale_is_resized(run):
    assert run("image composite.png larger_mask.png -o out.png")[0] == 0


def test_a_background_is_what_is_seen_outside_the_mask(run):
    assert run("image composite.png aside.png -o out.png --background background.png")[0] == 0
    outside = pixels("aside.png") == 0
    assert np.array_equal(pixels("out.png")[outside], pixels("background.png")[outside])


def test_a_reference_mask_changes_what_is_matched(run):
    run("image composite.png mask.png -o all.png")
    assert run("image composite.png mask.png -o some.png --reference-mask aside.png")[0] == 0
    assert not np.array_equal(pixels("all.png"), pixels("some.png"))


def test_masks_without_foreground_or_background_give_the_picture_back_with_a_warning(run):
    for mask in ("empty_mask.png", "full_mask.png"):
        code, _, warnings = run(f"image composite.png {mask} -o out.png")
        assert code == 0 and "stays as it is" in warnings
        assert np.array_equal(pixels("out.png"), pixels("composite.png"))


def test_an_alpha_channel_is_the_mask_and_is_kept(run):
    cutout = Image.open("composite.png")
    cutout.putalpha(Image.open("mask.png"))
    cutout.save("cutout.png")
    assert run("image cutout.png cutout.png --background background.png -o out.png")[0] == 0
    assert np.array_equal(pixels("out.png")[..., 3], pixels("mask.png"))


def test_the_demo_writes_four_pictures_and_says_where(run):
    code, output, _ = run("demo -o shown/here")
    assert code == 0
    for name in ("before", "mask", "after", "side_by_side"):
        assert f"{name}.png" in output and pixels(f"shown/here/{name}.png").size
    outside = pixels("shown/here/mask.png") == 0
    assert np.array_equal(pixels("shown/here/after.png")[outside], pixels("shown/here/before.png")[outside])


# Refusals

BAD = {
    "composite.png upright_mask.png -o out.png": "must have the proportions",
    "text.png mask.png -o out.png": "not a picture",
    "truncated.png mask.png -o out.png": "damaged",
    "nan.tiff mask.png -o out.png": "NaN",
    "missing.png mask.png -o out.png": "no such file",
    ". mask.png -o out.png": "folder",
    "composite.png nan.tiff -o out.png": "NaN",
    "composite.png mask.png -o nowhere/out.png": "does not exist",
    "composite.png mask.png -o a_file/out.png": "does not exist",
    "composite.png mask.png -o out.xyz": "must end in",
    "composite.png mask.png -o out.png --background small.png": "same size",
    "composite.png mask.png -o out.png --reference-mask upright_mask.png": "must have the proportions",
    "composite.png mask.png -o out.png --weights weights.safetensors": "safetensors",
    "composite.png mask.png -o out.png --weights missing.safetensors": "no such file",
    "composite.png mask.png -o out.png --weights hdnet-light": "known: hdnet-lite",
    "composite.png mask.png -o out.png --weights hub:nonsense": "hub:owner/repo",
    "composite.png mask.png -o out.png --strength 1.5": "0..1",
    "composite.png mask.png -o out.png --strength nan": "0..1",
    "composite.png mask.png -o out.png --resolution 5000": "64 to 4096",
    "composite.png mask.png -o out.png --resolution huge": "64 to 4096",
    "composite.png mask.png -o out.png --feather -1": "0 or more",
    "composite.png mask.png -o out.png --device abacus": "abacus",
    "composite.png mask.png": "-o/--output",
}


@pytest.mark.parametrize("line", BAD)
def test_bad_input_gets_one_sentence_and_nothing_is_written(run, tmp_path, line):
    before = sorted(tmp_path.rglob("*"))
    code, output, errors = run(f"image {line}")
    assert code == 2
    assert output == ""
    assert errors.startswith("harmonize") and errors.count("\n") == 1
    assert BAD[line] in errors
    assert sorted(tmp_path.rglob("*")) == before


def test_an_old_result_survives_a_failure(run, monkeypatch):
    Image.new("RGB", (3, 3)).save("out.png")
    monkeypatch.setattr(pictures, "write_whole", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space")))
    code, _, errors = run("image composite.png mask.png -o out.png")
    assert code == 1 and "No space" in errors
    assert Image.open("out.png").size == (3, 3)


def test_interruption_ends_with_130_and_writes_nothing(run, monkeypatch, tmp_path):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Harmonizer, "__call__", interrupted)
    code, _, errors = run("image composite.png mask.png -o out.png")
    assert (code, errors) == (130, "harmonize: interrupted\n")
    assert not (tmp_path / "out.png").exists()


def test_an_unknown_command_is_refused(run):
    code, _, errors = run("harmonise composite.png")
    assert code == 2 and "invalid choice" in errors


# Folders


@pytest.fixture
def two_folders(run):
    """Composites and masks: two pairs, one of them named as in iHarmony4."""
    for folder in ("composites", "masks"):
        Path(folder).mkdir()
    shutil.copy("composite.png", "composites/one.png")
    shutil.copy("mask.png", "masks/one.png")
    Image.open("composite.png").save("composites/a0001_1_7.jpg", quality=95)
    shutil.copy("mask.png", "masks/a0001_1.png")
    return run


def test_a_folder_is_harmonized_by_the_names_of_its_masks(two_folders):
    code, output, _ = two_folders("folder composites masks -o results")
    assert code == 0 and "2 of 2" in output
    single = two_folders("image composite.png mask.png -o single.png")
    assert single[0] == 0 and np.array_equal(pixels("results/one.png"), pixels("single.png"))
    assert pixels("results/a0001_1_7.jpg").shape == (SIZE[1], SIZE[0], 3)


def test_a_broken_file_does_not_stop_the_others_and_is_listed(two_folders, tmp_path):
    shutil.copy("truncated.png", "composites/broken.png")
    shutil.copy("mask.png", "masks/broken.png")
    shutil.copy("composite.png", "composites/lonely.png")
    code, output, errors = two_folders("folder composites masks -o results")
    assert code == 1 and "2 of 4" in output
    assert "broken.png" in errors and "lonely.png" in errors
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == ["a0001_1_7.jpg", "one.png"]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("missing masks -o results", "no such folder"),
        ("composites missing -o results", "no such folder"),
        ("composites masks -o composites", "overwrite"),
        ("composites masks -o a_file", "file"),
        ("nothing masks -o results", "no pictures"),
        ("composites nothing -o results", "no mask"),
    ],
)
def test_unfit_folders_are_refused(two_folders, tmp_path, line, sentence):
    (tmp_path / "nothing").mkdir()
    code, _, errors = two_folders(f"folder {line}")
    assert code == 2 and sentence in errors and errors.count("\n") == 1


def test_memory_does_not_grow_with_the_folder(examples, tmp_path):
    """Few pictures are read ahead of the one that is being harmonized."""
    read = []

    def jobs():
        for number in range(30):
            read.append(number)
            yield folders.Job(examples / "composite.png", examples / "mask.png", tmp_path / f"{number}.png")

    finished = most = 0
    for _, error in folders.harmonize_folder(jobs(), lambda picture, mask: picture):
        finished += 1
        most = max(most, len(read) - finished)
        assert error is None
    assert finished == 30 and most < 10
