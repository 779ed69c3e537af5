"""Masks of films: by time or by number, by alpha, turned. PyAV alone writes and reads."""

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

av = pytest.importorskip("av")

from films import HEIGHT, WIDTH, as_picture, rectangle, textured, write  # noqa: E402
from harmonize_composite.files.errors import PictureError  # noqa: E402
from harmonize_composite.files.video import Film  # noqa: E402
from harmonize_composite.files.video_frames import masked_frames  # noqa: E402
from harmonize_composite.files.video_masks import LINEAR, FilmMask  # noqa: E402


def moving(count, step=2):
    """Masks of a rectangle that moves to the right."""
    return [as_picture(rectangle(left=4 + step * number, right=24 + step * number)) for number in range(count)]


def lefts(folder, *arguments):
    """Where the mask begins in each frame."""
    film = Film(folder / "film.mkv")
    return [None if frame.box is None else frame.box[2] for frame in masked_frames(film, *arguments)]


@pytest.mark.parametrize(("rate", "mask_rate"), [(50, 25), (25, 50), (24, 30), (30, 24), ("24000/1001", 24)])
def test_a_film_of_masks_is_matched_by_time(tmp_path, rate, mask_rate):
    from fractions import Fraction

    rate = Fraction(rate)
    count, mask_count = int(rate * 1), int(mask_rate * 1) + 3
    write(tmp_path / "film.mkv", [textured()] * count, rate=rate)
    write(tmp_path / "mask.mp4", moving(mask_count), "gray", "libx264", rate=mask_rate)
    shown = [number * mask_rate / rate for number in range(count)]  # in frames of the mask
    for left, exact in zip(lefts(tmp_path, tmp_path / "mask.mp4"), shown):
        assert abs((left - 4) / 2 - exact) < 1.02
    assert lefts(tmp_path, tmp_path / "mask.mp4")[0] == 4


def test_a_frame_rate_may_vary(tmp_path):
    times = [0, 0.04, 0.08, 0.5, 0.54, 1.0]
    write(tmp_path / "film.mkv", [textured()] * 6, times=times)
    write(tmp_path / "mask.mkv", moving(26), "gray")
    assert lefts(tmp_path, tmp_path / "mask.mkv") == [4 + 2 * int(25 * each + 0.3) for each in times]


def test_as_many_frames_at_another_rate_are_matched_one_by_one_and_that_is_said(tmp_path, caplog):
    write(tmp_path / "film.mp4", [textured()] * 12, "yuv420p", "libx264", rate=30)
    write(tmp_path / "mask.mp4", moving(12), "gray", "libx264", rate=24)
    found = [frame.box[2] for frame in masked_frames(Film(tmp_path / "film.mp4"), tmp_path / "mask.mp4")]
    assert found == [4 + 2 * number for number in range(12)]
    assert "matched one by one" in caplog.text


def test_the_last_mask_holds_and_pictures_are_taken_one_a_frame(tmp_path):
    write(tmp_path / "film.mkv", [textured()] * 12)
    (tmp_path / "masks").mkdir()
    for number, each in enumerate(moving(11)):
        av.VideoFrame.from_ndarray(each, "rgb24").to_image().save(tmp_path / "masks" / f"m{number}.png")
    numbered = [4 + 2 * min(number, 10) for number in range(12)]  # 10 comes after 9
    assert lefts(tmp_path, tmp_path / "masks") == numbered
    write(tmp_path / "mask.mkv", moving(3), "gray")
    assert lefts(tmp_path, tmp_path / "mask.mkv") == [4, 6, 8] + [8] * 9
    tensor = torch.from_numpy(np.stack(moving(11))[..., 0]).float() / 255
    assert lefts(tmp_path, tensor) == numbered


ALPHA = {
    "vp9.webm": ("yuva420p", "libvpx-vp9"),
    "prores.mov": ("yuva444p10le", "prores_ks"),
    "qtrle.mov": ("argb", "qtrle"),
    "ffv1.mkv": ("bgra", "ffv1"),
}


