"""What a user hands over, checked and brought into one form."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .defringe import defringe
from .drift import find_drift
from .masks import fit_mask, shape_mask

logger = logging.getLogger(__package__)

VAE_STEP = 8  # pixels; what is left over of a side is cut off, half of it at the top and the left
BRIGHTEST, DARKEST = 64.0, -0.5  # beyond, a picture in 0..255 or -1..1; highlights of linear light lie between
UNUSUAL = 0.1  # beyond 0..1; what a resize overshoots by is less


@dataclass(frozen=True)
class Frames:
    """A batch of composites with their masks; every batch is repeated to the longest one's length.

    Attributes:
        image: ``[B, H, W, 3 or 4]`` float32, 0..1, as given.
        mask: ``[M, h, w]`` float, 0..1, of any size.
        background: ``[N, H, W, 3 or 4]`` or None.
        reference: ``[R, h, w]`` or None.
        cut: ``(H, W)`` of the image before it was put back into the middle of its background; None where it was not.
        cover: The masks with which the foreground was cut out, if its rim is to be freed of its old background.
    """

    image: Tensor
    mask: Tensor
    background: Tensor | None
    reference: Tensor | None
    cut: tuple[int, int] | None = None
    cover: Tensor | None = None

    def __len__(self) -> int:
        """The number of images that come out: a single image takes every mask and background."""
        if len(self.image) > 1:
            return len(self.image)
        return max(len(batch) for batch in (self.image, self.mask, self.background) if batch is not None)

    @property
    def size(self) -> tuple[int, int]:
        """``(H, W)``."""
        return self.image.shape[1], self.image.shape[2]

    def mask_of(self, index: int) -> Tensor:
        """The mask of one image at the image's size, ``[H, W]`` float32 in 0..1."""
        return self._resized(self.mask, index)

    def reference_of(self, index: int) -> Tensor | None:
        """The reference mask of one image at the image's size, ``[H, W]`` float32 in 0..1, or None."""
        return None if self.reference is None else self._resized(self.reference, index)

    def _resized(self, masks: Tensor, index: int) -> Tensor:
        number = index % len(masks)
        return fit_mask(masks[number : number + 1], self.size)[0].to(self.image.device)

    @property
    def channels(self) -> int:
        """4 where the image or its background has an alpha channel, else 3."""
        return max(batch.shape[-1] for batch in (self.image, self.background) if batch is not None)

    def composite_into(self, out: Tensor, index: int, mask: Tensor) -> bool:
        """Writes the image, or the image over its background, into ``[H, W, channels]``.

        Where the image is that background, inpainted, the shift of its tones is taken back. Any other foreground is
        defringed, where that was asked for.

        Returns:
            Whether it was such a picture.
        """
        image = self.image[index % len(self.image)]
        if self.background is None:
            out.copy_(image)
            if self.cover is not None:
                defringe(out, self._resized(self.cover, index), pasted=True)
            return False
        background = self.background[index % len(self.background)]
        foreground = image[..., :3].to(out.dtype)
        drift = find_drift(image, background, mask)
        if drift is not None:
            shifted = foreground + foreground @ drift[:, :3].T + drift[:, 3]
            foreground = shifted.clamp_(foreground.clamp(max=0), foreground.clamp(min=1))
        elif self.cover is not None:
            foreground = foreground.to(out.device, copy=True)
            defringe(foreground, self._resized(self.cover, index), pasted=False)
        paste(out, foreground, background, mask)
        return drift is not None


def paste(out: Tensor, foreground: Tensor, background: Tensor, mask: Tensor) -> None:
    """Lays a foreground over a background by a mask, in the values as they are.

    Args:
        out: ``[H, W, 3 or 4]``, written; of 3 channels only where the background has 3.
        foreground: ``[H, W, 3]``.
        background: ``[H, W, 3 or 4]``.
        mask: ``[H, W]`` in 0..1.
    """
    out[..., :3].copy_(background[..., :3])
    cover = mask
    if background.shape[-1] == 4:  # what is transparent has no colour to show through
        below = background[..., 3].to(out.device, out.dtype).clamp(0, 1)
        out[..., 3] = torch.where(mask > 0, mask + below * (1 - mask), background[..., 3].to(out.device, out.dtype))
        cover = mask / out[..., 3].clamp(min=1e-6).where(mask > 0, 1)
    elif out.shape[-1] == 4:
        out[..., 3] = 1
    out[..., :3].lerp_(foreground, cover.clamp(0, 1)[..., None])


