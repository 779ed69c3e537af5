"""Films of a few frames, written and read with PyAV alone."""

from fractions import Fraction

import av
import numpy as np

WIDTH, HEIGHT = 160, 96


def write(path, pictures, form="yuv444p", codec="ffv1", rate=25, times=None, sound=False):
    """Writes RGB or RGBA pictures `[H, W, 3 or 4]`; `times` are seconds, at a frame rate that varies."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=rate, options={"crf": "4"} if codec == "libx264" else {})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = form
        if times:
            stream.codec_context.time_base = Fraction(1, 1000)
        track = out.add_stream("pcm_s16le", rate=8000, layout="mono") if sound else None
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, "rgba" if picture.shape[-1] == 4 else "rgb24")
            frame = frame.reformat(format=form)
            frame.pts = round(1000 * times[number]) if times else number
            if times:
                frame.time_base = Fraction(1, 1000)
            out.mux(stream.encode(frame))
        if track:
            samples = np.arange(3840, dtype=np.int16)[None]
            frame = av.AudioFrame.from_ndarray(samples, "s16", "mono")
            frame.sample_rate, frame.pts = 8000, 0
            out.mux(track.encode(frame))
            out.mux(track.encode(None))
        out.mux(stream.encode(None))


def read(path):
    """Samples of the first plane of every frame."""
    with av.open(str(path)) as film:
        return [luma(frame) for frame in film.decode(video=0)]


def read_rgb(path):
    """RGB `[H, W, 3]` uint8 of every frame."""
    with av.open(str(path)) as film:
        return [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]


def luma(frame):
    """`[H, W]` of the first plane."""
    kind = np.uint16 if "10" in frame.format.name else np.uint8
    plane = frame.planes[0]
    return (
        np.frombuffer(plane, kind).reshape(-1, plane.line_size // kind().itemsize)[: frame.height, : frame.width].copy()
    )


def sound(path):
    """All packets of the sound."""
    with av.open(str(path)) as film:
        return b"".join(bytes(packet) for packet in film.demux(audio=0))


def textured(seed=0, size=(HEIGHT, WIDTH)):
    """A picture with structure at several scales, 30 to 200."""
    random = np.random.default_rng(seed)
    picture = np.zeros((*size, 3))
    for cells in (4, 12, 40):
        rows, columns = (np.arange(side) * cells // max(size) for side in size)
        picture += random.uniform(0, 1, (cells + 1, cells + 1, 3))[rows][:, columns] / 3
    return (30 + 170 * picture).astype(np.uint8)


def rectangle(top=32, bottom=64, left=48, right=112, size=(HEIGHT, WIDTH)):
    """A mask `[H, W]` bool."""
    mask = np.zeros(size, bool)
    mask[top:bottom, left:right] = True
    return mask


def as_picture(mask):
    """`[H, W]` bool as black and white RGB."""
    return np.repeat(mask[..., None], 3, -1).astype(np.uint8) * 255
