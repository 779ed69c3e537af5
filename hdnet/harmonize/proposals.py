"""What the network proposes for each frame, and how much of it is done."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from torch import Tensor

from .colour_transfer import ColourChange, ColourStatistics, apply_colour_change, fit_colour_change
from .consistency import smooth_statistics, summed_statistics
from .decision import Decision
from .edits import Edit
from .masks import Box, bounding_box
from .oklab import keep_parts
from .works import Work, work_statistics

NO_COLOUR = 1.5 / 255  # channels closer than this everywhere: a picture without colour


@dataclass
class Proposal:
    """What the network says about a frame.

    Attributes:
        change: Its change of colours; None where there is nothing to do.
        mean_square: Of the change over the foreground, on the scale 0..255, as far as both looks agree on it.
        reason: A kind of :class:`.Decision`, where there is nothing to do.
        part: Of the frame, what the network was shown; None for all of it.
    """

    change: ColourChange | None = None
    mean_square: float | None = None
    reason: str = ""
    part: Box | None = None


def proposals_of(works: Iterable[Work | str], consistency: str) -> Iterator[Proposal]:
    """The fitted change of every frame: of each by itself, smoothed over neighbours, or one for all.

    Args:
        works: With their targets, or why there is nothing to do.
        consistency: One of :data:`.harmonizer.CONSISTENCY` but ``"auto"``.
    """
    seen: deque[str | tuple[float, Box | None]] = deque()  # why there is nothing to do, or how large a change of what

    def statistics() -> Iterator[ColourStatistics | None]:
        for work in works:
            if isinstance(work, str):
                seen.append(work)
                yield None
            else:
                change = work_statistics(work)
                seen.append((work.size(change), work.part))
                yield change

    found: Iterable[ColourStatistics | None] = statistics()
    shot = None
    if consistency != "per_frame":  # trusted as a whole, or its change would come and go
        found = list(found)
        sizes = [each[0] for each in seen if not isinstance(each, str)]
        shot = sum(sizes) / max(1, len(sizes))
    if consistency == "uniform":
        found = summed_statistics(found)
    elif consistency == "smooth":
        found = smooth_statistics(found)
    for each in found:
        known = seen.popleft()
        if isinstance(known, str):
            yield Proposal(reason=known)
        elif each is not None:
            size, part = known
            change = fit_colour_change(each, local=consistency != "uniform")
            yield Proposal(change, size if shot is None else shot, part=part)


def settle(
    edit: Edit,
    proposal: Proposal,
    trust: Callable[[float], float],
    picture: Tensor,
    mask: Tensor,
    strength: float,
    parts: tuple[float, float],
    ceiling: float,
) -> Decision:
    """Decides about one frame, and changes it in place.

    Args:
        edit: What is known of it.
        proposal: What the network says.
        trust: How far, by the proposal's mean square.
        picture: ``[H, W, 3 or 4]``, the frame.
        mask: ``[H, W]`` in 0..1, to blend by.
        strength: Factor to the whole change.
        parts: How much of its lightness and of its colour, 0..1.
        ceiling: No value rises above it.
    """
    correlation = edit.fit.correlation if edit.fit is not None else None
    total = None
    if edit.fit is not None and edit.fitted:
        total = ColourChange.everywhere(edit.fit.matrix.to(picture.device)).scaled(edit.fitted)
    factor, change = 0.0, proposal.change
    if change is not None and proposal.mean_square is not None:
        factor = trust(proposal.mean_square)
        rest = factor * (1 - edit.share)
        if rest:
            total = change.scaled(rest) if total is None else total.plus(change.scaled(rest))
    if total is not None:
        total = total.without_colour() if _is_grey(picture) else total
        if proposal.part is not None:  # places of the change are those of the part
            top, bottom, left, right = proposal.part
            picture, mask = picture[top:bottom, left:right], mask[top:bottom, left:right]
        _apply_change(total, picture, mask if strength == 1 else mask * strength, parts, ceiling)
    return Decision(_kind(edit, proposal, factor), correlation, proposal.mean_square, factor)


def _kind(edit: Edit, proposal: Proposal, factor: float) -> str:
    if edit.known or (proposal.change is None and proposal.reason != "edited"):
        return "known" if edit.known else proposal.reason
    if edit.share > 0.5:
        return "edited" if edit.fit is not None and edit.fit.certainty(said=True) else "unclear"
    return "pasted" if factor else "left alone"


def _is_grey(picture: Tensor) -> bool:
    """Whether ``[H, W, 3 or more]`` has no colour anywhere."""

    def grey(some: Tensor) -> bool:
        return bool((some.amax(-1) - some.amin(-1)).max() < NO_COLOUR)

    return grey(picture[::16, ::16, :3]) and all(grey(rows) for rows in picture[..., :3].split(256))


def _apply_change(
    change: ColourChange, picture: Tensor, weight: Tensor, parts: tuple[float, float], ceiling: float
) -> None:
    box = bounding_box(weight)
    if box is None or parts == (0, 0):
        return
    whole = picture[box[0] : box[1], box[2] : box[3]]
    before = whole[..., :3].clone() if parts != (1, 1) else None
    apply_colour_change(change, picture, weight, box, ceiling)
    if before is not None:
        keep_parts(whole, before, *parts, ceiling)
