"""Films written: frames encoded beside copies of sound and subtitles, with tags and times kept."""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import av
from av.codec.codec import find_best_pix_fmt_of_list
from av.video.reformatter import ColorRange, Colorspace

from .atomic import write_whole
from .errors import PictureError
from .video import Film
from .video_frames import MaskedFrame
from .video_planes import TAGS, retimed

logger = logging.getLogger(__name__)

ENCODERS = {
    "h264": "libx264",
    "hevc": "libx265",
    "vp9": "libvpx-vp9",
    "prores": "prores_ks",
    "ffv1": "ffv1",
    "qtrle": "qtrle",
    "png": "png",
}
FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm", ".avi": "avi"}
RATED = {"libx264", "libx265"}  # those with a constant rate factor and presets
BACKLOG = 4  # frames that wait for the encoder


def write_film(
    path: Path,
    film: Film,
    frames_of: Callable[[Callable[[Any], None]], Iterator[MaskedFrame]],
    codec: str | None = None,
    crf: int = 16,
    preset: str = "fast",
) -> None:
    """Encodes frames beside copies of the film's sound and subtitles; the file appears whole or not at all.

    What the container or the codec cannot hold is left out with a warning.

    Args:
        path: To write.
        film: Whose other streams, tags and times are kept.
        frames_of: Makes the frames, given what takes the packets of other streams.
        codec: A key of ENCODERS; the film's own where there is an encoder, else h264.
        crf: Constant rate factor of x264 and x265, 0 is lossless.
        preset: Of x264 and x265.

    Raises:
        PictureError: The container is unknown, or does not hold the codec.
    """
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise PictureError(f"{path}: the name must end in one of {' '.join(FORMATS)}.")
    encoder = ENCODERS.get(codec or film.stream.codec_context.name, "libx264")

    def write(file: BinaryIO) -> None:
        with av.open(file, "w", format=kind) as output:
            if encoder not in output.supported_codecs:
                raise PictureError(f"{path}: {path.suffix} does not hold {encoder}; name another --codec or ending.")
            aside: deque[Any] = deque()
            frames = frames_of(aside.append)
            first = next(frames, None)
            if first is None:
                raise PictureError(f"{film.name}: there is no frame that can be read in this film.")
            output.metadata.update(film.container.metadata)
            output.set_chapters(film.container.chapters())
            rated = {"crf": str(crf), "preset": preset} if encoder in RATED else {}
            stream = _add_video(output, film, first.result(), encoder, rated)
            copies = _add_copies(output, film, path)

            def put(frame: Any) -> None:
                output.mux(stream.encode(frame))
                while aside:
                    packet = aside.popleft()
                    if packet.stream.index in copies:
                        packet.stream = copies[packet.stream.index]
                        output.mux(packet)

            with ThreadPoolExecutor(1) as thread:  # frames are made while others are encoded
                waiting: deque[Future[None]] = deque()
                for masked in chain((first,), frames):
                    waiting.append(thread.submit(put, _encodable(masked.result(), stream.pix_fmt)))
                    if len(waiting) > BACKLOG:
                        waiting.popleft().result()
                for each in waiting:
                    each.result()
            put(None)

    write_whole(path, write)


def _add_video(output: Any, film: Film, frame: Any, encoder: str, options: dict[str, str]) -> Any:
    stream = output.add_stream(encoder, rate=film.rate, options=options)
    stream.height, stream.width = frame.height, frame.width
    stream.thread_type = "AUTO"  # PyAV's own choice has x264 cut frames into slices: larger files, and cores that wait
    stream.pix_fmt = _pixel_format(encoder, frame)
    if stream.pix_fmt != frame.format.name and _has_alpha(frame.format.name) and not _has_alpha(stream.pix_fmt):
        logger.warning("%s: %s holds no alpha channel; it is left out.", film.name, encoder)
    for tag, value in _tags(frame, stream.pix_fmt).items():
        setattr(stream.codec_context, tag, value)
    if film.stream.time_base:
        stream.codec_context.time_base = film.stream.time_base
    return stream


def _add_copies(output: Any, film: Film, path: Path) -> dict[int, Any]:
    """Streams that take the packets of others as they are, by the others' numbers."""
    copies = {}
    for other in film.container.streams:
        if other.index == film.stream.index:
            continue
        name = other.codec_context.name if other.codec_context else "unknown"
        if other.type in ("audio", "subtitle") and name in output.supported_codecs:
            copies[other.index] = output.add_stream_from_template(other)
            copies[other.index].metadata.update(other.metadata)
        else:
            what = {"audio": "Sound", "subtitle": "Subtitles"}.get(other.type, f"A stream of {other.type}")
            logger.warning("%s: %s (%s) cannot be kept in %s; left out.", film.name, what, name, path.suffix)
    return copies


def _pixel_format(encoder: str, frame: Any) -> str:
    """A frame's own format where the encoder takes it, else the nearest one that loses least."""
    name = str(frame.format.name)
    if encoder in RATED and (frame.height % 2 or frame.width % 2):  # these halve only what is even
        name = re.sub("4(20|22|40)", "444", name)
    known = [form.name for form in av.Codec(encoder, "w").video_formats or ()]
    if not known or name in known:
        return name
    nearest, _ = find_best_pix_fmt_of_list(known, name, _has_alpha(name))
    return name if nearest is None else nearest.name


def _tags(frame: Any, name: str) -> dict[str, Any]:
    """What the file says of its colours, in a format."""
    tags = {tag: getattr(frame, tag) for tag in TAGS}
    if frame.format.is_rgb and not av.VideoFormat(name).is_rgb:
        tags.update(colorspace=Colorspace.ITU709, color_range=ColorRange.MPEG)
    return tags


def _has_alpha(name: str) -> bool:
    return any(each.is_alpha for each in av.VideoFormat(name).components)


def _encodable(frame: Any, name: str) -> Any:
    if frame.format.name != name:
        tags = _tags(frame, name)
        made = frame.reformat(format=name, dst_colorspace=tags["colorspace"], dst_color_range=tags["color_range"])
        frame = retimed(made, frame)
    frame.pict_type = 0  # the encoder chooses its own key frames
    return frame
