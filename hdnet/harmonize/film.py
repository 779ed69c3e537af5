"""A film frame by frame: the network on some frames, its change smoothed over time, memory that does not grow.

The network is asked a few times a second. Around each frame that was asked, the statistics of its neighbours are added
up under a Hann window, and between two of them the change goes over linearly. Nothing reaches across a cut. What is
decided about a shot as a whole rests on all its frames asked so far, those looked ahead to among them.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor

from .colour_transfer import ColourChange, ColourStatistics, apply_colour_change, fit_colour_change
from .edits import edit_of, trust_in
from .harmonizer import Harmonizer, check_options, prepare_work, work_statistics
from .inputs import Frames
from .resize import working_size
from .seam import fit_seam, seam_pairs

REACH = 0.6  # seconds on either side that are averaged
ASKED = 0.15  # seconds between frames that the network sees
PAIRS_KEPT = 16384  # of the edges of a shot
CUT = 0.05  # mean difference of small pictures, 0..1, below which there is no cut
APART = 3  # times the largest difference nearby: what is less is motion
NEARBY = 3  # frames; a flash, which differs twice within them, is no cut


class FilmFrame(Protocol):
    """A frame as a reader of films hands it over; colours are RGB, 0..1."""

    seconds: float
    box: tuple[int, int, int, int] | None  # what the mask covers: top, bottom, left, right

    def thumbnail(self) -> Tensor:
        """``[C, h, w]``, small."""
        ...

    def colours(self) -> Tensor:
        """``[H, W, 3]``, all of it."""
        ...

    def mask(self) -> Tensor:
        """``[H, W]`` float32, 0..1."""
        ...

    def change(self, apply: Callable[[Tensor, Tensor, tuple[int, int, int, int]], None]) -> None:
        """Lets ``apply`` change the picture by its mask inside the box."""
        ...


AnyFrame = TypeVar("AnyFrame", bound=FilmFrame)


@dataclass
class Sample:
    """What was seen of one frame; ``pairs`` are the colours on either side of its mask's edge."""

    seconds: float
    statistics: ColourStatistics | None
    pairs: Tensor | None


class FilmHarmonizer:
    """Harmonizes films of any length.

    Args:
        harmonizer: Whose network is asked.
        resolution: As of :class:`.Harmonizer`.
        strength: As of :class:`.Harmonizer`.
        foreground: As of :class:`.Harmonizer`.
        reach: Seconds on either side over which a change is averaged; 0 for each asked frame by itself.
        asked: Seconds between frames that the network sees; 0 for every frame.
    """

    def __init__(
        self,
        harmonizer: Harmonizer,
        resolution: int | str = 256,
        strength: float = 1.0,
        foreground: str = "auto",
        reach: float = REACH,
        asked: float = ASKED,
    ) -> None:
        check_options(resolution, strength, "smooth", foreground)
        self.harmonizer, self.resolution, self.strength = harmonizer, resolution, strength
        self.foreground, self.reach, self.asked = foreground, reach, asked
        self.shots = 0

    @torch.no_grad()
    def __call__(self, frames: Iterable[AnyFrame]) -> Iterator[AnyFrame]:
        """Yields the frames in order, changed; holds those of the next ``reach + asked`` seconds."""
        shot: Shot | None = None
        for frame, starts in with_cuts(frames):
            if starts or shot is None:
                if shot is not None:
                    yield from shot.ready(ended=True)
                shot, self.shots = Shot(self), self.shots + 1
            shot.add(frame)
            yield from shot.ready()
        if shot is not None:
            yield from shot.ready(ended=True)


