"""Harmonize Video without ComfyUI; with it, see test_comfyui.py. PyAV alone writes and reads the films."""

import sys
from fractions import Fraction
from io import BytesIO

import numpy as np
import pytest
import torch

av = pytest.importorskip("av")

import comfyui_stand_in  # noqa: E402
from films import HEIGHT, WIDTH, as_picture, luma, read_rgb, rectangle, sound, textured, write  # noqa: E402

MASK = rectangle()
GIVEN = {"strength": 1.0, "resolution": "256", "invert_mask": False, "foreground": "pasted"}


def cast():
    picture = textured()
    picture[MASK] = (picture * np.array((1.3, 1.0, 0.7))).clip(0, 255).astype(np.uint8)[MASK]
    return picture


@pytest.fixture
def run(pack):
    def call(video, **options):
        return pack["HDNetHarmonizeVideo"].execute(video, **{**GIVEN, **options})[0]

    return call


@pytest.fixture
def film(tmp_path):
    """A film of a file, with sound, losslessly encoded."""
    write(tmp_path / "film.mkv", [cast()] * 8, "yuv420p", sound=True)
    write(tmp_path / "mask.mkv", [as_picture(MASK)] * 8, "gray")
    return comfyui_stand_in.VideoFromFile(str(tmp_path / "film.mkv"))


def clip(picture=None, frames=8):
    images = torch.from_numpy(np.stack([cast() if picture is None else picture] * frames)).float() / 255
    components = comfyui_stand_in.VideoComponents(images, Fraction(25), {"sample_rate": 8000})
    return comfyui_stand_in.VideoFromComponents(components)


def a_mask():
    return torch.from_numpy(MASK).float()[None]


def test_a_film_of_a_file_is_read_and_written_frame_by_frame(run, film, tmp_path):
    result = run(film, mask=a_mask(), crf=0)
    before, after = (read_rgb(each.get_stream_source()) for each in (film, result))
    assert len(after) == 8 and sound(result.get_stream_source()) == sound(film.get_stream_source()) != b""
    bar = comfyui_stand_in.ProgressBar.last
    assert bar.steps[-1] == bar.total and len(bar.steps) > 8
    with av.open(film.file) as one, av.open(result.file) as other:
        for first, second in zip(one.decode(video=0), other.decode(video=0)):
            assert (luma(first) == luma(second))[~MASK].all()
    assert np.abs(after[0].astype(int) - before[0])[MASK].mean() > 2


def test_a_mask_may_be_a_video_and_gives_the_same(run, film, tmp_path):
    masks = comfyui_stand_in.VideoFromFile(str(tmp_path / "mask.mkv"))
    one, other = run(film, mask=a_mask(), crf=0), run(film, mask_video=masks, crf=0)
    for first, second in zip(read_rgb(one.file), read_rgb(other.file)):
        assert np.abs(first.astype(int) - second).max() <= 1


def test_frames_in_memory_stay_there_with_their_sound(run):
    video = clip()
    given = video.get_components().images.clone()
    result = run(video, mask=a_mask()).get_components()
    assert torch.equal(video.get_components().images, given)
    outside = torch.from_numpy(~MASK)
    assert torch.equal(result.images[:, outside], given[:, outside])
    assert (result.images - given)[:, ~outside].abs().mean() > 0.008
    assert result.audio == {"sample_rate": 8000} and result.frame_rate == 25


def test_memory_and_file_agree(run, tmp_path):
    write(tmp_path / "film.mkv", [cast()] * 8, "yuv444p")
    film = comfyui_stand_in.VideoFromFile(str(tmp_path / "film.mkv"))
    in_memory = run(clip(), mask=a_mask()).get_components().images[3].numpy() * 255
    in_file = read_rgb(run(film, mask=a_mask(), crf=0).file)[3]
    one, other = (in_memory - cast())[MASK].mean(0), (in_file.astype(float) - read_rgb(film.file)[3])[MASK].mean(0)
    assert np.abs(one - other).max() < 1 + 0.2 * np.abs(one).max()  # 8-bit YUV is judged a little differently


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_a_background_of_one_frame_lies_behind_all(run, film, kind):
    behind = clip(textured(3), frames=1)
    result = run(film if kind == "file" else clip(), mask=a_mask(), background=behind, crf=0)
    frames = read_rgb(result.file) if kind == "file" else (result.get_components().images * 255).round().byte().numpy()
    assert len(frames) == 8
    for frame in frames:
        far = np.abs(frame.astype(int) - textured(3))[~rectangle(30, 66, 46, 114)]
        assert far.max() == 0 if kind == "memory" else far.mean() < 6  # 4:2:0 of a picture with hard edges


def test_an_anchor_is_heeded_and_a_wrong_one_refused(run):
    results = [run(clip(), mask=a_mask(), anchor=each).get_components().images for each in ("", "0:00.1, 0.2-0.25")]
    assert (results[0] - results[1]).abs().max() < 0.2
    for anchor, said in {"soon": "An anchor is a time", "9": "ends before the anchor"}.items():
        with pytest.raises(ValueError, match=said):
            run(clip(), mask=a_mask(), anchor=anchor)


def test_a_video_in_memory_is_read_by_several_at_a_time(run, film, tmp_path):
    """As nodes give it that download theirs; here as composite and as background, and twice for the anchor."""
    content = BytesIO((tmp_path / "film.mkv").read_bytes())
    film.get_dimensions = lambda: (WIDTH, HEIGHT)
    film.get_stream_source = lambda: content.seek(0) or content
    result = run(film, mask=a_mask(), background=film, anchor="0.2", crf=0)
    with av.open(str(tmp_path / "film.mkv")) as one, av.open(result.file) as other:
        pairs = list(zip(one.decode(video=0), other.decode(video=0)))
        assert len(pairs) == 8
        assert all((luma(first) == luma(second))[~MASK].all() for first, second in pairs)


def test_what_is_missing_or_too_much_is_said_in_a_sentence(run, film):
    for video, options, said in (
        (clip(), {}, "Connect a mask"),
        (film, {}, "without an alpha channel"),
        (film, {"mask": a_mask(), "mask_video": film}, "not both"),
        (torch.zeros(1), {"mask": a_mask()}, "Connect a video to video"),
        (clip(), {"mask": torch.zeros(1, 64, 64)[..., :32]}, "proportions|pixels but the film"),
    ):
        with pytest.raises(ValueError, match=said):
            run(video, **options)


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_interruption_leaves_no_file(pack, run, film, tmp_path, monkeypatch, kind):
    def interrupt():
        raise comfyui_stand_in.Interrupted

    monkeypatch.setattr(pack["folder_paths"], "get_temp_directory", lambda: str(tmp_path / "temp"))
    monkeypatch.setattr(pack["management"], "throw_exception_if_processing_interrupted", interrupt)
    with pytest.raises(comfyui_stand_in.Interrupted):
        run(film if kind == "file" else clip(), mask=a_mask())
    assert not (tmp_path / "temp").exists() or not list((tmp_path / "temp").iterdir())


def test_a_core_without_video_has_all_other_nodes(pack, monkeypatch):
    import asyncio

    import harmonize_composite

    latest = sys.modules["comfy_api.latest"]
    monkeypatch.delattr(latest.io, "Video")
    nodes = asyncio.run(asyncio.run(harmonize_composite.comfy_entrypoint()).get_node_list())
    names = {node.define_schema().node_id for node in nodes}
    assert "HDNetHarmonizeComposite" in names and "HDNetHarmonizeVideo" not in names
