"""Cuts of a film, found while it runs."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

from torch import Tensor

CUT = 0.05  # mean difference of small pictures, 0..1, below which there is no cut
APART = 3  # times the largest difference nearby: what is less is motion
NEARBY = 3  # frames; a flash, which differs twice within them, is no cut


class Seen(Protocol):
    """A frame that can be looked at."""

    def thumbnail(self) -> Tensor:
        """``[C, h, w]``, small, 0..1."""
        ...


AnyFrame = TypeVar("AnyFrame", bound=Seen)


def with_cuts(frames: Iterable[AnyFrame]) -> Iterator[tuple[AnyFrame, bool]]:
    """Frames, each with whether a shot begins there; looks a few frames ahead.

    A cut differs from the frame before by far more than all its neighbours do: fast motion differs as much all along,
    and a flash twice.
    """
    held: deque[tuple[AnyFrame, float]] = deque()  # frames and how far each differs from the one before
    passed: deque[float] = deque(maxlen=NEARBY)
    last: Tensor | None = None

    def first() -> tuple[AnyFrame, bool]:
        frame, own = held.popleft()
        others = [*passed, *(each for _, each in list(held)[:NEARBY])]
        passed.append(own)
        return frame, own > CUT and own > APART * max(others, default=0.0)

    for frame in frames:
        small = frame.thumbnail()
        held.append((frame, 0.0 if last is None else float((small - last).abs().mean())))
        last = small
        if len(held) > NEARBY:
            yield first()
    while held:
        yield first()
