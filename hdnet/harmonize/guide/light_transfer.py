"""The light of a guide on one's own pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from ..colour_transfer import apply_colour_change
from ..consistency import looks_like_film, smooth_statistics, summed_statistics
from ..harmonizer import check_options
from ..inputs import check_frames, check_image, shaped
from ..masks import bounding_box
from ..oklab import check_parts, keep_parts
from .comparison import Comparison, compare
from .difference import narrowed
from .guided_change import (
    GuidedStatistics,
    change_statistics,
    fit_guided_change,
    guided_statistics,
    sufficient_statistics,
)

MARGIN = 15  # pixels of the comparison around what the guide changed, which do not vote
SURE = (0.6, 0.95)  # likeness of structure, from which on a place votes, and votes in full
ADDED_RESOLUTION = 384  # squared pixels at which what a guide added, such as a cast shadow, is known


class LightTransfer:
    """Gives images the light and colours of a guide: another picture of the same scene, of any size.

    The guide is registered with the image, and what it changed beside the light does not count. The change of colours
    is taken at a low resolution, which blur and grain of the guide allow, and applied to the full-size image, so that
    edges, texture and faces stay as they are.

    Args:
        resolution: The change is known at about this squared number of pixels, 64 to 4096. More follows finer shadows,
            and more of the guide's own faults. ``"auto"`` takes the lowest of 128, 256, 512 and 768 that follows the
            guide, by what it leaves over; for films that of the first frame.
        align: False for guides whose frame is exactly that of the image.
    """

    def __init__(self, resolution: int | str = "auto", align: bool = True) -> None:
        self.resolution = resolution
        self.align = align

    @torch.no_grad()
    def __call__(
        self,
        image: Tensor,
        guide: Tensor,
        mask: Tensor | None = None,
        *,
        added: Tensor | None = None,
        strength: float = 1.0,
        feather: float = 0,
        consistency: str = "per_frame",
        progress: Callable[[int, int], None] | None = None,
        compared: Callable[[int, Comparison], None] | None = None,
        lightness: float = 1.0,
        colour: float = 1.0,
    ) -> Tensor:
        """Transfers the light.

        Args:
            image: ``[B, H, W, 3]`` or ``[B, H, W, 4]``, 0..1, sRGB. Alpha is carried through.
            guide: ``[B, h, w, 3 or 4]``, 0..1, the same scene in the light that is wanted; a shorter batch is repeated.
            mask: ``[B, H, W]`` in 0..1, 1 = the part to change; None for all of the image.
            added: ``[B, H, W]`` in 0..1: there, what the guide added counts as well, such as a cast shadow, inside
                of the mask and outside of it.
            strength: 0 returns the image, 1 makes the change, 2 twice the change.
            feather: Softens the mask's edge by this many pixels to either side, 0 to 1024.
            consistency: As of :class:`.Harmonizer`.
            progress: Called with (images done, images in all) after each image; may raise to interrupt.
            compared: Called with an image's index and what was seen beside its guide; its ``difference`` is a mask of
                what the guide changed beside the light.
            lightness: As of :class:`.Harmonizer`; 0 keeps that of every pixel.
            colour: Likewise; 0 keeps hue and chroma.

        Returns:
            float32 ``[B, H, W, 3 or 4]`` on the image's device; bit for bit the image where all masks are 0.

        Raises:
            ValueError: Shapes, values or options do not fit, or a guide shows another scene.
        """
        check_options(256 if self.resolution == "auto" else self.resolution, strength, consistency)
        check_parts(lightness, colour)
        if (lightness, colour) == (0, 0):
            strength = 0.0
        check_image(guide, "guide")
        whole = image.new_ones(1, 1, 1) if mask is None else mask
        frames = shaped(check_frames(image, whole), 0, feather)
        extra = None if added is None else check_frames(image, added)
        if consistency == "auto":
            consistency = "smooth" if looks_like_film(image, frames.mask) else "per_frame"
        count = max(len(frames), len(guide)) if len(image) == 1 else len(image)
        out = image.float().repeat(count // len(image), 1, 1, 1)

        def weights(index: int) -> tuple[Tensor, Tensor | None]:
            """How far one image is changed as the light alone says, and how far with what the guide added."""
            weight = frames.mask_of(index)
            also = None if extra is None else extra.mask_of(index)
            return weight if also is None else weight * (1 - also), also

        def statistics() -> Iterator[GuidedStatistics | None]:
            resolution = None if self.resolution == "auto" else self.resolution
            for index in range(count):
                weight, also = weights(index)
                both = weight if also is None else weight + also
                if bounding_box(both) is None:
                    yield None
                    continue
                looked = None if mask is None else both.clamp(max=1)
                seen = compare(image[index % len(image)], guide[index % len(guide)], looked, self.align)
                if compared is not None:
                    compared(index, seen)
                if also is not None and bounding_box(also) is not None:
                    _apply(_added(seen, also), out[index], also * strength)
                vote = _votes(seen, weight)
                if bounding_box(weight) is None:
                    yield None
                elif resolution is None:
                    each, chosen = sufficient_statistics(seen.picture, seen.guide, vote)
                    resolution = None if consistency == "per_frame" else chosen
                    yield each
                else:
                    yield guided_statistics(seen.picture, seen.guide, vote, resolution)

        found = statistics()
        if consistency == "uniform":
            found = summed_statistics(found)
        elif consistency == "smooth":
            found = smooth_statistics(found)
        for index, each in enumerate(found):
            if each is not None:
                _apply(each, out[index], weights(index)[0] * strength, local=consistency != "uniform")
            if (lightness, colour) != (1, 1):
                keep_parts(out[index], image[index % len(image), ..., :3].float(), lightness, colour)
            if progress is not None:
                progress(index + 1, count)
        return out


def _votes(seen: Comparison, mask: Tensor, doubt: bool = True) -> Tensor:
    """How much each place tells of the light, inside of a mask; with doubt, nothing where the structure is another."""
    vote = seen.shown.float()
    if doubt:
        vote = vote * ((narrowed(seen.same, MARGIN) - SURE[0]) / (SURE[1] - SURE[0])).clamp(0, 1)
    if mask.amin() < 1:
        vote = vote * F.interpolate(mask[None, None], size=vote.shape, mode="bilinear", antialias=True)[0, 0]
    return vote


def _added(seen: Comparison, mask: Tensor) -> GuidedStatistics:
    """Of what the guide added, which no structure of the picture tells; light falls on bright and dark alike."""
    vote = _votes(seen, mask, doubt=False)
    return GuidedStatistics(change_statistics(seen.picture, seen.guide, vote, ADDED_RESOLUTION))


def _apply(statistics: GuidedStatistics, picture: Tensor, weight: Tensor, local: bool = True) -> None:
    box = bounding_box(weight)
    if box is not None:
        apply_colour_change(fit_guided_change(statistics, local), picture, weight, box)