class Shot(Generic[AnyFrame]):
    """Frames between two cuts that are not done yet, and what is known of all.

    Args:
        film: The options.
    """

    def __init__(self, film: FilmHarmonizer) -> None:
        self.film = film
        self.waiting: deque[AnyFrame] = deque()
        self.samples: deque[Sample] = deque()
        self.knots: deque[tuple[float, ColourChange | None]] = deque()
        self.asked = -math.inf
        self.newest = -math.inf
        self.had_mask = False
        self.sizes: list[float] = [0, 0.0]  # how many proposals, and the sum of their mean squares
        self.pairs: Tensor | None = None
        self.known: deque[Sample] = deque()  # without a knot yet

    def add(self, frame: AnyFrame) -> None:
        """Takes the next frame, and looks at it where that is due."""
        self.waiting.append(frame)
        self.newest = frame.seconds
        appears = frame.box is not None and not self.had_mask
        self.had_mask = frame.box is not None
        if frame.seconds >= self.asked + self.film.asked - 1e-6 or appears:
            self.asked = frame.seconds
            sample = self._look(frame)
            self.samples.append(sample)
            self.known.append(sample)

    def ready(self, ended: bool = False) -> Iterator[AnyFrame]:
        """Yields the frames whose change is known; all of them at the shot's end."""
        reach = self.film.reach
        while self.known and (ended or self.newest >= self.known[0].seconds + reach):
            sample = self.known.popleft()
            self.knots.append((sample.seconds, self._change(sample.seconds)))
            while self.samples and self.samples[0].seconds < sample.seconds - reach:
                self.samples.popleft()
        while self.waiting:
            now = self.waiting[0].seconds
            while len(self.knots) > 1 and self.knots[1][0] <= now:
                self.knots.popleft()
            if not self.knots or (len(self.knots) == 1 and not ended and self.knots[0][0] < now):
                return
            frame = self.waiting.popleft()
            self._apply(frame, self._between(now))
            yield frame

    def _look(self, frame: FilmFrame) -> Sample:
        if frame.box is None:
            return Sample(frame.seconds, None, None)
        picture, mask = frame.colours(), frame.mask()
        working = working_size(picture.shape[:2], self.film.resolution)
        work = prepare_work(Frames(picture[None], mask[None], None, None), 0, picture, mask, working)
        statistics = None
        if not isinstance(work, str):
            self.film.harmonizer.generate([work])
            statistics = work_statistics(work)
            self.sizes = [self.sizes[0] + 1, self.sizes[1] + statistics.mean_square]
        pairs = None
        if self.film.foreground != "pasted":
            pairs = seam_pairs(picture, mask)
            self.pairs = pairs if self.pairs is None else torch.cat((self.pairs, pairs))
            if len(self.pairs) > PAIRS_KEPT:
                self.pairs = self.pairs[::2]
        return Sample(frame.seconds, statistics, pairs)

    def _change(self, now: float) -> ColourChange | None:
        """What is to be done at a frame that was asked, from all samples within reach."""
        total: ColourStatistics | None = None
        for sample in self.samples:
            apart = abs(sample.seconds - now)
            weight = 1.0 if apart == 0 else 0.0
            if apart < self.film.reach:
                weight = 0.5 + 0.5 * math.cos(math.pi * apart / self.film.reach)
            if weight and sample.statistics is not None:
                total = sample.statistics * weight if total is None else total.add_(sample.statistics, weight)
        if total is None:
            return None
        foreground = self.film.foreground
        edit = edit_of(False, fit_seam(self.pairs) if self.pairs is not None else None, foreground)
        factor = trust_in(self.film.harmonizer.network, foreground)(self.sizes[1] / max(1, self.sizes[0]))
        change = fit_colour_change(total).scaled(factor * (1 - edit.share))
        if edit.fit is not None and edit.fitted:
            change = change.plus(ColourChange.everywhere(edit.fit.matrix).scaled(edit.fitted))
        return change

    def _between(self, now: float) -> ColourChange | None:
        before, one = self.knots[0]
        if len(self.knots) == 1 or now <= before:
            return one
        after, other = self.knots[1]
        if one is None or other is None:
            return one or other
        share = (now - before) / (after - before)
        mixed = one.scaled(1 - share).plus(other.scaled(share))
        return replace(mixed, left_over=(1 - share) * one.left_over + share * other.left_over)

    def _apply(self, frame: FilmFrame, change: ColourChange | None) -> None:
        if frame.box is None or change is None:
            return
        strength = self.film.strength

        def apply(picture: Tensor, mask: Tensor, box: tuple[int, int, int, int]) -> None:
            apply_colour_change(change, picture, mask if strength == 1 else mask * strength, box)

        frame.change(apply)


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
