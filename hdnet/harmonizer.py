"""From images and masks to harmonized images, at any size."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from numbers import Real

import torch
from torch import Tensor, nn

from .colour_transfer import (
    ColourChange,
    ColourStatistics,
    apply_colour_change,
    colour_statistics,
    fit_colour_change,
)
from .consistency import smooth_statistics
from .images import Frames, check_frames
from .masks import bounding_box, feather_mask
from .resize import shrink, shrink_separately, working_size

logger = logging.getLogger(__name__)

CONSISTENCY = ("per_frame", "uniform", "smooth")
MIN_RESOLUTION, MAX_RESOLUTION = 64, 4096
TRANSFER_RESOLUTION = 512  # the colour transfer of a picture that the network saw at full size


@dataclass
class Work:
    """One composite at the size the network sees it.

    Attributes:
        source: ``[3, h, w]`` in 0..1, the composite.
        foreground: ``[h, w]`` bool.
        reference: ``[h, w]`` bool, what may serve as reference; None for all that is not foreground.
        aside: ``[3, h, w]``, a picture to show beside the composite because all of that is foreground.
        target: ``[3, h, w]`` in 0..1, the generator's picture; it means something in the foreground only.
    """

    source: Tensor
    foreground: Tensor
    reference: Tensor | None = None
    aside: Tensor | None = None
    target: Tensor | None = None


class Harmonizer:
    """Makes the foreground of images match their background.

    The network works at a moderate resolution; its change of colour is then fitted (:mod:`.colour_transfer`) and
    applied to the full-size image, so that edges and texture stay as they are.

    Args:
        network: An :class:`~.network.HDNet`, or any module of the same call. It stays on its device; images
            may be elsewhere.
        batch_pixels: Pixels that the network sees at a time, in a batch of small pictures; at least one picture.
    """

    def __init__(self, network: nn.Module, batch_pixels: int = 1 << 20) -> None:
        self.network = network
        self.batch_pixels = batch_pixels

    @torch.no_grad()
    def __call__(
        self,
        image: Tensor,
        mask: Tensor,
        *,
        background: Tensor | None = None,
        reference_mask: Tensor | None = None,
        resolution: int | str = 256,
        strength: float = 1.0,
        feather: float = 0,
        consistency: str = "per_frame",
        progress: Callable[[int, int], None] | None = None,
    ) -> Tensor:
        """Harmonizes a batch of images.

        Args:
            image: ``[B, H, W, 3]`` or ``[B, H, W, 4]``, 0..1, sRGB. Alpha is carried through.
            mask: ``[B, H, W]`` in 0..1, 1 = the foreground to change. Another size is resized (bilinear), a
                shorter batch repeated; one image takes any number of masks.
            background: The picture the image is pasted onto by the mask, before and after; ``[B, H, W, 3 or 4]``.
                Of its own inpainted copy, the shift of tones seen outside the mask is taken back (:mod:`.drift`).
            reference_mask: ``[B, H, W]`` in 0..1, 1 = this part may serve as reference; default: all that is
                not foreground.
            resolution: The network works on about this squared number of pixels, 64 to 4096; ``"native"``
                runs it at the full size.
            strength: 0 returns the (pasted) image, 1 changes it fully.
            feather: Softens the mask's edge by this many pixels to either side, 0 to 1024.
            consistency: ``"per_frame"`` treats every image by itself; ``"uniform"`` fits one change to all of
                them; ``"smooth"`` lets the change vary slowly over the batch, as frames of a film.
            progress: Called with (images done, images in all) after each image; may raise to interrupt.

        Returns:
            float32 ``[B, H, W, 3 or 4]`` on the image's device. Where the mask is 0 it equals the image (or
            the background, if given) bit for bit. An image whose mask is empty, or that has no reference
            because the mask covers everything, comes back as it is, with a warning in the log.

        Raises:
            ValueError: Shapes, values or options do not fit; the message says which and how to mend it.
        """
        check_options(resolution, strength, consistency)
        frames = check_frames(image, mask, background, reference_mask)
        if feather != 0:
            masks = [feather_mask(frames.mask_of(index)[None], feather) for index in range(len(frames.mask))]
            frames = replace(frames, mask=torch.cat(masks))
        size, count = frames.size, len(frames)
        out = torch.empty(count, *size, frames.channels, device=image.device)
        working = size if resolution == "native" else working_size(size, int(resolution))

        done = self._run(self._prepare(frames, out, working, strength), working)
        if working == size and consistency == "per_frame":
            changes = done
        else:
            changes = _colour_changes(done, consistency)
        for index, change in enumerate(changes):
            if change is not None:
                _apply(change, out[index], frames.mask_of(index), strength)
            if progress is not None:
                progress(index + 1, count)
        return out

    def _prepare(self, frames: Frames, out: Tensor, working: tuple[int, int], strength: float) -> Iterator[Work | None]:
        """Writes the composites into ``out`` and yields them at the working size, None if there is nothing to do."""
        for index in range(len(frames)):
            mask = frames.mask_of(index)
            frames.composite_into(out[index], index, mask, strength)
            yield _work(frames, index, out[index], mask, working)

    def _run(self, works: Iterable[Work | None], working: tuple[int, int]) -> Iterator[Work | None]:
        """Runs the network on batches of neighbouring frames."""
        batch = max(1, self.batch_pixels // (working[0] * working[1]))
        works = iter(works)
        while some := list(islice(works, batch)):
            plain = [work for work in some if work is not None and work.aside is None]
            if plain:
                self._generate(plain)
            for work in some:
                if work is not None and work.aside is not None:
                    self._generate([work])
            yield from some

    def _generate(self, works: list[Work]) -> None:
        """Fills in the targets of works of one shape."""
        parameter = next(self.network.parameters(), works[0].source)
        pictures = torch.stack([work.source for work in works])
        foreground = torch.stack([work.foreground for work in works])[:, None]
        reference = None
        if works[0].reference is not None:
            reference = torch.stack([work.reference for work in works])[:, None]
        if works[0].aside is not None:
            pictures = torch.cat((pictures, works[0].aside[None]), -1)
            reference = torch.cat((torch.zeros_like(foreground), reference), -1)
            foreground = torch.cat((foreground, torch.zeros_like(foreground)), -1)
        inputs = [pictures * 2 - 1, foreground] if reference is None else [pictures * 2 - 1, foreground, reference]
        generated = self.network(*(each.to(parameter.device, parameter.dtype) for each in inputs))
        for work, picture in zip(works, generated.to(pictures.device, torch.float32)):
            work.target = picture[..., : work.source.shape[-1]].add(1).div_(2).clamp_(0, 1)


def check_options(resolution: int | str, strength: float, consistency: str) -> None:
    """Raises ValueError, in one sentence, where an option of :class:`Harmonizer` is out of range."""
    if resolution != "native":
        try:
            pixels = int(resolution)
        except (TypeError, ValueError, OverflowError):
            pixels = 0
        if not MIN_RESOLUTION <= pixels <= MAX_RESOLUTION:
            raise ValueError(
                f'The resolution must be {MIN_RESOLUTION} to {MAX_RESOLUTION} pixels or "native", not {resolution!r}.'
            )
    if not isinstance(strength, Real) or not 0 <= strength <= 1:
        raise ValueError(f"The strength must be a number in 0..1, not {strength!r}.")
    if consistency not in CONSISTENCY:
        raise ValueError(f"The consistency must be one of {', '.join(CONSISTENCY)}, not {consistency!r}.")


def _work(frames: Frames, index: int, composite: Tensor, mask: Tensor, size: tuple[int, int]) -> Work | None:
    """One composite at the working size; None, with a warning, where nothing can be done."""
    soft, inside, outside = shrink_separately(composite[..., :3], mask, size)
    strongest = soft.amax()
    if strongest == 0:
        logger.warning("The mask of image %d is empty; the image stays as it is.", index)
        return None
    # a mask that is faint everywhere still marks its foreground
    foreground = soft > 0.5 * strongest
    source = torch.where(foreground, inside, outside)
    allowed = frames.reference_of(index)
    if allowed is not None:
        allowed = shrink(allowed[..., None], size)[0] > 0.5
    reference = ~foreground if allowed is None else allowed & ~foreground
    if reference.any():
        return Work(source, foreground, reference if allowed is not None else None)

    if allowed is None:
        allowed = torch.ones_like(foreground)
    if (frames.background is None and frames.reference is None) or not allowed.any():
        logger.warning(
            "Image %d has no reference: its mask covers everything that may serve as one; it stays as it is.", index
        )
        return None
    aside = source
    if frames.background is not None:
        background = frames.background[index % len(frames.background)][..., :3]
        aside = shrink(background.to(source.device, torch.float32), size).clamp(0, 1)
    return Work(source, foreground, allowed, aside)


def _colour_changes(works: Iterable[Work | None], consistency: str) -> Iterator[ColourChange | None]:
    """The change for every frame, None where there is nothing to do."""
    statistics = (None if work is None else _statistics(work) for work in works)
    if consistency == "uniform":
        yield from _one_change_for_all(statistics)
        return
    if consistency == "smooth":
        statistics = smooth_statistics(statistics)
    for each in statistics:
        yield None if each is None else fit_colour_change(each)


def _one_change_for_all(statistics: Iterable[ColourStatistics | None]) -> Iterator[ColourChange | None]:
    """Frame by frame the same change, fitted to all of them."""
    has_foreground, total = [], None
    for each in statistics:
        has_foreground.append(each is not None)
        if each is not None:
            total = each if total is None else total.add_(each)
    shared = None if total is None else fit_colour_change(total, local=False)
    yield from (shared if known else None for known in has_foreground)


def _statistics(work: Work) -> ColourStatistics:
    """Statistics of a work's change of colour, at TRANSFER_RESOLUTION where the network saw more."""
    source, target, weight = work.source, work.target, work.foreground.float()
    size = working_size(weight.shape, TRANSFER_RESOLUTION)
    if size != weight.shape and max(weight.shape) > TRANSFER_RESOLUTION:
        share = shrink(weight[..., None], size)
        # the mean over the foreground alone: outside it the target means nothing
        source, target = (
            shrink((picture * weight).permute(1, 2, 0), size) / share.clamp(min=1e-6) for picture in (source, target)
        )
        weight = share[0]
    return colour_statistics(source, target, weight)


def _apply(change: Work | ColourChange, picture: Tensor, mask: Tensor, strength: float) -> None:
    """Changes ``[H, W, C]`` in place by a fitted change, or by the generator's picture of the same size."""
    if isinstance(change, ColourChange):
        _apply_change(change, picture, mask * strength)
        return
    rim = mask.masked_fill(change.foreground, 0)
    if rim.any():  # softer than what the network took for foreground: its colours follow its neighbours'
        _apply_change(fit_colour_change(_statistics(change)), picture, rim * strength)
    inside = (mask * strength).masked_fill_(~change.foreground, 0)
    for channel in range(3):
        plane = picture[..., channel]
        plane.addcmul_(change.target[channel].sub_(plane), inside)


def _apply_change(change: ColourChange, picture: Tensor, weight: Tensor) -> None:
    box = bounding_box(weight)
    if box is not None:
        apply_colour_change(change, picture, weight, box)