@pytest.mark.parametrize("name", ALPHA)
@pytest.mark.parametrize("role", ["of itself", "of another film"])
def test_an_alpha_channel_is_a_mask(tmp_path, name, role):
    form, codec = ALPHA[name]
    where = rectangle(16, 80, 32, 96)
    write(tmp_path / name, [np.dstack((textured(), where.astype(np.uint8) * 255))] * 3, form, codec)
    write(tmp_path / "other.mkv", [textured(1)] * 3)
    film, mask = (name, None) if role == "of itself" else ("other.mkv", tmp_path / name)
    behind = tmp_path / "other.mkv" if role == "of itself" else None
    for frame in masked_frames(Film(tmp_path / film), mask, behind=behind):
        assert (frame.marked.full().numpy()[where] > 0.97).mean() > 0.98
        assert (frame.marked.full().numpy()[~where] < 0.03).mean() > 0.98


def test_what_is_nothing_but_a_cut_out_asks_for_a_background(tmp_path):
    where = rectangle()
    picture = np.where(where[..., None], textured(), 0).astype(np.uint8)
    write(tmp_path / "film.mov", [np.dstack((picture, where.astype(np.uint8) * 255))] * 3, "argb", "qtrle")
    with pytest.raises(PictureError, match="give a --background"):
        next(masked_frames(Film(tmp_path / "film.mov"), None))
    write(tmp_path / "opaque.mkv", [picture] * 3)
    with pytest.raises(PictureError, match="without an alpha channel"):
        next(masked_frames(Film(tmp_path / "opaque.mkv"), None))


TURNS = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}  # of the ISO base media format's matrix


@pytest.mark.parametrize("degrees", TURNS)
def test_a_turned_film_comes_upright(tmp_path, degrees):
    """As phones write it: lying frames and a matrix in the track's header, which players obey."""
    picture = textured()
    write(tmp_path / "film.mp4", [picture] * 3, "yuv444p", "libx264")
    content = bytearray((tmp_path / "film.mp4").read_bytes())
    a, b, c, d = (each << 16 for each in TURNS[degrees])
    struct.pack_into(">9i", content, content.index(b"tkhd") + 44, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    (tmp_path / "film.mp4").write_bytes(content)
    upright = np.rot90(picture, -degrees // 90)  # the matrix turns clockwise
    mask = np.zeros(upright.shape[:2], bool)
    mask[10:30, 20:50] = True
    write(tmp_path / "mask.mkv", [as_picture(mask)] * 3, "gray")
    frames = list(masked_frames(Film(tmp_path / "film.mp4"), tmp_path / "mask.mkv"))
    assert len(frames) == 3
    for frame in frames:
        assert frame.box == (10, 30, 20, 50)
        assert np.abs(frame.look(False)[0].numpy() * 255 - upright).mean() < 4


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 40), st.integers(1, 40), st.integers(0, 99), st.booleans(), st.sampled_from((0.0, 0.02, 0.5, 1.0))
)
def test_a_mask_is_kept_inside_its_box_alone(height, width, seed, inverted, share):
    random = np.random.default_rng(seed)
    samples = np.where(random.random((height, width)) < share, random.integers(0, 256, (height, width)), 0)
    samples = samples.astype(np.uint8)
    table = LINEAR[::-1].copy() if inverted else LINEAR
    mask = FilmMask(samples, table)
    assert torch.equal(mask.full(), torch.from_numpy(table[samples]).float() / 255)
    rows, columns = (np.flatnonzero((table[samples] > 0).any(axis)) for axis in (1, 0))
    assert mask.box == ((rows[0], rows[-1] + 1, columns[0], columns[-1] + 1) if len(rows) else None)


def test_sizes(tmp_path):
    write(tmp_path / "film.mkv", [textured()] * 2)
    write(tmp_path / "half.mkv", [as_picture(rectangle(16, 32, 24, 56, (HEIGHT // 2, WIDTH // 2)))] * 2, "gray")
    for frame in masked_frames(Film(tmp_path / "film.mkv"), tmp_path / "half.mkv"):
        assert np.abs(np.array(frame.box) - (32, 64, 48, 112)).max() <= 1
    write(tmp_path / "square.mkv", [as_picture(rectangle(size=(96, 96)))] * 2, "gray")
    with pytest.raises(PictureError, match="The mask is 96x96 pixels but the film 160x96"):
        next(masked_frames(Film(tmp_path / "film.mkv"), tmp_path / "square.mkv"))


def test_what_is_no_film_is_said_in_a_sentence(tmp_path):
    Path(tmp_path / "film.mkv").write_text("no film")
    with pytest.raises(PictureError, match="this is no film that can be read"):
        Film(tmp_path / "film.mkv")
