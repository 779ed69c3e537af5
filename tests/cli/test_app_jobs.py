"""What the page of `harmonize app` does with files: the same bytes as the command line, and the right ones."""

import warnings

import numpy as np
import pytest
from PIL import Image

from command_line import pixels, run
from harmonize_composite.cli.app_jobs import SHOWN, Desk

OPACITY = 0.6


@pytest.fixture
def desk(tmp_path):
    folder = tmp_path / "desk"
    folder.mkdir()
    return Desk(folder)


@pytest.fixture
def photo(tmp_path):
    """A smooth picture with noise, of 90x120 pixels."""
    rows, columns = np.mgrid[:90, :120]
    levels = np.stack((rows * 2, columns * 2, 200 - rows), -1) + np.random.default_rng(0).integers(0, 9, (90, 120, 3))
    path = tmp_path / "photo.png"
    Image.fromarray(levels.astype(np.uint8)).save(path)
    return path


@pytest.fixture
def cutout(tmp_path):
    """A red disc of 40x40 pixels with a soft edge."""
    rows, columns = np.mgrid[:40, :40]
    alpha = ((19 - np.hypot(rows - 19.5, columns - 19.5)) * 100).clip(0, 255)
    path = tmp_path / "disc.png"
    Image.fromarray(np.stack((200 + rows, columns, rows, alpha), -1).astype(np.uint8)).save(path)
    return path


def stroke(height, width, rows, columns):
    """A layer of the page's editor with one stroke on it."""
    layer = np.zeros((height, width, 4), np.uint8)
    layer[rows, columns] = (255, 60, 90, round(255 * OPACITY))
    return layer


def last(outcomes):
    return list(outcomes)[-1]


def by_command(tmp_path, *arguments):
    """The bytes of picture, layer and table that `harmonize image` writes."""
    files = [tmp_path / name for name in ("out.png", "layer.png", "change.cube")]
    outputs = ("-o", files[0], "--foreground-out", files[1], "--lut", files[2])
    assert run("image", *arguments, *outputs) == 0
    return [path.read_bytes() for path in files]


