"""Picture files to tensors and back, with what photographers and artists keep in them."""

from __future__ import annotations

import io
import logging
import os
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps, PngImagePlugin

from .weights.whole_files import write_whole

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)

# TIFF stays uncompressed: compressed, libtiff refuses EXIF.
FORMATS = {
    ".png": ("PNG", {}),
    ".jpg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".jpeg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".webp": ("WEBP", {"lossless": True, "exact": True}),
    ".tif": ("TIFF", {}),
    ".tiff": ("TIFF", {}),
    ".avif": ("AVIF", {"quality": 95, "subsampling": "4:4:4"}),
    ".bmp": ("BMP", {}),
}
MAX_ASPECT_DIFFERENCE = 0.05
OPAQUE = ("JPEG", "BMP")

# What Pillow raises for broken files, across formats and versions.
BROKEN = (OSError, SyntaxError, ValueError, EOFError)

# Tags of TIFF's main directory that describe people and cameras; the others describe the file they came in.
DESCRIPTIVE_TAGS = {
    ExifTags.Base[name]
    for name in (
        "DocumentName ImageDescription Make Model Software DateTime Artist HostComputer Copyright Rating "
        "XPTitle XPComment XPAuthor XPKeywords XPSubject"
    ).split()
}


class PictureError(ValueError):
    """A picture that cannot be read or written; the message names the file and says what to do."""


@dataclass(frozen=True)
class PictureInfo:
    """What a file says beside its pixels, ready to be written into another.

    Attributes:
        exif: EXIF as Pillow writes it, upright and without a thumbnail.
        icc_profile: The RGB profile the values are in; None means sRGB.
        dpi: Pixels per inch, across and down.
        xmp: The XMP packet.
        text: Texts of a PNG, such as the workflow that ComfyUI stores.
    """

    exif: bytes | None = None
    icc_profile: bytes | None = None
    dpi: tuple[float, float] | None = None
    xmp: bytes | None = None
    text: dict[str, str] = field(default_factory=dict)


def read_picture(path: str | Path) -> tuple[Tensor, PictureInfo]:
    """Reads a picture, turned upright.

    Grey and palette pictures become RGB, CMYK does so through its profile. RGB values stay as they are stored.

    Args:
        path: A file of any format that Pillow reads; of several pages or frames the first.

    Returns:
        float32 ``[1, H, W, 3]``, or ``[1, H, W, 4]`` where the picture has an alpha channel, in 0..1; and what
        to hand to :func:`save_picture`.

    Raises:
        PictureError: It cannot be read, or holds values that are no picture.
    """
    picture, info = _open(path)
    has_alpha = picture.has_transparency_data
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        values = np.repeat(_deep_grey(picture, path)[..., None], 3, -1)
    else:
        rgb = _to_srgb(picture) if info.icc_profile is None else picture
        values = np.asarray(rgb.convert("RGBA" if has_alpha else "RGB"), np.float32) / 255
    return _tensor(values), info


def read_mask(path: str | Path) -> Tensor:
    """Reads a mask, turned upright: its alpha channel unless that is constant, otherwise its luminance.

    Returns:
        float32 ``[1, H, W]`` in 0..1.

    Raises:
        PictureError: It cannot be read, or holds values that are no mask.
    """
    mask, _ = _open(path)
    if mask.mode in ("I", "F") or mask.mode.startswith("I;16"):
        return _tensor(_deep_grey(mask, path))
    if mask.has_transparency_data:
        rgba = mask.convert("RGBA")
        low, high = rgba.getextrema()[3]
        mask = rgba.getchannel("A") if low < high else rgba.convert("RGB")
    values = np.asarray((mask.convert("RGB") if mask.mode == "P" else mask).convert("L"), np.float32)
    # a file of zeros and ones was meant as such
    return _tensor(values / (1 if values.max() == 1 else 255))


def save_picture(picture: Tensor, path: str | Path, info: PictureInfo | None = None) -> None:
    """Writes a picture, whole or not at all; values are rounded to 8 bits.

    PNG, TIFF, BMP and WebP keep every pixel; JPEG and AVIF are written at quality 95 with full chroma.

    Args:
        picture: ``[1, H, W, C]`` or ``[H, W, C]`` in 0..1 with C = 3 or 4; or ``[1, H, W]``, grey.
        path: Its extension chooses the format; the folder must exist.
        info: What :func:`read_picture` gave.

    Raises:
        PictureError: The extension is unknown, or the folder is missing or cannot be written to.
        ValueError: The picture holds NaN or infinite values.
    """
    check_output(path)
    path, info = Path(path), info or PictureInfo()
    values = picture.detach().cpu().float().numpy()
    if values.ndim == 4 or values.shape[-1] not in (3, 4):
        values = values[0]
    if not np.isfinite(values).all():
        raise ValueError("The picture holds NaN or infinite values and is not saved.")
    image = Image.fromarray((values.clip(0, 1) * 255).round().astype(np.uint8))
    kind, options = FORMATS[path.suffix.lower()]
    if kind in OPAQUE and image.mode == "RGBA":
        image = _flatten(image, path)

    about = {"exif": info.exif, "icc_profile": info.icc_profile, "dpi": info.dpi, "xmp": info.xmp}
    if kind == "PNG":
        about = {**about, "pnginfo": _png_texts(info)}
    data = io.BytesIO()
    image.save(data, kind, **options, **{key: value for key, value in about.items() if value})
    write_whole(path, lambda file: file.write(data.getbuffer()))


