"""Pictures and masks between files and Pillow images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from . import pictures
from .atomic import write_whole

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp")
MASK_EXTENSIONS = (*EXTENSIONS, ".bmp", ".tif", ".tiff", ".gif")

# What Pillow raises for broken files, across formats and versions.
_BROKEN = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


class PictureError(OSError):
    """A picture or mask that cannot be used; the message names the file."""


def read_rgb(path: Path) -> Image.Image:
    """Read a picture as RGB, turned upright; PictureError when it cannot be read."""
    try:
        with Image.open(path) as picture:
            return ImageOps.exif_transpose(picture).convert("RGB")
    except _BROKEN as error:
        raise PictureError(f"{path}: cannot be read as a picture ({error}).") from error


def read_mask(path: Path) -> Image.Image:
    """Read a mask as 8-bit grey, 0 or 255, as `pictures.read_mask` does; PictureError when it cannot be read."""
    try:
        values = pictures.read_mask(path)[0].numpy()
    except _BROKEN as error:
        raise PictureError(f"{path}: cannot be read as a mask ({error}).") from error
    return Image.fromarray(np.where(values > 0.5, np.uint8(255), np.uint8(0)))


def resize_picture(picture: Image.Image, size: int, box=None) -> Image.Image:
    """`box` of a picture as `size`x`size`, bicubic, as in the paper's evaluation."""
    return picture.resize((size, size), Image.Resampling.BICUBIC, box=box)


def resize_mask(mask: Image.Image, size: int, box=None) -> Image.Image:
    """`box` of a mask as `size`x`size`, nearest, as in the paper's evaluation."""
    return mask.resize((size, size), Image.Resampling.NEAREST, box=box)


def save_image(image: Image.Image, path: Path) -> None:
    """Write a picture whole or not at all: PNG, or JPEG at quality 95 with full chroma."""
    if path.suffix == ".png":
        write_whole(path, lambda file: image.save(file, "PNG"))
    else:
        write_whole(path, lambda file: image.save(file, "JPEG", quality=95, subsampling=0))
