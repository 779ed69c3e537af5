"""Picture files to tensors and back, with what photographers and artists keep in them."""

from __future__ import annotations

import io
import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from . import floating, png, sixteen_bits
from .atomic import write_whole
from .colour import convert, is_grey, join, profile_of, to_srgb
from .errors import PictureError
from .masks import read_mask
from .metadata import PictureInfo, png_texts
from .opening import BROKEN, MAX_PIXELS, open_picture

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "EXTENSIONS",
    "FORMATS",
    "MAX_PIXELS",
    "PictureError",
    "PictureInfo",
    "check_output",
    "join",
    "read_mask",
    "read_mask_of",
    "read_picture",
    "save_picture",
]

logger = logging.getLogger(__name__)

# TIFF stays uncompressed: compressed, libtiff refuses EXIF.
FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {}),
    ".jpg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".jpeg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".webp": ("WEBP", {"lossless": True, "exact": True}),
    ".tif": ("TIFF", {}),
    ".tiff": ("TIFF", {}),
    ".avif": ("AVIF", {"quality": 95, "subsampling": "4:4:4"}),
    ".bmp": ("BMP", {}),
}
EXTENSIONS = (*FORMATS, *floating.LIGHT)
DEEP = ("PNG", "TIFF")  # hold 16 bits a channel
OPAQUE = ("JPEG", "BMP")
GREY_WITH_ALPHA = ("PNG", "TIFF")
WITHOUT_GREY = ("WEBP", "AVIF")
MAX_ASPECT_DIFFERENCE = 0.05


def read_picture(path: str | Path) -> tuple[Tensor, PictureInfo]:
    """Reads a picture, turned upright.

    Values of RGB and grey stay as they are stored, those of 16 bits too. Palettes become RGB; CMYK and Lab become sRGB.

    Args:
        path: A file of any format that Pillow reads, or in floating point, of at most :data:`MAX_PIXELS`; of several
            pages or frames the first, with a warning.

    Returns:
        float32 ``[1, H, W, 3]``, or ``[1, H, W, 4]`` where the picture has an alpha channel, in 0..1, of files in
        floating point of any range; and what to hand to :func:`save_picture`.

    Raises:
        PictureError: It cannot be read, or holds values that are no picture.
    """
    import torch

    if floating.has_openimageio() and floating.is_floating(path):
        found = floating.read_floating(path, MAX_PIXELS)
        info = PictureInfo(icc_profile=found.icc_profile, bits=16, grey=len(found.colours) == 1, floating=found)
        return torch.from_numpy(found.picture())[None], info
    picture, info = open_picture(path)
    try:
        values = _values(picture, info, path)
    except BROKEN as error:
        if isinstance(error, PictureError):
            raise
        raise PictureError(f"{path}: its colours cannot be read ({str(error).rstrip('.')}).") from error
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))[None], info


def _values(picture: Image.Image, info: PictureInfo, path: str | Path) -> np.ndarray:
    """``[H, W, 3 or 4]`` in 0..1."""
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        return np.repeat(_deep_grey(picture, path)[..., None], 3, -1)
    if info.bits == 16:
        levels = sixteen_bits.read(path)
        return (levels if levels.shape[-1] > 2 else levels[..., (0, 0, 0, 1)]).astype(np.float32) / 65535
    has_alpha = picture.has_transparency_data
    if picture.mode in ("CMYK", "LAB"):
        logger.warning("%s: its %s colours become RGB.", path, picture.mode)
        picture = to_srgb(picture)
    return np.asarray(picture.convert("RGBA" if has_alpha else "RGB"), np.float32) / 255


def _deep_grey(picture: Image.Image, path: str | Path) -> np.ndarray:
    """Grey of 16 bits, or of floating point in 0..1."""
    values = np.asarray(picture).astype(np.float32)
    if picture.mode != "F":
        values /= 65535
    if not np.isfinite(values).all():
        raise PictureError(f"{path}: the picture holds NaN or infinite values.")
    if values.min() < 0 or values.max() > 1:
        raise PictureError(f"{path}: the values leave the range of a picture; save it with 8 or 16 bits.")
    return values