def check_output(path: str | Path) -> None:
    """Says before the work is done whether its result can be written.

    Raises:
        PictureError: The extension is unknown, or the folder is missing or cannot be written to.
    """
    path = Path(path)
    Image.init()
    writable = [extension for extension, (kind, _) in FORMATS.items() if kind in Image.SAVE]
    if path.suffix.lower() not in writable:
        raise PictureError(f"{path}: the name must end in one of {' '.join(writable)}.")
    if not path.parent.is_dir():
        raise PictureError(f"{path}: the folder {path.parent} does not exist; make it first.")
    if path.is_dir():
        raise PictureError(f"{path}: this is a folder; give the name of a file.")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise PictureError(f"{path}: no permission to write into the folder {path.parent}.")


def check_same_shape(picture: Tensor, picture_name: Path, mask: Tensor, mask_name: Path) -> None:
    """Raises ValueError where a mask differs from its picture by more than mere scale."""
    height, width = picture.shape[1:3]
    mask_height, mask_width = mask.shape[1:3]
    ratio = (width * mask_height) / (height * mask_width)
    if max(ratio, 1 / ratio) > 1 + MAX_ASPECT_DIFFERENCE:
        raise ValueError(
            f"{mask_name} is {mask_width}x{mask_height} pixels but {picture_name} {width}x{height}; "
            "a mask must have the proportions of its picture."
        )


def _open(path: str | Path) -> tuple[Image.Image, PictureInfo]:
    path = Path(path)
    if not path.exists():
        raise PictureError(f"{path}: there is no such file.")
    if path.is_dir():
        raise PictureError(f"{path}: this is a folder; give a picture.")
    try:
        with Image.open(path) as picture:
            picture.load()
            upright = ImageOps.exif_transpose(picture)
            return upright, _info(picture, upright)
    except PermissionError:
        raise PictureError(f"{path}: no permission to read it.") from None
    except Image.UnidentifiedImageError:
        raise PictureError(f"{path}: this is not a picture of a known format.") from None
    except Image.DecompressionBombError:
        most = 2 * Image.MAX_IMAGE_PIXELS // 1_000_000
        raise PictureError(f"{path}: the picture has more than {most} megapixels; make it smaller.") from None
    except BROKEN as error:
        reason = str(error).rstrip(".")
        raise PictureError(f"{path}: the picture is damaged or of an unknown kind ({reason}).") from error


def _info(picture: Image.Image, upright: Image.Image) -> PictureInfo:
    profile = picture.info.get("icc_profile")
    if profile and profile[16:20] != b"RGB ":  # bytes 16 to 19 of a profile name its colour space
        profile = None
    if profile and picture.mode not in ("RGB", "RGBA", "P", "PA"):
        profile = None
    xmp = upright.info.get("xmp")  # turning the picture resets the orientation here too
    dpi = picture.info.get("dpi")
    return PictureInfo(
        exif=_exif(picture.getexif(), upright.size),
        icc_profile=profile or None,
        dpi=(float(dpi[0]), float(dpi[1])) if dpi and min(dpi) > 1 else None,
        xmp=xmp.encode() if isinstance(xmp, str) else xmp,
        # texts that hold EXIF or XMP would bring the orientation back
        text={
            key: value
            for key, value in getattr(picture, "text", {}).items()
            if not key.startswith(("Raw profile type", "XML:com.adobe.xmp"))
        },
    )


def _exif(old: Image.Exif, size: tuple[int, int]) -> bytes | None:
    """EXIF without orientation, thumbnail and what belongs to the file it came in."""
    new = Image.Exif()
    try:
        for tag in DESCRIPTIVE_TAGS & set(old):
            new[tag] = old[tag]
        for ifd in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
            if entries := dict(old.get_ifd(ifd)):
                sides = zip((ExifTags.Base.ExifImageWidth, ExifTags.Base.ExifImageHeight), size)
                entries |= {tag: side for tag, side in sides if tag in entries}
                new.get_ifd(ifd).update(entries)
                new[ifd] = new.get_ifd(ifd)
        return new.tobytes() if len(new) else None
    except (ValueError, TypeError, SyntaxError, OverflowError, struct.error):
        logger.warning("The EXIF of a picture is damaged and is left out.")
        return None


def _to_srgb(picture: Image.Image) -> Image.Image:
    """CMYK, Lab and grey pictures through their profile, where they bring one."""
    profile = picture.info.get("icc_profile")
    if picture.mode == "LAB":
        source = ImageCms.createProfile("LAB")
    elif profile and picture.mode in ("CMYK", "L"):
        source = io.BytesIO(profile)
    else:
        return picture
    try:
        return ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        if picture.mode == "LAB":
            raise
        logger.warning("A colour profile could not be used; the colours are taken without it.")
        return picture


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


def _tensor(values: np.ndarray) -> Tensor:
    import torch

    return torch.from_numpy(np.ascontiguousarray(values, np.float32))[None]


def _flatten(image: Image.Image, path: Path) -> Image.Image:
    if image.getextrema()[3][0] < 255:
        logger.warning("%s: %s has no alpha channel; the picture is laid on white.", path, path.suffix)
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def _png_texts(info: PictureInfo) -> PngImagePlugin.PngInfo:
    texts = PngImagePlugin.PngInfo()
    for key, value in info.text.items():
        texts.add_itxt(key, value)
    if info.xmp:
        texts.add_itxt("XML:com.adobe.xmp", info.xmp.decode("utf-8", "replace"))
    return texts
