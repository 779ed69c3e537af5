"""Anchors of a film: a frame, or a range of frames, whose change holds for the whole shot."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

from .cuts import Seen, with_cuts

TIME = r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d+)?)"
LINGERS = 1.0  # seconds that the last frame counts as shown
SAME = 1e-3  # seconds; containers round times to that


class TimedFrame(Seen, Protocol):
    """A frame that knows its time."""

    seconds: float


AnyFrame = TypeVar("AnyFrame", bound=TimedFrame)
Item = TypeVar("Item")


@dataclass(frozen=True)
class Anchor:
    """Seconds from a film's first frame; of a single frame, both are the same."""

    first: float
    last: float

    @classmethod
    def read(cls, text: str) -> Anchor:
        """Reads ``T`` or ``T1-T2``, where a time is seconds, ``MM:SS`` or ``HH:MM:SS``, with decimals.

        Raises:
            ValueError: It is none, or ends before it begins.
        """
        found = re.fullmatch(rf"\s*{TIME}\s*(?:-\s*{TIME}\s*)?", text, re.ASCII)
        if not found:
            raise ValueError(f"An anchor is a time or a range of times, such as 12.5, 1:05 or 3-4.5, not {text!r}.")
        first = _seconds(found.groups()[:3])
        last = _seconds(found.groups()[3:]) if found[6] else first
        if last < first:
            raise ValueError(f"The anchor {text} ends before it begins.")
        return cls(first, last)

    def __str__(self) -> str:
        return f"{self.first:g} s" if self.first == self.last else f"{self.first:g} to {self.last:g} s"

    def shows(self, seconds: float, until: float) -> bool:
        """Whether a frame that is shown from ``seconds`` until another one comes belongs to it."""
        return seconds <= self.last + SAME and until > self.first + SAME


def anchored_frames(frames: Iterable[AnyFrame], anchors: list[Anchor]) -> Iterator[tuple[int, Anchor, AnyFrame]]:
    """The frames of anchors, each with the number of its shot, from 0, and its anchor; reads no further than needed."""
    last = max(anchor.last for anchor in anchors)
    shot = 0
    for (frame, starts), following in _with_next(with_cuts(frames)):
        shot += starts
        if frame.seconds > last + SAME:
            return
        until = following[0].seconds if following else frame.seconds + LINGERS
        for anchor in anchors:
            if anchor.shows(frame.seconds, until):
                yield shot, anchor, frame


def _with_next(items: Iterator[Item]) -> Iterator[tuple[Item, Item | None]]:
    """Each with the one that follows, the last one with None."""
    item = next(items, None)
    while item is not None:
        following = next(items, None)
        yield item, following
        item = following


def _seconds(parts: tuple[str | None, ...]) -> float:
    hours, minutes, seconds = (float(each or 0) for each in parts)
    return 3600 * hours + 60 * minutes + seconds
