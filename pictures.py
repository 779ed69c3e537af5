"""Picture files to tensors and back."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from .weights.whole_files import write_whole

if TYPE_CHECKING:
    from torch import Tensor

ORIENTATION = 0x0112
FORMATS = {
    ".png": {"format": "PNG"},
    ".jpg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    ".jpeg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    ".webp": {"format": "WEBP", "lossless": True, "exact": True},
    ".tif": {"format": "TIFF", "compression": "tiff_lzw"},
    ".tiff": {"format": "TIFF", "compression": "tiff_lzw"},
    ".avif": {"format": "AVIF", "quality": 95},
    ".bmp": {"format": "BMP"},
}
EXTENSIONS = tuple(FORMATS)


class PictureError(ValueError):
    """A picture file that cannot be read or written; the message names it and says what to do."""


@dataclass
class Picture:
    """A picture as it was read.

    Attributes:
        pixels: float32 ``[1, H, W, 3]``, or 4 with alpha, in 0..1.
        metadata: What :func:`save_picture` writes back: ``exif``, ``icc_profile``, ``dpi``.
    """

    pixels: Tensor
    metadata: dict = field(default_factory=dict)


def read_picture(path: str | Path) -> Picture:
    """Reads a picture, turned upright; grey, palette, CMYK and 16-bit pictures become RGB in 0..1.

    Raises:
        PictureError: There is no such file, or it is not a picture, damaged, or holds NaN or infinity.
    """
    picture = _open(path)
    metadata = {key: picture.info[key] for key in ("icc_profile", "dpi") if picture.info.get(key)}
    exif = picture.getexif()
    if exif:
        exif.pop(ORIENTATION, None)  # the pixels are upright now
        metadata["exif"] = exif.tobytes()
    if picture.mode == "CMYK":
        picture, metadata["icc_profile"] = _from_cmyk(picture, metadata.get("icc_profile"))
    pixels = _values(picture, path)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    return Picture(_tensor(pixels), {key: value for key, value in metadata.items() if value})


def read_mask(path: str | Path) -> Tensor:
    """Reads a mask: its alpha channel where that says something, else its brightness.

    Returns:
        float32 ``[1, H, W]`` in 0..1, 1 = the foreground.

    Raises:
        PictureError: As :func:`read_picture`.
    """
    picture = _open(path)
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        alpha = picture.convert("RGBA").getchannel("A")
        if alpha.getextrema()[0] != alpha.getextrema()[1]:
            return _tensor(_values(alpha, path))
        picture = picture.convert("RGB")
    values = _values(picture if picture.mode in ("1", "L", "F", "I") or picture.mode.startswith("I;") else picture.convert("L"), path)
    return _tensor(values)


def save_picture(pixels: Tensor, path: str | Path, metadata: dict | None = None) -> None:
    """Writes a picture, whole or not at all; the extension decides the format.

    An 8-bit picture that was read and not changed has the same pixels again in PNG, TIFF, WebP and BMP; JPEG
    and AVIF are written at quality 95.

    Args:
        pixels: float ``[1, H, W, 3 or 4]`` or ``[H, W, 3 or 4]`` in 0..1; alpha is dropped where the format has none.
        path: Its folder must exist.
        metadata: Of :class:`Picture`.

    Raises:
        PictureError: The extension is unknown, or the folder missing or not writable.
    """
    path = check_output(path)
    array = pixels.detach().cpu().reshape(pixels.shape[-3:]).float().clamp(0, 1).mul(255).round().byte().numpy()
    options = dict(FORMATS[path.suffix.lower()])
    if options["format"] in ("JPEG", "BMP"):
        array = np.ascontiguousarray(array[..., :3])
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, **options, **(metadata or {}))
    try:
        write_whole(path, lambda file: file.write(buffer.getbuffer()))
    except OSError as error:
        raise PictureError(f"{path}: cannot be written ({error.strerror or error}); choose another place.") from error


def check_output(path: str | Path) -> Path:
    """The path, if a picture can be written there as far as can be told before the work.

    Raises:
        PictureError: The extension is unknown or the folder missing.
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise PictureError(f"{path}: unknown picture format {path.suffix!r}; use one of {', '.join(FORMATS)}.")
    if not path.parent.is_dir():
        raise PictureError(f"{path}: there is no folder {path.parent}; make it first.")
    return path


def _open(path: str | Path) -> Image.Image:
    try:
        with Image.open(path) as picture:
            picture.load()
            return ImageOps.exif_transpose(picture)
    except FileNotFoundError as error:
        raise PictureError(f"{path}: there is no such file.") from error
    except UnidentifiedImageError as error:
        raise PictureError(f"{path}: this is not a picture that can be read.") from error
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise PictureError(f"{path}: the picture is damaged or cannot be read ({error}).") from error


def _values(picture: Image.Image, path: str | Path) -> np.ndarray:
    """float32 in 0..1, ``[H, W]``, ``[H, W, 3]`` or ``[H, W, 4]``."""
    mode = picture.mode
    if mode.startswith("I;16") or mode == "I":
        return np.asarray(picture).astype(np.float32) / 65535
    if mode == "F":
        values = np.asarray(picture)
        if not np.isfinite(values).all():
            raise PictureError(f"{path}: the picture holds NaN or infinite values.")
        return np.clip(values, 0, 1)
    if mode in ("1", "L"):
        return np.asarray(picture.convert("L")).astype(np.float32) / 255
    alpha = mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info
    return np.asarray(picture.convert("RGBA" if alpha else "RGB")).astype(np.float32) / 255


def _from_cmyk(picture: Image.Image, profile: bytes | None) -> tuple[Image.Image, bytes]:
    """CMYK to sRGB, through the picture's own profile where it has one."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    if profile:
        try:
            own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            return ImageCms.profileToProfile(picture, own, srgb, outputMode="RGB"), srgb.tobytes()
        except ImageCms.PyCMSError:
            pass
    return picture.convert("RGB"), srgb.tobytes()


def _tensor(values: np.ndarray) -> Tensor:
    import torch

    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))[None]
