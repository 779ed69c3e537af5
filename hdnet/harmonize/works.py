"""What the network is shown of a frame, and what its answer means for the frame's colours."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .closer import part_to_judge
from .colour_transfer import ColourStatistics, colour_statistics
from .edits import Edit
from .inputs import Frames
from .masks import Box, bounding_box
from .resize import shrink, shrink_separately, working_size

logger = logging.getLogger(__package__)

ONE_COLOUR = 1e-4
TRANSFER_RESOLUTION = 512  # a change is known at this many squared pixels at most; more add time and noise


@dataclass
class Work:
    """One composite at the size the network sees it.

    Attributes:
        source: ``[3, h, w]`` in 0..1, the composite.
        foreground: ``[h, w]`` bool.
        reference: ``[h, w]`` bool, what may serve as reference; None for all that is not foreground.
        aside: ``[3, h, w]``, a picture to show beside the composite because all of that is foreground.
        target: ``[3, h, w]`` in 0..1, the generator's picture; it means something in the foreground only.
        agreed: Of that change, what both looks agree on (:func:`.agreement`); None where there was one look.
        part: Of the frame, what the composite shows; None for all of it.
    """

    source: Tensor
    foreground: Tensor
    reference: Tensor | None = None
    aside: Tensor | None = None
    target: Tensor | None = None
    agreed: Tensor | None = None
    part: Box | None = None

    def size(self, change: ColourStatistics) -> float:
        """How large the change is that a rule is to trust or not: a mean square on the scale 0..255."""
        return change.mean_square if self.agreed is None else 255**2 * max(0.0, float(self.agreed))


def ask_about(
    frames: Frames, index: int, picture: Tensor, edit: Edit, working: tuple[int, int], reach: int | None
) -> Work | str:
    """What the network is to look at, or the kind of :class:`.Decision` where it need not.

    Args:
        frames: Of which it is one.
        index: Its number.
        picture: ``[H, W, 3 or 4]``, the frame.
        edit: What is known of it.
        working: The size at which the network sees it.
        reach: How far beyond the mask it may be changed, in pixels; None where all of it must be shown.
    """
    mask = frames.mask_of(index)
    if edit.share == 1 and bounding_box(mask) is not None:
        return "known" if edit.known else "edited"
    part = None
    if reach is not None and picture[..., 0].numel() > working[0] * working[1] and (box := bounding_box(mask)):
        top, bottom, left, right = box
        part = part_to_judge((top - reach, bottom + reach, left - reach, right + reach), mask.shape, working)
    if part is None:
        return prepare_work(frames, index, picture, mask, working)
    here = np.s_[part[0] : part[1], part[2] : part[3]]
    work = prepare_work(frames, index, picture[here], mask[here], working)
    if isinstance(work, Work):
        work.part = part
    return work


def prepare_work(frames: Frames, index: int, composite: Tensor, mask: Tensor, size: tuple[int, int]) -> Work | str:
    """One composite at the working size; why not, with a warning, where nothing can be done."""
    soft, inside, outside = shrink_separately(composite[..., :3], mask, size)
    # a mask that is faint everywhere still marks its foreground
    strongest = soft.amax()
    foreground = soft > 0.5 * strongest
    source = torch.where(foreground, inside, outside)
    allowed = frames.reference_of(index)
    if allowed is not None:
        allowed = shrink(allowed[..., None], size)[0] > 0.5
    reference = ~foreground if allowed is None else allowed & ~foreground
    known = strongest, source.amax() - source.amin(), reference.any()
    marked, colours, compared = torch.stack([each.float() for each in known]).tolist()  # a device is waited for once
    if not marked:
        logger.warning("The mask of image %d is empty; the image stays as it is.", index)
        return "empty"
    if colours < ONE_COLOUR:
        return "one colour"
    if compared:
        return Work(source, foreground, reference if allowed is not None else None)

    if allowed is None:
        allowed = torch.ones_like(foreground)
    if frames.reference is not None and not allowed.any():
        logger.warning("The reference mask of image %d is empty; the image stays as it is.", index)
        return "no reference"
    if (frames.background is None and frames.reference is None) or not allowed.any():
        logger.warning(
            "Image %d has no reference: its mask covers everything that may serve as one; it stays as it is.", index
        )
        return "everything"
    aside = source
    if frames.background is not None:
        background = frames.background[index % len(frames.background)][..., :3]
        aside = shrink(background.to(source.device, torch.float32), size).clamp(0, 1)
    return Work(source, foreground, allowed, aside)


def work_statistics(work: Work) -> ColourStatistics:
    """Statistics of a work's change of colour, at TRANSFER_RESOLUTION where the network saw more."""
    source, target, weight = work.source, work.target, work.foreground.float()
    assert target is not None, "the network has not seen this composite"
    size = working_size(weight.shape, TRANSFER_RESOLUTION)
    if size != weight.shape and max(weight.shape) > TRANSFER_RESOLUTION:
        share = shrink(weight[..., None], size)
        # the mean over the foreground alone: outside it the target means nothing
        source, target = (
            shrink((picture * weight).permute(1, 2, 0), size) / share.clamp(min=1e-6) for picture in (source, target)
        )
        weight = share[0]
    return colour_statistics(source, target, weight)