def check_frames(
    image: Tensor,
    mask: Tensor,
    background: Tensor | None = None,
    reference_mask: Tensor | None = None,
    *,
    defringed: bool = False,
    any_range: bool = False,
) -> Frames:
    """Checks shapes and values and says in one sentence what is wrong.

    A mask ``[H, W]`` counts as a batch of one, ``[B, 1, H, W]`` and ``[B, H, W, 1]`` as ``[B, H, W]``. An image of
    whole multiples of 8 pixels that is at most 7 smaller than its background came through a VAE: it lies in the middle
    of that background, as ComfyUI's encoder cut it out. Onto a background, only what is not transparent is pasted: an
    image's alpha limits its mask. With ``any_range`` images may hold any finite values.

    Raises:
        ValueError: A shape does not fit, a value is NaN or infinite, a mask leaves 0..1.
    """
    check_image(image, "image", any_range)
    mask = check_mask(mask)
    cut = None
    if background is not None:
        check_image(background, "background", any_range)
        if _was_cut_by_a_vae(image.shape[1:3], background.shape[1:3]):
            cut = (image.shape[1], image.shape[2])
            image, mask = _uncut(image, background), uncut_mask(mask, cut, background.shape[1:3])
        elif background.shape[1:3] != image.shape[1:3]:
            raise ValueError(
                f"The background is {_size(background)} pixels but the image {_size(image)}; give both the same size."
            )
        if image.shape[-1] == 4:
            mask = _limited_by_alpha(mask, image)
    if reference_mask is not None:
        reference_mask = check_mask(reference_mask, "reference mask")
    for name, batch in {"masks": mask, "backgrounds": background, "reference masks": reference_mask}.items():
        if batch is not None and len(batch) > len(image) > 1:
            logger.warning(
                "Of %d %s for %d images the last %d are not used.",
                len(batch),
                name,
                len(image),
                len(batch) - len(image),
            )
    return Frames(image, mask, background, reference_mask, cut, mask if defringed else None)


def shaped(frames: Frames, grow: int, feather: float) -> Frames:
    """The frames with masks grown and softened by so many of the image's pixels; as they are where both are 0."""
    if grow == feather == 0:
        return frames
    masks = torch.cat([shape_mask(frames.mask_of(index)[None], grow, feather) for index in range(len(frames.mask))])
    return replace(frames, mask=uncut_mask(masks, frames.cut, frames.size) if frames.cut else masks)


def check_image(image: Tensor, name: str, any_range: bool = False) -> None:
    """Raises ValueError, in one sentence, where `[B, H, W, 3 or 4]` in 0..1 is something else.

    With ``any_range`` images may hold any finite values.
    """
    if not isinstance(image, Tensor) or image.dim() != 4 or image.shape[-1] not in (3, 4) or 0 in image.shape:
        shape = list(image.shape) if isinstance(image, Tensor) else type(image).__name__
        raise ValueError(f"The {name} must be a tensor [B, H, W, 3] or [B, H, W, 4], not {shape}.")
    if not image.is_floating_point():
        raise ValueError(f"The {name} must hold floating-point values in 0..1, not {image.dtype}.")
    _check_finite(image, name)
    if not any_range:
        _check_range(image[..., :3], name)


def _check_range(colours: Tensor, name: str) -> None:
    low, high = (float(each) for each in colours.aminmax())
    # a dark picture in 0..255 may stay below the brightest highlight, but holds whole numbers
    whole = 1 < high <= BRIGHTEST and low >= 0 and torch.equal(colours, colours.round())
    if high > BRIGHTEST or low < DARKEST or whole:
        raise ValueError(
            f"The {name} must lie in 0..1, but reaches from {low:.3g} to {high:.3g}; "
            + ("divide it by 255." if low >= DARKEST else "bring -1..1 to 0..1 by adding 1 and halving.")
        )
    if low < -UNUSUAL or high > 1 + UNUSUAL:
        logger.warning(
            "The %s reaches from %.3g to %.3g; what lies outside 0..1 stays as it is, but is judged as 0 or 1.",
            name,
            low,
            high,
        )


