"""Pictures and masks between files and Pillow images."""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from .atomic import write_whole
from .colour import profile_of, to_srgb
from .errors import PictureError
from .masks import mask_values
from .names import ENDINGS
from .opening import open_picture

__all__ = ["PictureError", "encoded", "read_mask", "read_rgb", "resize_mask", "resize_picture", "save_image"]

Box = tuple[int, int, int, int]
"""Left, top, right and bottom of a part of a picture, in pixels, as Pillow has it."""

EXTENSIONS = ENDINGS
MASK_EXTENSIONS = (*EXTENSIONS, ".gif")


def read_rgb(path: Path) -> Image.Image:
    """Read a picture as RGB in 8 bits and sRGB, turned upright; PictureError when it cannot be read."""
    picture, info = open_picture(path)
    if info.bits == 16 and picture.mode not in ("RGB", "RGBA"):  # of grey, Pillow would keep the wrong 8 bits
        values = np.asarray(picture).astype(np.float64)
        full = 65535 if picture.mode != "F" else 1
        picture = Image.fromarray((values * (255 / full)).clip(0, 255).round().astype(np.uint8))
    return to_srgb(picture, profile_of(info)).convert("RGB")


def read_mask(path: Path) -> Image.Image:
    """Read a mask as 8-bit grey, 0 or 255, as `masks.read_mask` does; PictureError when it cannot be read."""
    values, _ = mask_values(path)
    return Image.fromarray(np.where(values > 0.5, np.uint8(255), np.uint8(0)))


def resize_picture(picture: Image.Image, size: int, box: Box | None = None) -> Image.Image:
    """`box` of a picture as `size`x`size`, bicubic, as in the paper's evaluation."""
    return picture.resize((size, size), Image.Resampling.BICUBIC, box=box)


def resize_mask(mask: Image.Image, size: int, box: Box | None = None) -> Image.Image:
    """`box` of a mask as `size`x`size`, nearest, as in the paper's evaluation."""
    return mask.resize((size, size), Image.Resampling.NEAREST, box=box)


def save_image(image: Image.Image, path: Path) -> None:
    """Write a picture whole or not at all: PNG, or JPEG at quality 95 with full chroma."""
    write_whole(path, lambda file: _encode(image, path.name, file))


def encoded(image: Image.Image, name: str) -> bytes:
    """The file of that name that `save_image` would write."""
    memory = io.BytesIO()
    _encode(image, name, memory)
    return memory.getvalue()


def _encode(image: Image.Image, name: str, file: BinaryIO) -> None:
    if name.lower().endswith(".png"):
        image.save(file, "PNG")
    else:
        image.save(file, "JPEG", quality=95, subsampling=0)
