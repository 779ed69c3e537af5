"""Films: opened, or in memory, and their frames upright and in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import av
from torch import Tensor

from .errors import PictureError

ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # FFmpeg's own leave the alpha out


@dataclass(frozen=True)
class Clip:
    """Frames in memory.

    Attributes:
        images: ``[N, H, W, 3 or 4]``, 0..1.
        rate: Frames a second.
        name: For messages.
    """

    images: Tensor
    rate: Fraction
    name: str = "the film"

    @property
    def count(self) -> int:
        """How many frames."""
        return len(self.images)

    @property
    def length(self) -> int:
        """The same."""
        return len(self.images)

    @property
    def size(self) -> tuple[int, int]:
        """`(H, W)`."""
        return self.images.shape[1], self.images.shape[2]

    def frames(self) -> Iterator[tuple[float, Tensor]]:
        """Seconds from the first frame, and frames ``[H, W, 3 or 4]``."""
        for number, image in enumerate(self.images):
            yield number / float(self.rate), image


class Film:
    """An opened film.

    Args:
        source: Its file, or the bytes of one.

    Attributes:
        name: For messages.
        rate: Frames a second, the average.
        count: Frames, as far as the file says.

    Raises:
        PictureError: It cannot be read, or holds no video.
    """

    def __init__(self, source: Path | BytesIO) -> None:
        self.source = source
        self.name = str(source) if isinstance(source, Path) else "the film"
        try:
            self.container: Any = av.open(str(source) if isinstance(source, Path) else source)
        except (OSError, ValueError) as error:  # PyAV's errors are both
            raise PictureError(f"{self.name}: this is no film that can be read ({error}).") from error
        if not self.container.streams.video:
            raise PictureError(f"{self.name}: there is no video in this file.")
        self.stream = self.container.streams.video[0]
        self.stream.thread_type = "AUTO"
        self.rate = Fraction(self.stream.average_rate or 25)
        self.count = self.stream.frames or None
        self._decoder: Any = self.stream.codec_context
        if self.stream.metadata.get("alpha_mode") == "1" and self._decoder.name in ALPHA_DECODERS:
            self._decoder = av.CodecContext.create(ALPHA_DECODERS[self._decoder.name], "r")

    def frames(self, aside: Callable[[Any], None] | None = None) -> Iterator[tuple[float, Any]]:
        """Seconds from the first frame, and frames, upright; `aside` is given the packets of all other streams."""
        graph, first, number = None, None, 0
        for packet in self.container.demux(*([] if aside else [self.stream])):
            if packet.stream.index != self.stream.index:
                if packet.size and aside is not None:
                    aside(packet)
                continue
            decoded: list[Any] = self._decoder.decode(packet if packet.size else None)
            for frame in decoded:
                if frame.time_base is None:  # of a decoder that is not the stream's own
                    frame.time_base = self.stream.time_base
                turns = frame.rotation // 90 % 4
                if turns:
                    graph = graph or _turning(self.stream, turns)
                    graph.push(frame)
                    frame = graph.pull()
                own = number / float(self.rate) if frame.pts is None else float(frame.pts * frame.time_base)
                first = own if first is None else first
                number += 1
                yield own - first, frame

    @property
    def length(self) -> int:
        """How many frames there are, about, where the file does not say; for progress."""
        if self.count:
            return self.count
        seconds = (self.container.duration or 0) / av.time_base
        return max(1, round(seconds * float(self.rate)))

    @property
    def size(self) -> tuple[int, int]:
        """`(H, W)` of the frames in the file; turned ones have it the other way around."""
        return self.stream.height, self.stream.width

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