def _was_cut_by_a_vae(image: Sequence[int], background: Sequence[int]) -> bool:
    differs = [outer - inner for inner, outer in zip(image, background)]
    return any(differs) and all(0 <= each < VAE_STEP for each in differs) and not any(s % VAE_STEP for s in image)


def _place(image: Sequence[int], background: Sequence[int]) -> tuple[slice, slice]:
    """Rows and columns of a background that an image of fewer pixels was cut from."""
    starts = (outer % VAE_STEP // 2 for outer in background)
    rows, columns = (slice(start, start + inner) for start, inner in zip(starts, image))
    return rows, columns


def _uncut(image: Tensor, background: Tensor) -> Tensor:
    """The image at its background's size, with the background's own border."""
    rows, columns = _place(image.shape[1:3], background.shape[1:3])
    whole = background[..., :3].to(image.device, image.dtype)
    whole = whole.expand(max(len(image), len(background)), -1, -1, -1)
    if image.shape[-1] == 4:
        whole = torch.cat((whole, torch.ones_like(whole[..., :1])), -1)
    whole = whole.clone()
    whole[:, rows, columns] = image
    return whole


def uncut_mask(mask: Tensor, image: Sequence[int], background: Sequence[int]) -> Tensor:
    """The mask of an image that a VAE cut, at its background's size, 0 on the border; any other mask as it is.

    Args:
        mask: ``[B, h, w]``; of the background's size, or drawn for the image.
        image: ``(H, W)``.
        background: ``(H, W)``.
    """
    if not _was_cut_by_a_vae(image, background):
        return mask
    rows, columns = _place(image, background)
    small = mask[:, rows, columns] if mask.shape[1:] == tuple(background) else fit_mask(mask, image)
    whole = small.new_zeros(len(mask), *background)
    whole[:, rows, columns] = small
    return whole


def _limited_by_alpha(mask: Tensor, image: Tensor) -> Tensor:
    """The mask where an image shows anything; the smaller of both, since a mask is often the alpha itself."""
    alpha = image[..., 3].float().clamp(0, 1)
    if alpha.min() == 1:
        return mask
    count = max(len(mask), len(image))
    mask = fit_mask(mask, image.shape[1:3]).to(alpha.device)
    places = torch.arange(count)
    return torch.minimum(mask[places % len(mask)], alpha[places % len(alpha)])


def check_mask(mask: Tensor, name: str = "mask") -> Tensor:
    """The mask as ``[B, H, W]`` in 0..1; ValueError, in one sentence, where it is none."""
    if isinstance(mask, Tensor) and not mask.is_floating_point():
        mask = mask.float()
    if isinstance(mask, Tensor) and mask.dim() == 2:
        mask = mask[None]
    if isinstance(mask, Tensor) and mask.dim() == 4 and 1 in (mask.shape[1], mask.shape[-1]):
        mask = mask[:, 0] if mask.shape[1] == 1 else mask[..., 0]
    if not isinstance(mask, Tensor) or mask.dim() != 3 or 0 in mask.shape:
        shape = list(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__
        raise ValueError(f"The {name} must be a tensor [B, H, W], not {shape}.")
    low, high = mask.aminmax()
    if not (low.isfinite() and high.isfinite()):
        raise ValueError(f"The {name} holds NaN or infinite values; check the step that made it.")
    if low < -1e-3 or high > 1 + 1e-3:
        raise ValueError(f"The {name} must lie in 0..1, but reaches from {low:.3g} to {high:.3g}.")
    return mask if low >= 0 and high <= 1 else mask.clamp(0, 1)


def _check_finite(values: Tensor, name: str) -> None:
    # a sum is finite if all its terms are, and takes no second tensor of the picture's size; that of the largest is not
    if not values.sum(dtype=torch.float32).isfinite() and not values.isfinite().all():
        raise ValueError(f"The {name} holds NaN or infinite values; check the step that made it.")


def _size(image: Tensor) -> str:
    return f"{image.shape[2]}×{image.shape[1]}"