OPTIONS = [
    {},
    {"foreground": "pasted", "strength": 1.5},
    {"foreground": "pasted", "lightness": 0.0, "colour": 0.35, "resolution": "native"},
    {"foreground": "pasted", "grow": -3, "feather": 2, "blend_grow": 4, "blend_feather": 5.0},
    {"invert_mask": True, "weights": "hdnet-lite", "lut_size": 65, "device": "cpu", "precision": "float32"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_painted_mask_gives_the_bytes_of_the_command_line(desk, photo, tmp_path, options):
    painted = desk.painted([stroke(90, 120, slice(30, 60), slice(40, 80))], OPACITY)
    mask = Image.new("L", (120, 90))
    mask.paste(255, (40, 30, 80, 60))
    mask.save(tmp_path / "drawn.png")
    flags = []
    for name, value in options.items():
        flags += [f"--{name.replace('_', '-')}", *([] if value is True else [value])]
    expected = by_command(tmp_path, photo, tmp_path / "drawn.png", *flags)
    outcome = last(desk.harmonize(photo, painted, photo, options))
    assert [path.read_bytes() for path in outcome.files[:2]] == expected[:2]
    assert outcome.files[2].read_bytes() == expected[2]
    assert [path.name for path in outcome.files] == ["photo_harmonized.png", "photo_foreground.png", "photo.cube"]


def test_the_picture_is_there_before_layer_and_table(desk, photo):
    painted = desk.painted([stroke(90, 120, slice(30, 60), slice(40, 80))], OPACITY)
    first, second = desk.harmonize(photo, painted, photo, {"foreground": "pasted"})
    assert first.files[0].is_file() and first.files[1:] == (None, None)
    assert first.shown == second.shown and all(path.is_file() for path in (*second.files, *second.shown))
    assert second.said == "Pasted: the colours were judged by the network"


def test_strokes_over_each_other_and_on_several_layers_are_one_white_mask(desk):
    once = stroke(8, 8, slice(0, 4), slice(0, 8))
    twice = stroke(8, 8, slice(2, 6), slice(0, 8))
    twice[2:4, :, 3] = 214  # what two strokes of 0.6 leave
    mask = pixels(desk.painted([once, twice], OPACITY))
    assert (mask[:6] == 255).all() and (mask[6:] == 0).all()


def test_nothing_painted_is_no_mask(desk):
    assert desk.painted([np.zeros((4, 4, 4), np.uint8)], OPACITY) is None
    assert desk.painted([], OPACITY) is None


def test_what_was_painted_small_is_changed_at_full_size_and_upright(desk, tmp_path):
    levels = np.random.default_rng(0).integers(60, 190, (1500, 2400, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    Image.fromarray(levels).save(tmp_path / "camera.png", exif=exif)
    upright = np.rot90(levels, -1)
    given = desk.receive(tmp_path / "camera.png")
    assert given.size == (2400, 1500) and given.preview_size == (SHOWN, SHOWN * 1500 // 2400)
    assert pixels(given.preview).shape[:2] == given.preview_size
    painted = desk.painted([stroke(*given.preview_size, slice(400, 800), slice(500, 900))], OPACITY)
    outcome = last(desk.harmonize(given.path, painted, given.preview, {"foreground": "pasted"}))
    result = pixels(outcome.files[0])
    changed = (result != upright).any(-1)
    assert result.shape == upright.shape
    inside = np.zeros(changed.shape, bool)
    inside[601:1199, 751:1349] = True  # 1.5 times what was painted
    assert changed[inside].mean() > 0.9
    assert not changed[:598].any() and not changed[1202:].any() and not changed[:, :748].any()
    assert pixels(outcome.shown[1]).shape[:2] == given.preview_size


def test_a_placed_cutout_gives_the_bytes_of_the_command_line(desk, photo, cutout, tmp_path):
    background = desk.receive(photo)
    canvas = Image.new("RGBA", (120, 90))
    canvas.paste(Image.open(cutout), (70, 25))  # its middle at 90, 45
    canvas.save(tmp_path / "canvas.png")
    expected = by_command(
        tmp_path, tmp_path / "canvas.png", tmp_path / "canvas.png", "--background", photo, "--foreground", "pasted"
    )
    placed = desk.placed(cutout, background, 0.5, 0.75, 1)
    before = desk.pasted_preview(desk.receive(cutout), background, 0.5, 0.75, 1)
    outcome = last(desk.harmonize(placed, placed, before, {"foreground": "pasted"}, photo))
    assert [path.read_bytes() for path in outcome.files[:2]] == expected[:2]
    together = Image.open(photo).convert("RGBA")
    together.alpha_composite(canvas)
    shown = pixels(outcome.shown[0]).astype(int)  # a JPEG
    assert np.abs(shown - np.asarray(together)[..., :3]).mean() < 3


def test_a_cutout_keeps_its_sixteen_bits(desk, photo, tmp_path):
    import tifffile

    levels = np.random.default_rng(0).integers(0, 65536, (20, 30, 4), np.uint16)
    tifffile.imwrite(tmp_path / "deep.tif", levels, photometric="rgb", extrasamples=["unassalpha"])
    placed = desk.placed(tmp_path / "deep.tif", desk.receive(photo), 0.5, 0.5, 1)
    reread = desk.placed(placed, desk.receive(photo), 0.5, 0.5, 1)
    assert placed.read_bytes() == reread.read_bytes()
    assert placed.read_bytes()[24] == 16


def test_the_small_copy_says_nothing_of_camera_and_place(desk, tmp_path):
    exif = Image.Exif()
    exif[ExifModel := 0x0110] = "A camera"
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 12.0)
    Image.new("RGB", (30, 20), "red").save(tmp_path / "holiday.jpg", exif=exif)
    assert ExifModel in Image.open(tmp_path / "holiday.jpg").getexif()
    assert not Image.open(desk.receive(tmp_path / "holiday.jpg").preview).getexif()


def test_only_what_is_transparent_somewhere_has_alpha(desk, cutout, photo, tmp_path):
    Image.open(photo).convert("RGBA").save(tmp_path / "opaque.png")
    received = [desk.receive(path).has_alpha for path in (cutout, photo, tmp_path / "opaque.png")]
    assert received == [True, False, False]


# --- what is wrong costs one sentence, by the name of the user's own file


def sentence_of(desk, *call):
    function, *arguments = call
    with pytest.raises(ValueError) as caught:
        function(*arguments)
    said = desk.said_of(caught.value)
    assert str(desk.folder) not in said and "\n" not in said
    return said


def uploaded(desk, name, content):
    path = desk.new(name)
    path.write_bytes(content)
    return path


def test_broken_files_are_named(desk, photo):
    whole = photo.read_bytes()
    assert sentence_of(desk, desk.receive, uploaded(desk, "notes.png", b"text")).startswith("notes.png: this is not a")
    assert sentence_of(desk, desk.receive, uploaded(desk, "half.png", whole[:4000])).startswith("half.png: the picture")
    assert "the file is empty" in sentence_of(desk, desk.receive, uploaded(desk, "void.png", b""))


def test_a_cutout_that_cannot_be_placed(desk, photo, cutout):
    background = desk.receive(photo)
    opaque = uploaded(desk, "opaque.png", photo.read_bytes())
    assert "opaque.png: this cut-out is transparent nowhere" in sentence_of(
        desk, desk.placed, opaque, background, 0.5, 0.5, 1
    )
    assert "transparent nowhere" in sentence_of(
        desk, desk.pasted_preview, desk.receive(opaque), background, 0.5, 0.5, 1
    )
    assert "outside the background" in sentence_of(desk, desk.placed, cutout, background, -5, 0.5, 1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"strength": 3.0}, "The strength must be"),
        ({"foreground": "both"}, "invalid choice"),
        ({"weights": "hdnet-light"}, "did you mean"),
    ],
)
def test_options_that_no_slider_gives(desk, photo, options, words):
    mask = desk.painted([stroke(90, 120, slice(30, 60), slice(40, 80))], OPACITY)
    assert words in sentence_of(desk, lambda: list(desk.harmonize(photo, mask, photo, options)))


def test_warnings_are_gathered_by_the_names_of_files(desk, photo):
    everything = desk.painted([stroke(90, 120, slice(None), slice(None))], OPACITY)
    with desk.warnings() as said, warnings.catch_warnings():
        list(desk.harmonize(photo, everything, photo, {}))
    assert len(said) == 1 and "photo.png" in said[0] and "stays as it is" in said[0]


def test_all_files_that_are_made_are_known(desk, photo):
    painted = desk.painted([stroke(90, 120, slice(30, 60), slice(40, 80))], OPACITY)
    given = desk.receive(photo)
    list(desk.harmonize(photo, painted, given.preview, {}))
    assert {str(path) for path in desk.folder.rglob("*") if path.is_file()} == desk.made
