"""Films: frames with their masks from any container, and back into one, with sound, subtitles and tags kept."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, repeat
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .atomic import write_whole
from .errors import PictureError
from .masks import read_mask
from .names import ENDINGS, pictures_in
from .video_planes import Planes

SMALL = 32  # pixels of a side of a thumbnail
NEAR = 0.02  # of black and of white: what a codec leaves beside an edge of a mask
ENCODERS = {"h264": "libx264", "hevc": "libx265", "vp9": "libvpx-vp9", "prores": "prores_ks", "ffv1": "ffv1"}
FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm", ".avi": "avi"}
LOSSY = {"libx264", "libx265"}


class MaskedFrame:
    """A frame, its mask and its time: what the streaming harmonizer works on."""

    def __init__(self, planes: Planes, levels: Tensor, seconds: float) -> None:
        self.planes, self.levels, self.seconds = planes, levels, seconds
        rows, columns = (levels.amax(axis).nonzero() for axis in (1, 0))
        self.box = None
        if len(rows):
            self.box = (int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)

    def thumbnail(self) -> Tensor:
        """``[C, 32, 32]``, the samples of each plane in 0..1."""
        small = (each[:: max(1, len(each) // 256), :: max(1, each.shape[1] // 256)] for each in self.planes.planes)
        made = [torch.from_numpy(each.astype(np.float32))[None, None] for each in small]
        return torch.cat([F.adaptive_avg_pool2d(each, SMALL)[0] for each in made]) / self.planes.most

    def colours(self) -> Tensor:
        """RGB ``[H, W, 3]``."""
        height, width = self.planes.size
        return self.planes.colours((0, height, 0, width)).clamp_(0, 1)

    def mask(self) -> Tensor:
        """``[H, W]`` in 0..1."""
        return self.levels.float().div_(255)

    def change(self, apply: Callable[[Tensor, Tensor, tuple[int, int, int, int]], None]) -> None:
        """Lets ``apply`` change RGB inside the mask's box, and writes the difference."""
        if self.box is None:
            return
        box = self.planes.aligned(self.box)
        rows, columns = slice(*box[:2]), slice(*box[2:])
        picture = torch.empty(*self.planes.size, 3)  # only its box is ever touched
        before = self.planes.colours(box)
        picture[rows, columns] = before
        apply(picture, self.mask(), self.box)
        self.planes.add(picture[rows, columns] - before, box)


