"""Films: the samples outside the mask reach the file as they were decoded, sound is copied; PyAV is the reference."""

import numpy as np
import pytest
import torch

av = pytest.importorskip("av")

from harmonize_composite.cli import main  # noqa: E402

WIDTH, HEIGHT, FRAMES = 160, 96, 12


def write(path, pictures, form, sound=False):
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, form
        track = out.add_stream("pcm_s16le", rate=8000, layout="mono") if sound else None
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format=form)
            frame.pts = number
            out.mux(stream.encode(frame))
        if track:
            samples = np.arange(3840, dtype=np.int16)[None]
            frame = av.AudioFrame.from_ndarray(samples, "s16", "mono")
            frame.sample_rate, frame.pts = 8000, 0
            out.mux(track.encode(frame))
            out.mux(track.encode(None))
        out.mux(stream.encode(None))


def read(path):
    with av.open(str(path)) as film:
        return [luma(frame) for frame in film.decode(video=0)]


def luma(frame):
    plane, kind = frame.planes[0], np.uint16 if "10" in frame.format.name else np.uint8
    return np.frombuffer(plane, kind).reshape(HEIGHT, -1)[:, :WIDTH].copy()


def sound(path):
    with av.open(str(path)) as film:
        return b"".join(bytes(packet) for packet in film.demux(audio=0))


@pytest.mark.parametrize("form", ["yuv420p", "yuv422p10le", "yuv444p"])
def test_outside_the_mask_samples_are_kept_and_sound_is_copied(tmp_path, form):
    random = np.random.default_rng(0)
    picture = random.integers(40, 200, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    picture[32:64, 48:112] = picture[32:64, 48:112] // 2 + np.array([90, 0, 0], np.uint8)
    mask = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    mask[32:64, 48:112] = 255
    write(tmp_path / "film.mkv", [picture] * FRAMES, form, sound=True)
    write(tmp_path / "mask.mkv", [mask] * FRAMES, "yuv444p")
    arguments = ["video", "film.mkv", "mask.mkv", "-o", "out.mkv", "--codec", "ffv1", "--foreground", "pasted"]
    code = main([str(tmp_path / each) if each.endswith(".mkv") else each for each in arguments])
    before, after = read(tmp_path / "film.mkv"), read(tmp_path / "out.mkv")
    assert code == 0 and len(after) == FRAMES
    for one, other in zip(before, after):
        outside = np.ones((HEIGHT, WIDTH), bool)
        outside[32:64, 48:112] = False
        assert (one == other)[outside].all()
        assert (one != other)[~outside].any()
    assert sound(tmp_path / "out.mkv") == sound(tmp_path / "film.mkv") != b""
    assert sorted(each.name for each in tmp_path.iterdir()) == ["film.mkv", "mask.mkv", "out.mkv"]


def test_a_cut_is_noticed_and_a_flash_is_none():
    from harmonize_composite.hdnet.harmonize.cuts import with_cuts

    class Frame:
        def __init__(self, value):
            self.value = value

        def thumbnail(self):
            return torch.full((3, 8, 8), self.value)

    values = [0.2] * 10 + [0.6] * 10 + [1.0] + [0.6] * 10
    starts = [number for number, (_, start) in enumerate(with_cuts(map(Frame, values))) if start]
    assert starts == [10]
