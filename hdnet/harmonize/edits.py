"""What is known and seen of a frame before the network is asked, and how far the network is trusted then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .inputs import Frames
from .seam import SeamFit, fit_seam, seam_pairs


@dataclass(frozen=True)
class Edit:
    """What is known of a frame before the network is asked.

    Attributes:
        known: The background told how to undo it, which is done.
        share: How far the foreground is an edit of its surroundings, 0..1; the rest is the network's.
        fit: Of the edge, None where it tells nothing or was not asked.
        fitted: How much of the fit is applied, 0..1.
    """

    known: bool
    share: float
    fit: SeamFit | None
    fitted: float = 0.0


def judge(frames: Frames, index: int, composite: Tensor, foreground: str) -> Edit:
    """Writes one frame's composite into ``[H, W, C]`` and looks at the edge of its mask."""
    mask = frames.mask_of(index)
    known = frames.composite_into(composite, index, mask)
    fit = None if known or foreground == "pasted" else fit_seam(_pairs(composite, mask))
    return edit_of(known, fit, foreground)


def judge_shot(frames: Frames, out: Tensor, foreground: str, interrupt: Callable[[], object]) -> list[Edit]:
    """The same for all frames of a shot, whose edges are looked at together."""
    known, pairs = [], []
    for index in range(len(frames)):
        mask = frames.mask_of(index)
        known.append(frames.composite_into(out[index], index, mask))
        if not known[-1] and foreground != "pasted":
            pairs.append(_pairs(out[index], mask))
        interrupt()
    fit = fit_seam(torch.cat(pairs)) if pairs else None
    remade = 2 * sum(known) > len(known)
    return [edit_of(remade, None if remade else fit, foreground) for _ in known]


def edit_of(known: bool, fit: SeamFit | None, foreground: str) -> Edit:
    """What follows from the background and from the fit of an edge, if there is one."""
    if foreground == "pasted":
        return Edit(False, 0.0, None)
    if fit is None:
        return Edit(known, 1.0 if known or foreground == "edited" else 0.0, None)
    certain = fit.certainty(said=foreground == "edited")
    return Edit(known, 1.0 if foreground == "edited" else certain, fit, certain * fit.worth)


def _pairs(picture: Tensor, mask: Tensor) -> Tensor:
    return seam_pairs(picture[..., :3], mask)


def trust_in(network: nn.Module, foreground: str) -> Callable[[float], float]:
    """How far a proposal is trusted, by its mean square; fully at least where a user says that it is pasted."""
    rule = getattr(network, "acting", None)
    if rule is None:
        return lambda proposed: 1.0
    return (lambda proposed: max(1.0, rule.factor(proposed))) if foreground == "pasted" else rule.factor