class Film:
    """An opened film.

    Args:
        path: Its file.

    Raises:
        PictureError: It cannot be read, or holds no video.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.container = av.open(str(path))
        except (OSError, ValueError) as error:  # PyAV's errors are both
            raise PictureError(f"{path}: this is no film that can be read ({error}).") from error
        if not self.container.streams.video:
            raise PictureError(f"{path}: there is no video in this file.")
        self.stream = self.container.streams.video[0]
        self.stream.thread_type = "AUTO"
        self.rate = self.stream.average_rate or 25
        self.count = self.stream.frames or None

    def frames(self, aside: Callable[[Any], None] | None = None) -> Iterator[Any]:
        """Frames, upright and in order; ``aside`` is given the packets of all other streams."""
        graph = None
        for packet in self.container.demux(*([] if aside else [self.stream])):
            if packet.stream.index != self.stream.index:
                if packet.dts is not None and aside is not None:
                    aside(packet)
                continue
            decoded: list[Any] = packet.decode()  # of a video stream: frames
            for frame in decoded:
                turns = frame.rotation // 90 % 4
                if turns:
                    graph = graph or _turning(self.stream, turns)
                    graph.push(frame)
                    frame = graph.pull()
                yield frame

    def close(self) -> None:
        """Closes the file."""
        self.container.close()


def _turning(stream: Any, turns: int) -> Any:
    graph = av.filter.Graph()
    steps = {1: ["cclock"], 2: ["clock", "clock"], 3: ["clock"]}[turns]  # counterclockwise, as FFmpeg says it
    nodes = [graph.add_buffer(template=stream), *(graph.add("transpose", each) for each in steps)]
    nodes.append(graph.add("buffersink"))
    graph.link_nodes(*nodes).configure()
    return graph


def masked_frames(film: Film, mask: Path, invert: bool, aside: Callable[[Any], None]) -> Iterator[MaskedFrame]:
    """Frames of a film with their masks; the last mask holds where there are fewer."""
    masks: Iterator[Tensor] | None = None
    for number, frame in enumerate(film.frames(aside)):
        planes = Planes(frame)
        if masks is None:
            masks = iter(()) if mask.samefile(film.path) else _masks(mask, planes.size)
            own = mask.samefile(film.path)
            if own and planes.alpha is None:
                raise PictureError(f"{mask}: without an alpha channel a film is not its own mask; give a mask.")
        if own and planes.alpha is not None:
            levels = _levels(planes.alpha, 0, planes.most)
        else:
            levels = next(masks)
        seconds = float(frame.pts * frame.time_base) if frame.pts is not None else number / float(film.rate)
        yield MaskedFrame(planes, 255 - levels if invert else levels, seconds)


def _masks(path: Path, size: tuple[int, int]) -> Iterator[Tensor]:
    """uint8 ``[H, W]`` of a film, a folder of pictures in the order of their numbers, or one picture."""
    if path.is_dir():
        found = sorted(pictures_in(path, ENDINGS), key=_natural)
        if not found:
            raise PictureError(f"{path}: there are no pictures in this folder.")
        return _held(_fitted(read_mask(each)[0].mul(255).round().byte(), size) for each in found)
    if path.suffix.lower() in ENDINGS:
        return repeat(_fitted(read_mask(path)[0].mul(255).round().byte(), size))
    film = Film(path)

    def of_film() -> Iterator[Tensor]:
        for frame in film.frames():
            planes = Planes(frame)
            if planes.is_rgb:
                yield _fitted(_levels(planes.planes[1], 0, planes.most), size)
            else:
                yield _fitted(_levels(planes.planes[0], planes.black, planes.black + planes.luma), size)

    return _held(of_film())


def _held(masks: Iterable[Tensor]) -> Iterator[Tensor]:
    last = None
    for last in masks:
        yield last
    if last is not None:
        yield from repeat(last)


def _levels(samples: np.ndarray, black: int, white: int) -> Tensor:
    table = (np.arange(256 if samples.dtype == np.uint8 else 65536) - black) / (white - black)
    table = ((table - NEAR) / (1 - 2 * NEAR)).clip(0, 1)
    return torch.from_numpy((table * 255).round().astype(np.uint8)[samples])


def _fitted(levels: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(levels.shape) == tuple(size):
        return levels
    if abs(levels.shape[1] * size[0] / (levels.shape[0] * size[1]) - 1) > 0.05:
        raise PictureError(f"The mask is {levels.shape[1]}x{levels.shape[0]} pixels but the film {size[1]}x{size[0]}.")
    return F.interpolate(levels[None, None].float(), size=tuple(size), mode="bilinear")[0, 0].round().byte()


def _natural(path: Path) -> list:
    return [int(each) if each.isdigit() else each for each in re.split(r"(\d+)", path.name)]


def write_film(
    path: Path,
    film: Film,
    frames_of: Callable[[Callable[[Any], None]], Iterator[MaskedFrame]],
    codec: str | None = None,
    crf: int = 16,
    preset: str = "fast",
) -> None:
    """Encodes frames beside copies of the film's sound and subtitles; the file appears whole or not at all.

    Args:
        path: To write.
        film: Whose other streams, tags and times are kept.
        frames_of: Makes the frames, given what takes the packets of other streams.
        codec: A key of ENCODERS; the film's own where there is an encoder, else h264.
        crf: Constant rate factor of x264 and x265, 0 is lossless.
        preset: Of x264 and x265.

    Raises:
        PictureError: The container is unknown.
    """
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise PictureError(f"{path}: the name must end in one of {' '.join(FORMATS)}.")
    encoder = ENCODERS.get(codec or film.stream.codec_context.name, "libx264")

    def write(file: BinaryIO) -> None:
        with av.open(file, "w", format=kind) as output:
            waiting: list[Any] = []
            frames = frames_of(waiting.append)
            first = next(frames, None)
            if first is None:
                raise PictureError(f"{film.path}: there is no frame that can be read in this film.")
            output.metadata.update(film.container.metadata)
            options = {"crf": str(crf), "preset": preset} if encoder in LOSSY else {}
            stream: Any = output.add_stream(encoder, rate=film.rate, options=options)
            stream.height, stream.width = first.planes.size
            stream.pix_fmt = first.planes.frame.format.name
            source = film.stream.codec_context
            for tag in ("color_primaries", "color_trc", "colorspace", "color_range"):
                setattr(stream.codec_context, tag, getattr(source, tag))
            if film.stream.time_base:
                stream.codec_context.time_base = film.stream.time_base
            copies = {}
            for other in film.container.streams:
                if other.type in ("audio", "subtitle") and other.codec_context.name in output.supported_codecs:
                    copies[other.index] = output.add_stream_from_template(other)
            for masked in chain((first,), frames):
                frame = masked.planes.frame
                frame.pict_type = 0  # the encoder chooses its own key frames
                output.mux(stream.encode(frame))
                for packet in waiting:
                    if packet.stream.index in copies:
                        packet.stream = copies[packet.stream.index]
                        output.mux(packet)
                waiting.clear()
            output.mux(stream.encode(None))
            for packet in waiting:
                if packet.stream.index in copies:
                    packet.stream = copies[packet.stream.index]
                    output.mux(packet)

    write_whole(path, write)
