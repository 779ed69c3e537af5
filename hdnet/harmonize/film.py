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

from .anchors import Anchor, TimedFrame, anchored_frames
from .colour_transfer import ColourChange, ColourStatistics, apply_colour_change, fit_colour_change
from .cuts import with_cuts
from .drift import find_drift
from .edits import edit_of, trust_in
from .harmonizer import Harmonizer, check_options
from .inputs import Frames
from .masks import Box
from .resize import working_size
from .seam import fit_seam, seam_pairs
from .works import prepare_work, work_statistics

REACH = 0.6  # seconds on either side that are averaged
ASKED = 0.4  # seconds between frames that the network sees: the error is that of every frame, within 0.1 dB
COMPARED = 10  # of so many frames that are asked, one also gets a first look, which tells how far to trust the second
PAIRS_KEPT = 16384  # of the edges of a shot


class FilmFrame(TimedFrame, Protocol):
    """A frame as a reader of films hands it over; colours are RGB, 0..1."""

    box: Box | None  # what the mask covers: top, bottom, left, right
    has_background: bool
    size: tuple[int, int]

    def look(self, coarse: bool) -> tuple[Tensor, Tensor, Tensor | None]:
        """The composite ``[h, w, 3]``, its mask ``[h, w]``, and what it is to be pasted onto, if there is anything.

        They may be smaller than the frame where ``coarse`` says that half of its height and width is enough.
        """
        ...

    def change(self, apply: Callable[[Tensor, Tensor | None, Tensor, Box], None], gain: float) -> None:
        """Lets ``apply`` change the composite inside the box, given background and mask.

        A frame whose chroma is coarser than its luma may have it change the coarser picture; the rest of luma then
        follows with its ``gain``, what the change grows by with luma.
        """
        ...


AnyFrame = TypeVar("AnyFrame", bound=FilmFrame)


@dataclass
class Sample:
    """What was seen of one frame.

    Attributes:
        seconds: Its time.
        statistics: Of the network's change; None where there is none.
        drift: ``[3, 4]``, the shift of tones that its background tells of (:mod:`.drift`).
    """

    seconds: float
    statistics: ColourStatistics | None = None
    drift: Tensor | None = None


@dataclass(frozen=True)
class Action:
    """What is done to a frame: the drift taken back before it is pasted onto its background, and the change."""

    change: ColourChange | None = None
    drift: Tensor | None = None

    def towards(self, other: Action, share: float) -> Action:
        """So much of the other action and the rest of this one; where one does nothing, the other's."""
        change, drift = self.change or other.change, other.drift if self.drift is None else self.drift
        if self.change is not None and other.change is not None:
            change = self.change.scaled(1 - share).plus(other.change.scaled(share))
            left_over = (1 - share) * self.change.left_over + share * other.change.left_over
            change = replace(change, left_over=left_over)
        if self.drift is not None and other.drift is not None:
            drift = self.drift.lerp(other.drift, share)
        return Action(change, drift)


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
        self._anchored: dict[int, Action] = {}

    @torch.no_grad()
    def anchor(self, frames: Iterable[AnyFrame], anchors: list[Anchor]) -> None:
        """Looks at anchors beforehand; their change, the same at every place, will hold for the whole of their shots.

        Args:
            frames: Of the film from its beginning; they are not changed.
            anchors: Of several in one shot, all count.

        Raises:
            ValueError: The film ends before an anchor, or its mask is empty there.
        """
        shots: dict[int, Shot] = {}
        found: dict[Anchor, bool] = {}
        for number, anchor, frame in anchored_frames(frames, anchors):
            found[anchor] = found.get(anchor, False) or frame.box is not None
            if frame.box is not None:
                shots.setdefault(number, Shot(self)).look_at(frame)
        for anchor in anchors:
            if anchor not in found:
                raise ValueError(f"The film ends before the anchor at {anchor}.")
            if not found[anchor]:
                raise ValueError(f"The mask is empty at the anchor at {anchor}; name a time when the foreground shows.")
        self._anchored = {number: shot.as_one() for number, shot in shots.items()}

    @torch.no_grad()
    def __call__(self, frames: Iterable[AnyFrame]) -> Iterator[AnyFrame]:
        """Yields the frames in order, changed; holds those of the next ``reach + asked`` seconds."""
        shot: Shot | None = None
        self.shots = 0
        for frame, starts in with_cuts(frames):
            if starts or shot is None:
                if shot is not None:
                    yield from shot.ready(ended=True)
                shot, self.shots = Shot(self, self._anchored.get(self.shots)), self.shots + 1
            shot.add(frame)
            yield from shot.ready()
        if shot is not None:
            yield from shot.ready(ended=True)


