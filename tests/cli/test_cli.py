"""The command line: what it writes, and what it says when it cannot."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from command_line import listing, names, pixels, run
from harmonize_composite.cli import COMMANDS, demo

# --- one picture


@pytest.mark.parametrize("extension", ["png", "tif", "webp", "bmp"])
def test_outside_the_mask_every_pixel_stays(files, extension):
    out = files / f"out.{extension}"
    assert run("image", files / "composite.png", files / "mask.png", "-o", out, "--resolution", 64) == 0
    before, after, mask = pixels(files / "composite.png"), pixels(out), pixels(files / "mask.png")
    assert after.shape == before.shape
    assert np.array_equal(before[mask == 0], after[mask == 0])
    assert not np.array_equal(before[mask > 0], after[mask > 0])


def test_half_the_strength_makes_half_the_change(files):
    common = ("image", files / "composite.png", files / "mask.png", "--resolution", 64)
    for strength in ("0.5", "1"):
        assert run(*common, "-o", files / f"{strength}.png", "--strength", strength) == 0
    before, half, whole = (pixels(files / name).astype(float) for name in ("composite.png", "0.5.png", "1.png"))
    assert np.abs(half - (before + whole) / 2).max() <= 1


def test_masks_without_foreground_or_background_give_the_picture_back_with_a_warning(files, capsys):
    for colour in (0, 255):
        Image.new("L", (64, 48), colour).save(files / "plain.png")
        assert run("image", files / "composite.png", files / "plain.png", "-o", files / "out.png") == 0
        assert "stays as it is" in capsys.readouterr().err
        assert np.array_equal(pixels(files / "out.png"), pixels(files / "composite.png"))


def test_a_mask_of_another_scale_is_resized(files):
    Image.open(files / "mask.png").resize((128, 96)).save(files / "large.png")
    common = ("--resolution", 64, "-o", files / "out.png")
    assert run("image", files / "composite.png", files / "large.png", *common) == 0
    before, after = pixels(files / "composite.png"), pixels(files / "out.png")
    assert np.array_equal(before[:9], after[:9]) and not np.array_equal(before, after)


def test_a_reference_mask_changes_what_is_matched(files):
    reference = np.zeros((48, 64), np.uint8)
    reference[:, :10] = 255
    colours = pixels(files / "composite.png") // 2
    colours[:, :10] += 120
    Image.fromarray(colours).save(files / "composite.png")
    Image.fromarray(reference).save(files / "reference.png")
    common = ("image", files / "composite.png", files / "mask.png", "--resolution", 64)
    assert run(*common, "-o", files / "all.png") == 0
    assert run(*common, "-o", files / "some.png", "--reference-mask", files / "reference.png") == 0
    inside = pixels(files / "mask.png") == 255
    assert pixels(files / "some.png")[inside].mean() != pixels(files / "all.png")[inside].mean()


def test_a_cut_out_on_an_opaque_background_becomes_opaque(files):
    cutout = Image.open(files / "composite.png")
    cutout.putalpha(Image.open(files / "mask.png"))
    cutout.save(files / "cutout.png")
    Image.new("RGB", (64, 48), (10, 200, 30)).save(files / "green.png")
    common = ("--background", files / "green.png", "--resolution", 64, "-o", files / "out.png")
    assert run("image", files / "cutout.png", files / "cutout.png", *common) == 0
    result = pixels(files / "out.png")
    assert result.shape[-1] == 3 or (result[..., 3] == 255).all()
    assert (result[..., :3][pixels(files / "mask.png") == 0] == (10, 200, 30)).all()


def test_strength_0_changes_nothing(files):
    assert run("image", files / "composite.png", files / "mask.png", "-o", files / "out.png", "--strength", 0) == 0
    assert np.array_equal(pixels(files / "out.png"), pixels(files / "composite.png"))


def test_an_inverted_mask_changes_the_rest(files):
    common = ("image", files / "composite.png", files / "mask.png", "--resolution", 64, "--invert-mask")
    assert run(*common, "-o", files / "out.png") == 0
    before, after, mask = pixels(files / "composite.png"), pixels(files / "out.png"), pixels(files / "mask.png")
    assert np.array_equal(before[mask == 255], after[mask == 255])
    assert not np.array_equal(before[mask == 0], after[mask == 0])


def test_a_background_takes_the_place_of_all_that_is_not_foreground(files):
    Image.new("RGB", (64, 48), (10, 200, 30)).save(files / "green.png")
    common = ("image", files / "composite.png", files / "mask.png", "--resolution", 64)
    assert run(*common, "-o", files / "out.png", "--background", files / "green.png") == 0
    assert (pixels(files / "out.png")[pixels(files / "mask.png") == 0] == (10, 200, 30)).all()


def test_the_same_command_twice_writes_the_same_file(files):
    for name in ("a.png", "b.png"):
        assert run("image", files / "composite.png", files / "mask.png", "-o", files / name, "--resolution", 64) == 0
    assert (files / "a.png").read_bytes() == (files / "b.png").read_bytes()


def test_own_weights_are_used(files):
    run("weights", "package", "hdnet-lite-semantic", files / "repo")
    common = ("image", files / "composite.png", files / "mask.png", "--resolution", 64)
    assert run(*common, "-o", files / "a.png") == 0
    assert run(*common, "-o", files / "b.png", "--weights", files / "repo" / "model.safetensors") == 0
    assert (files / "a.png").read_bytes() == (files / "b.png").read_bytes()


# --- what is wrong costs one sentence and exit code 2, and nothing is written


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("composite.png tall_mask.png -o out.png", "24x48 pixels but"),
        ("tall.png mask.png -o out.png", "proportions"),
        ("composite.png mask.png -o out.png --reference-mask tall_mask.png", "proportions"),
        ("composite.png mask.png -o out.png --background tall.png", "background"),
        ("text.png mask.png -o out.png", "text.png: this is not a picture"),
        ("composite.png text.png -o out.png", "text.png: this is not a picture"),
        ("empty.png mask.png -o out.png", "empty.png: this is not a picture"),
        ("cut.png mask.png -o out.png", "cut.png: the picture is damaged"),
        ("composite.png cut.png -o out.png", "cut.png: the picture is damaged"),
        ("composite.png mask.png -o out.png --background cut.png", "cut.png: the picture is damaged"),
        ("nan.tif mask.png -o out.png", "out.png: .png holds no values beyond 0..1"),
        ("infinite.tif mask.png -o out.png", "out.png: .png holds no values beyond 0..1"),
        ("composite.png nan.tif -o out.png", "nan.tif: the picture holds NaN"),
        ("huge.tif mask.png -o out.png", "out.png: .png holds no values beyond 0..1"),
        ("missing.png mask.png -o out.png", "missing.png: there is no such file"),
        ("composite.png missing.png -o out.png", "missing.png: there is no such file"),
        (". mask.png -o out.png", "this is a folder"),
        ("composite.png mask.png -o missing/out.png", "does not exist"),
        ("composite.png mask.png -o text.png/out.png", "text.png"),
        ("composite.png mask.png -o .", "must end in"),
        ("composite.png mask.png -o out.txt", "must end in"),
        ("composite.png mask.png -o out.gif", "must end in"),
        ("composite.png mask.png -o out", "must end in"),
        ("composite.png mask.png -o out.png --weights bad.safetensors", "damaged or cut short"),
        ("composite.png mask.png -o out.png --weights pickle.safetensors", "pickled checkpoint"),
        ("composite.png mask.png -o out.png --weights missing.safetensors", "no such file"),
        ("composite.png mask.png -o out.png --weights hdnet-light", "did you mean 'hdnet-lite'?"),
        ("composite.png mask.png -o out.png --weights hub:a/b/c.pth", "only .safetensors"),
        ("composite.png mask.png -o out.png --strength 2.5", "--strength"),
        ("composite.png mask.png -o out.png --strength -0.1", "--strength"),
        ("composite.png mask.png -o out.png --strength nan", "--strength"),
        ("composite.png mask.png -o out.png --strength much", "--strength"),
        ("composite.png mask.png -o out.png --resolution 8", "--resolution"),
        ("composite.png mask.png -o out.png --resolution 99999", "--resolution"),
        ("composite.png mask.png -o out.png --resolution full", "--resolution"),
        ("composite.png mask.png -o out.png --feather nan", "feather"),
        ("composite.png mask.png -o out.png --feather -1", "feather"),
        ("composite.png mask.png -o out.png --feather 1e9", "0 to 1024 pixels"),
        ("composite.png mask.png -o out.png --device nonsense", "nonsense"),
        ("composite.png mask.png -o out.png --device meta", "'meta' cannot be used here"),
        ("composite.png mask.png -o out.png --precision double", "--precision"),
        ("composite.png mask.png", "-o"),
        ("composite.png -o out.png", "MASK"),
    ],
)
def test_bad_input_costs_one_sentence(files, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(files)
    before = listing(files)
    assert run("image", *arguments.split()) == 2
    shown = capsys.readouterr()
    assert words in shown.err and shown.out == ""
    assert shown.err.startswith("harmonize") and shown.err.count("\n") == 1
    assert listing(files) == before


@pytest.mark.parametrize(("limit", "code"), [(48 * 64, 0), (2000, 0), (1000, 2)])
def test_large_pictures_are_read_in_silence_up_to_a_limit(files, monkeypatch, capsys, recwarn, limit, code):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)  # Pillow warns above it and raises above twice as many
    common = ("image", files / "composite.png", files / "mask.png", "--resolution", 64)
    assert run(*common, "-o", files / "out.png") == code
    error = capsys.readouterr().err
    assert error.count("\n") == bool(code) and ("megapixels" in error) == bool(code)
    assert not recwarn.list


def test_a_file_that_cannot_be_written_is_named_as_it_was_given(files, monkeypatch, capsys):
    monkeypatch.chdir(files)
    (files / "folder.pth").mkdir()
    before = listing(files)
    assert run("weights", "export", "hdnet-lite", "folder.pth") == 2
    assert capsys.readouterr().err == "harmonize: folder.pth: Is a directory.\n"
    assert listing(files) == before


@pytest.mark.parametrize("arguments", [(), ("paint",), ("weights",), ("--nothing",)])
def test_a_command_that_does_not_exist_costs_one_sentence(capsys, arguments):
    assert run(*arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_machine_that_fails_at_work_gives_1(files, monkeypatch, capsys):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    before = listing(files)
    common = ("image", files / "composite.png", files / "mask.png", "--resolution", 64)
    assert run(*common, "-o", files / "out.png") == 1
    assert capsys.readouterr().err == f"harmonize: {files / 'out.png'}: No space left on device.\n"
    assert listing(files) == before


def test_a_package_that_is_missing_is_named_with_the_way_to_get_it(monkeypatch, capsys):
    def lacks(_):
        raise ModuleNotFoundError("No module named 'skimage'", name="skimage")

    monkeypatch.setattr(demo, "run", lacks)
    assert run("demo") == 1
    assert "pip install 'harmonize-composite[train]'" in capsys.readouterr().err


# --- interruption


def test_an_interruption_gives_130_and_leaves_nothing(files, monkeypatch, capsys):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    before = listing(files)
    common = ("image", files / "composite.png", files / "mask.png", "--resolution", 64)
    assert run(*common, "-o", files / "out.png") == 130
    assert capsys.readouterr().err == "harmonize: interrupted\n"
    assert listing(files) == before


@pytest.mark.skipif(os.name == "nt", reason="signals differ")
def test_ctrl_c_on_a_folder_leaves_whole_files_only(files):
    for folder in ("composites", "masks"):
        (files / folder).mkdir()
    for number in range(300):
        os.link(files / "composite.png", files / "composites" / f"{number:03}.png")
        os.link(files / "mask.png", files / "masks" / f"{number:03}.png")
    command = [sys.executable, "-m", "harmonize_composite.cli", "folder", "composites", "masks", "-o", "out"]
    process = subprocess.Popen(
        [*command, "--resolution", "64"],
        cwd=files,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # a shell gives what it runs in the background a SIGINT that is ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    while process.poll() is None and not list((files / "out").glob("0*.png")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error.splitlines()[-1] == "harmonize: interrupted" and "Traceback" not in error
    written = list((files / "out").iterdir())
    assert 0 < len(written) < 300
    for path in written:
        assert path.suffix == ".png" and not path.name.startswith(".")
        assert pixels(path).shape == (48, 64, 3)


# --- the demo


def test_the_demo_writes_before_mask_after_and_all_side_by_side(tmp_path, capsys):
    out = tmp_path / "new" / "demo"
    assert run("demo", "-o", out) == 0
    assert names(out) == ["after.png", "before.png", "mask.png", "side_by_side.png"]
    assert capsys.readouterr().out.split() == [
        str(out / f"{name}.png") for name in ("before", "mask", "after", "side_by_side")
    ]
    before, mask, after = (pixels(out / f"{name}.png") for name in ("before", "mask", "after"))
    side_by_side = np.concatenate((before, np.stack([mask] * 3, -1), after), 1)
    assert np.array_equal(pixels(out / "side_by_side.png"), side_by_side)
    background = mask == 0
    assert np.array_equal(before[background], after[background])
    assert np.abs(before[~background].astype(int) - after[~background]).mean() > 2


@pytest.mark.parametrize("options", [("-o", "text.png"), ("-o", "text.png/out"), ("-o", "out", "--weights", "none")])
def test_a_demo_that_cannot_be_costs_one_sentence(files, monkeypatch, capsys, options):
    monkeypatch.chdir(files)
    before = listing(files)
    assert run("demo", *options) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert listing(files) == before


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(capsys, command):
    assert run(command, "--help") == 0
    assert f"harmonize {command}" in capsys.readouterr().out


def test_the_version_is_that_of_the_package(capsys):
    project = (Path(__file__).resolve().parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    version = project.split('\nversion = "')[1].partition('"')[0]
    assert run("--version") == 0
    assert capsys.readouterr().out == f"harmonize-composite {version}\n"
