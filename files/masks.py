"""Masks as files: what programs for painting, segmenting and labelling write, as values in 0..1."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps

from . import sixteen_bits
from .colour import to_srgb
from .errors import PictureError
from .floating import has_openimageio, is_floating, read_floating
from .opening import BROKEN, MAX_PIXELS, open_picture

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)

HIGHEST_LABEL = 32  # of 255: a grey file whose values all lie below, and are few, numbers classes
MOST_LABELS = 5  # different values, 0 among them
MOST_COLOURS, MOST_COLOURS_OF_JPEG = 64, 16  # of a file whose colours name classes; JPEG's are counted in 2 bits each
VOID = 255  # what Pascal VOC leaves undecided, along the edges of objects
JPEG_TRACES = 8  # of 255: what JPEG leaves beside an edge
FAINT = 0.5


def read_mask(path: str | Path) -> Tensor:
    """Reads a mask, turned upright: its alpha channel unless that is constant, otherwise its brightness.

    Files that number or colour classes, as labelling tools write them, mark everything but class 0 or black: palettes,
    a few small values of grey, integers of 16 or 32 bits with two values, and a few colours. Files of 16 or 32 bits
    that hold 0 to 255 count as 8 bits.

    Returns:
        float32 ``[1, H, W]`` in 0..1.

    Raises:
        PictureError: It cannot be read, or holds values that are no mask.
    """
    import torch

    values, note = mask_values(path)
    if note:
        logger.warning("%s: %s", path, note)
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))[None]


def mask_values(path: str | Path) -> tuple[np.ndarray, str]:
    """Like :func:`read_mask`: ``[H, W]`` in 0..1, and what a user should know about how they were found, or ""."""
    if has_openimageio() and is_floating(path):
        found = read_floating(path, MAX_PIXELS)
        _check_finite(found.values[..., found.colours], path)
        return _from_floating(found.picture(), path)
    picture, info = open_picture(path)
    try:
        if picture.has_transparency_data and (alpha := _alpha(picture, info.bits, path)) is not None:
            return alpha, ""
        if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
            return _from_numbers(np.asarray(picture).astype(np.float64), path)
        if info.bits == 16:
            values = sixteen_bits.read(path)
            colours = values[..., :3] if values.shape[-1] > 2 else values[..., :1]
            return _from_numbers(colours.max(-1).astype(np.float64), path)
        if picture.mode == "P" and not picture.has_transparency_data and _names_classes(picture):
            numbers = np.asarray(picture)
            return (numbers > 0) & (numbers < VOID), ""
        return _from_colours(to_srgb(picture), is_jpeg=_is_jpeg(path))
    except BROKEN as error:
        if isinstance(error, PictureError):
            raise
        raise PictureError(f"{path}: this cannot be used as a mask ({str(error).rstrip('.')}).") from error


def _alpha(picture: Image.Image, bits: int, path: str | Path) -> np.ndarray | None:
    """The alpha channel, None where it is constant."""
    if bits == 16:
        alpha = sixteen_bits.read(path)[..., -1].astype(np.float32) / 65535
    else:
        alpha = np.asarray(picture.convert("RGBA").getchannel("A"), np.float32) / 255
    return alpha if alpha.min() < alpha.max() else None


def _from_floating(picture: np.ndarray, path: str | Path) -> tuple[np.ndarray, str]:
    """From ``[H, W, 3 or 4]``: the alpha channel unless that is constant, else the largest colour."""
    if picture.shape[-1] == 4 and picture[..., 3].min() < picture[..., 3].max():
        return picture[..., 3].clip(0, 1), ""
    return _from_numbers(picture[..., :3].max(-1).astype(np.float64), path)


def _names_classes(picture: Image.Image) -> bool:
    """Whether a palette's entries are classes: the first is black and there are colours."""
    palette = np.asarray(picture.getpalette("RGB"), np.uint8).reshape(-1, 3)
    numbers = np.unique(np.asarray(picture))
    used = palette[numbers[numbers < len(palette)]]
    return not palette[0].any() and bool((used != used[:, :1]).any())


def _from_colours(picture: Image.Image, is_jpeg: bool) -> tuple[np.ndarray, str]:
    rgb = picture.convert("RGB")
    coarse = ImageOps.posterize(rgb, 2) if is_jpeg else rgb
    found = coarse.getcolors(MOST_COLOURS_OF_JPEG if is_jpeg else MOST_COLOURS) or []
    colours = [each for _, each in found if isinstance(each, tuple)]  # of RGB, every one is
    has_colour = any(max(each) - min(each) > 8 for each in colours)
    if has_colour and (0, 0, 0) in colours:
        return np.asarray(coarse).max(-1) > 0, "its colours are taken for classes; everything but black is foreground."
    grey = picture if picture.mode in ("1", "L") else rgb
    values = np.asarray(grey.convert("L"), np.float32)
    if (labels := _from_labels(values)) is not None:
        return labels
    if is_jpeg:
        values = np.where(values < JPEG_TRACES, 0, np.where(values > 255 - JPEG_TRACES, 255, values))
    return values / 255, _said_of(values / 255)


def _from_labels(values: np.ndarray) -> tuple[np.ndarray, str] | None:
    """Foreground and note where the values can only number classes: a few low ones, or one that is dark beside 0."""
    highest = values.max()
    if not 0 < highest < 255 * FAINT or (count := len(np.unique(values))) > MOST_LABELS:
        return None
    if highest > HIGHEST_LABEL and (count > 2 or values.min() > 0):
        return None
    note = f"its {count} values up to {highest:.0f} are taken for classes; everything but 0 is foreground."
    return values > 0, note if highest > 1 else ""


def _from_numbers(values: np.ndarray, path: str | Path) -> tuple[np.ndarray, str]:
    """From integers of 16 or 32 bits, or from floating point."""
    _check_finite(values, path)
    lowest, highest = values.min(), values.max()
    if (values == values.round()).all():
        if (labels := _from_labels(values)) is not None:
            return labels
        if lowest == 0 < highest and ((values == 0) | (values == highest)).all():
            return values > 0, ""
        full: float = 255 if highest <= 255 else 65535
    else:
        full = 255 if 128 < highest <= 255 else 1.001  # resampling may leave a little more than 1
    if lowest < 0 or highest > full:
        raise PictureError(f"{path}: the values leave the range of a mask; save it with 8 or 16 bits.")
    values = (values / round(full)).clip(0, 1)
    return values, _said_of(values)


def _check_finite(values: np.ndarray, path: str | Path) -> None:
    if not np.isfinite(values).all():
        raise PictureError(f"{path}: the picture holds NaN or infinite values.")


def _said_of(values: np.ndarray) -> str:
    highest = float(values.max())
    if 0 < highest < FAINT:
        return f"the mask is dark everywhere: at its brightest it is {highest:.0%} white, and counts as that."
    return ""


def _is_jpeg(path: str | Path) -> bool:
    with open(path, "rb") as file:
        return file.read(2) == b"\xff\xd8"