class Shot(Generic[AnyFrame]):
    """Frames between two cuts that are not done yet, and what is known of all.

    Args:
        film: The options.
        action: What is done to all its frames, where an anchor says so.
    """

    def __init__(self, film: FilmHarmonizer, action: Action | None = None) -> None:
        self.film, self.action = film, action
        self.waiting: deque[AnyFrame] = deque()
        self.samples: deque[Sample] = deque()
        self.knots: deque[tuple[float, Action]] = deque()
        self.known: deque[Sample] = deque()  # without a knot yet
        self.asked = -math.inf
        self.newest = -math.inf
        self.had_mask = False
        self.looks = 0  # how often the network was asked
        self.proposals, self.mean_squares = 0, 0.0  # how many were compared, and the sum of their sizes
        self.pairs: Tensor | None = None  # of colours on either side of the mask's edge
        self.compared = self.remade = 0  # frames compared with their background, and those that are its copy

    def add(self, frame: AnyFrame) -> None:
        """Takes the next frame, and looks at it where that is due."""
        self.waiting.append(frame)
        self.newest = frame.seconds
        if self.action is None:
            self.look_at(frame)

    def look_at(self, frame: AnyFrame) -> None:
        """Looks at a frame where that is due."""
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
            self.knots.append((sample.seconds, self._action(sample.seconds)))
            while self.samples and self.samples[0].seconds < sample.seconds - reach:
                self.samples.popleft()
        while self.waiting:
            now = self.waiting[0].seconds
            action = self.action
            if action is None:
                while len(self.knots) > 1 and self.knots[1][0] <= now:
                    self.knots.popleft()
                if not self.knots or (len(self.knots) == 1 and not ended and self.knots[0][0] < now):
                    return
                action = self._between(now)
            frame = self.waiting.popleft()
            self._apply(frame, action)
            yield frame

    def as_one(self) -> Action:
        """What is to be done to the whole shot, from all that was looked at."""
        return self._settled([(sample, 1.0) for sample in self.samples], local=False)

    @property
    def is_remade(self) -> bool:
        """Whether most frames are copies of their background, inpainted."""
        return 2 * self.remade > self.compared

    def _look(self, frame: FilmFrame) -> Sample:
        sample = Sample(frame.seconds)
        if frame.box is None:
            return sample
        height, width = frame.size
        shrunk = working_size(frame.size, self.film.resolution)
        picture, mask, background = frame.look(coarse=4 * shrunk[0] * shrunk[1] <= height * width)
        if background is not None:
            sample.drift = find_drift(picture, background, mask, lossy=True)
            self.compared, self.remade = self.compared + 1, self.remade + (sample.drift is not None)
            _paste(picture, background, mask, sample.drift)
        pasted = self.film.foreground == "pasted"
        if not self.is_remade or pasted:
            sample.statistics = self._ask(picture, mask, background)
            if not pasted:
                pairs = seam_pairs(picture, mask)
                self.pairs = pairs if self.pairs is None else torch.cat((self.pairs, pairs))
                if len(self.pairs) > PAIRS_KEPT:
                    self.pairs = self.pairs[::2]
        return sample

    def _ask(self, picture: Tensor, mask: Tensor, background: Tensor | None) -> ColourStatistics | None:
        frames = Frames(picture[None], mask[None], None if background is None else background[None], None)
        work = prepare_work(frames, 0, picture, mask, working_size(picture.shape[:2], self.film.resolution))
        if isinstance(work, str):
            return None
        harmonizer = self.film.harmonizer
        compare = self.looks % COMPARED == 0 or not harmonizer.second_look
        harmonizer.generate([work], brief=True, compare=compare)
        statistics = work_statistics(work)
        if compare:
            self.proposals, self.mean_squares = self.proposals + 1, self.mean_squares + work.size(statistics)
        self.looks += 1
        return statistics

    def _action(self, now: float) -> Action:
        """What is to be done at a frame that was asked, from all samples within reach."""
        reach, weighted = self.film.reach, []
        for sample in self.samples:
            apart = abs(sample.seconds - now)
            if apart < reach:
                weighted.append((sample, 0.5 + 0.5 * math.cos(math.pi * apart / reach)))
            elif apart == 0:
                weighted.append((sample, 1.0))
        return self._settled(weighted, local=True)

    def _settled(self, weighted: list[tuple[Sample, float]], local: bool) -> Action:
        """What samples tell together, each with its weight."""
        statistics: ColourStatistics | None = None
        drifts, drifts_weight = None, 0.0
        for sample, weight in weighted:
            if sample.statistics is not None:
                seen = sample.statistics
                statistics = seen * weight if statistics is None else statistics.add_(seen, weight)
            if sample.drift is not None:
                drifts = sample.drift * weight if drifts is None else drifts + sample.drift * weight
                drifts_weight += weight
        drift = drifts / drifts_weight if drifts is not None and self.is_remade else None
        if statistics is None:
            return Action(None, drift)
        foreground = self.film.foreground
        seam = fit_seam(self.pairs) if self.pairs is not None and not self.is_remade else None
        edit = edit_of(self.is_remade, seam, foreground)
        factor = trust_in(self.film.harmonizer.network, foreground)(self.mean_squares / max(1, self.proposals))
        change = None
        if factor * (1 - edit.share):
            change = fit_colour_change(statistics, local).scaled(factor * (1 - edit.share))
        if edit.fit is not None and edit.fitted:
            fitted = ColourChange.everywhere(edit.fit.matrix.to(statistics.grid)).scaled(edit.fitted)
            change = fitted if change is None else change.plus(fitted)
        return Action(change, drift)

    def _between(self, now: float) -> Action:
        before, one = self.knots[0]
        if len(self.knots) == 1 or now <= before:
            return one
        after, other = self.knots[1]
        return one.towards(other, (now - before) / (after - before))

    def _apply(self, frame: FilmFrame, action: Action) -> None:
        strength = self.film.strength

        def apply(picture: Tensor, background: Tensor | None, mask: Tensor, box: Box) -> None:
            if background is not None:
                rows, columns = slice(*box[:2]), slice(*box[2:])
                _paste(picture[rows, columns], background[rows, columns], mask[rows, columns], action.drift)
            if action.change is not None:
                apply_colour_change(action.change, picture, mask if strength == 1 else mask * strength, box)

        if action.change is not None or frame.has_background:
            frame.change(apply, strength * action.change.gain_of_luma if action.change else 0.0)


def _paste(picture: Tensor, background: Tensor, mask: Tensor, drift: Tensor | None) -> None:
    """Pastes a composite ``[h, w, 3]`` onto its background by the mask, its drift taken back, in place."""
    if drift is not None:
        picture.add_(picture @ drift[:, :3].T + drift[:, 3]).clamp_(0, 1)
    picture.copy_(torch.lerp(background, picture, mask[..., None]))