def save_picture(picture: Tensor, path: str | Path, info: PictureInfo | None = None) -> None:
    """Writes a picture, whole or not at all; values are rounded to 8 bits, or to 16 where ``info`` says so.

    What was read in floating point is written so to OpenEXR, Radiance HDR and TIFF. PNG, TIFF, BMP and WebP keep every
    pixel; JPEG and AVIF are written at quality 95 with full chroma. What a format does not hold (16 bits, alpha, a
    profile) is told in a warning.

    Args:
        picture: ``[1, H, W, C]`` or ``[H, W, C]`` in 0..1 with C = 3 or 4; or ``[1, H, W]``, grey.
        path: Its extension chooses the format; the folder must exist.
        info: What :func:`read_picture` gave.

    Raises:
        PictureError: The extension is unknown or the format does not hold the picture's range, or the folder is missing
            or cannot be written to.
        ValueError: The picture holds NaN or infinite values.
    """
    check_output(path)
    path, info = Path(path), info or PictureInfo()
    check_range(path, info)
    picture = picture.detach().cpu().float()
    if picture.dim() == 4:
        picture = picture[0]
    elif picture.shape[-1] not in (3, 4):
        picture = picture[0, ..., None]
    if not picture.isfinite().all():
        raise ValueError("The picture holds NaN or infinite values and is not saved.")
    if info.floating is not None and path.suffix.lower() in floating.EXTENSIONS:
        floating.write_floating(picture, path, info.floating)
        return
    kind, options = FORMATS[path.suffix.lower()]
    picture, info = _as_the_format_has_it(picture, path, kind, info)
    values = picture.numpy()
    if info.grey and values.shape[-1] > 2:
        grey = values[..., :3].mean(-1, keepdims=True)
        values = np.concatenate((grey, values[..., 3:]), -1) if kind in GREY_WITH_ALPHA else grey

    about: dict[str, Any] = {"exif": info.exif, "icc_profile": info.icc_profile, "dpi": info.dpi, "xmp": info.xmp}
    if kind == "PNG":
        del about["xmp"]
        about["pnginfo"] = png_texts(info)
    about = {key: value for key, value in about.items() if value}
    if info.bits == 16:
        levels = (values.clip(0, 1) * 65535).round().astype(np.uint16)
        data = (sixteen_bits.encode_png if kind == "PNG" else sixteen_bits.encode_tiff)(levels, about)
    else:
        levels = (values.clip(0, 1) * 255).round().astype(np.uint8)
        image = Image.fromarray(levels[..., 0] if levels.shape[-1] == 1 else levels)
        file = io.BytesIO()
        image.save(file, kind, **options, **about)
        data = file.getvalue()
    if kind == "PNG":
        data = png.with_chunks(data, list(info.chunks))
    write_whole(path, lambda file: file.write(data))


def _as_the_format_has_it(picture: Tensor, path: Path, kind: str, info: PictureInfo) -> tuple[Tensor, PictureInfo]:
    """The picture ``[H, W, C]`` and what is said of it, brought to what a format holds."""
    profile = profile_of(info)
    if kind == "PNG":
        profile = info.icc_profile
    elif is_grey(profile) and kind in WITHOUT_GREY or profile and kind == "BMP":
        logger.warning("%s: %s keeps no such colour profile; the picture becomes sRGB.", path, path.suffix)
        picture, profile = convert(picture[None], profile, None)[0], None
    bits = info.bits
    if bits == 16 and kind not in DEEP:
        logger.warning("%s: %s holds 8 bits a channel; of the 16 the upper are kept.", path, path.suffix)
        bits = 8
    grey = info.grey and kind not in WITHOUT_GREY
    if kind in OPAQUE and picture.shape[-1] == 4:
        picture = _flattened(picture, path)
    return picture, replace(info, icc_profile=profile, bits=bits, grey=grey)


def _flattened(picture: Tensor, path: Path) -> Tensor:
    """``[H, W, 4]`` laid on white."""
    alpha = picture[..., 3:].clamp(0, 1)
    if alpha.min() < 1:
        logger.warning("%s: %s has no alpha channel; the picture is laid on white.", path, path.suffix)
    return picture[..., :3] * alpha + (1 - alpha)


def check_range(path: Path, info: PictureInfo) -> None:
    """Says before the work is done whether a format holds the range of a picture.

    Args:
        path: The file to write.
        info: What :func:`read_picture` gave.

    Raises:
        PictureError: One of both is scene-linear, the other is not.
    """
    suffix = path.suffix.lower()
    if info.floating is None and suffix in floating.LIGHT:
        raise PictureError(f"{path}: {suffix} holds scene-linear light, which the picture is not; write a PNG or TIFF.")
    if info.floating is not None and suffix not in floating.EXTENSIONS and info.floating.leaves_display:
        raise PictureError(
            f"{path}: {suffix} holds no values beyond 0..1, as the picture has; write one of "
            f"{' '.join(floating.EXTENSIONS)}."
        )


def check_output(path: str | Path) -> None:
    """Says before the work is done whether its result can be written.

    Raises:
        PictureError: The extension is unknown, or the folder is missing or cannot be written to.
    """
    path = Path(path)
    Image.init()
    if path.suffix.lower() in floating.LIGHT:
        floating.openimageio()
    writable = [extension for extension, (kind, _) in FORMATS.items() if kind in Image.SAVE]
    writable += floating.LIGHT
    if path.suffix.lower() not in writable:
        raise PictureError(f"{path}: the name must end in one of {' '.join(writable)}.")
    if not path.parent.is_dir():
        raise PictureError(f"{path}: the folder {path.parent} does not exist; make it first.")
    if path.is_dir():
        raise PictureError(f"{path}: this is a folder; give the name of a file.")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise PictureError(f"{path}: no permission to write into the folder {path.parent}.")


def read_mask_of(picture: Tensor, picture_name: Path, path: Path) -> Tensor:
    """Reads the mask of a picture ``[1, H, W, C]``, ``[1, h, w]`` in 0..1, of any size with its proportions.

    Raises:
        ValueError: If it differs from its picture by more than mere scale.
    """
    mask = read_mask(path)
    height, width = picture.shape[1:3]
    mask_height, mask_width = mask.shape[1:3]
    ratio = (width * mask_height) / (height * mask_width)
    if max(ratio, 1 / ratio) > 1 + MAX_ASPECT_DIFFERENCE:
        raise ValueError(
            f"{path} is {mask_width}x{mask_height} pixels but {picture_name} {width}x{height}; "
            "a mask must have the proportions of its picture."
        )
    return mask
