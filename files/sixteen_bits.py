"""Colour pictures of 16 bits a channel, which Pillow cuts to 8.

Pillow has no mode for them, but for either byte of a value an unpacker of its own: `RGB;16B` keeps the first byte of
two, `RGB;16L` the second. So the file is decoded once with each, and no other decoder is needed for it.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageFile, ImageOps, TiffImagePlugin, TiffTags

from . import png
from .errors import PictureError

_GREY_WITH_ALPHA = "LA;16B"  # no unpacker gives its second bytes; but taken for 8-bit RGBA, it gives all four
_PREMULTIPLIED = "RGBa;16"
_OTHER_BYTE = {"B": "L", "L": "B"}


def unpacker(picture: Image.Image) -> str | None:
    """The unpacker that Pillow would use, where that loses half of 16 bits.

    Args:
        picture: Opened, not loaded yet.
    """
    if not isinstance(picture, ImageFile.ImageFile) or not picture.tile or picture.mode.startswith("I"):
        return None
    arguments = picture.tile[0][3]
    name = arguments if isinstance(arguments, str) else arguments[0] if arguments else ""
    return name if isinstance(name, str) and ";16" in name else None


def read(path: str | Path) -> np.ndarray:
    """Reads such a picture.

    Returns:
        uint16 ``[H, W, C]``, turned upright; C = 2 (grey and alpha), 3 (RGB) or 4 (RGBA, not premultiplied).

    Raises:
        PictureError: Its bytes are laid out in a way that is not read.
    """
    with Image.open(path) as picture:
        name = unpacker(picture) or ""
    if name == _GREY_WITH_ALPHA:
        four = _decode(path, "RGBA")
        return four[..., ::2] * np.uint16(256) + four[..., 1::2]
    kind, _, order = name.partition(";16")
    if order == "N":  # libtiff gives the machine's own order
        order = "L" if np.little_endian else "B"
    kind = kind.replace("RGBa", "RGBA")
    most, least = (f"{kind};16{each}" for each in (order, _OTHER_BYTE[order]))
    try:
        levels = _decode(path, most) * np.uint16(256) + _decode(path, least)
    except ValueError as error:
        raise PictureError(f"{path}: its 16 bits are stored in a way that is not read; save it as PNG.") from error
    return _unpremultiplied(levels) if name.startswith(_PREMULTIPLIED) else levels


def _decode(path: str | Path, name: str) -> np.ndarray:
    """uint8 ``[H, W, C]`` by an unpacker of that name."""
    with Image.open(path) as picture:
        tiles = []
        for tile in picture.tile:
            arguments = name if isinstance(tile[3], str) else (name, *(tile[3] or ())[1:])
            tiles.append(type(tile)(*tile[:3], arguments))
        picture.tile = tiles
        picture.load()
        return np.asarray(ImageOps.exif_transpose(picture))


def _unpremultiplied(levels: np.ndarray) -> np.ndarray:
    alpha = levels[..., 3:].astype(np.float64)
    colours = levels[..., :3] * (65535 / np.maximum(alpha, 1))
    return np.concatenate((colours.clip(0, 65535).round(), alpha), -1).astype(np.uint16)


def encode_png(levels: np.ndarray, about: dict[str, Any]) -> bytes:
    """A PNG.

    Args:
        levels: uint16 ``[H, W, C]``, C = 1 to 4.
        about: What Pillow is to write beside the pixels, as for ``Image.save``.
    """
    without_pixels = io.BytesIO()
    Image.new("L", (1, 1)).save(without_pixels, "PNG", **about)
    return png.encode(levels, png.chunks(without_pixels.getvalue())[1:])


def encode_tiff(levels: np.ndarray, about: dict[str, Any]) -> bytes:
    """An uncompressed TIFF; see :func:`encode_png`. Grey with alpha is written as RGBA, which more programs read."""
    if levels.shape[-1] == 2:
        levels = levels[..., (0, 0, 0, 1)]
    without_pixels = io.BytesIO()
    Image.new("L", (1, 1)).save(without_pixels, "TIFF", **about)
    with Image.open(without_pixels) as picture:
        assert isinstance(picture, TiffImagePlugin.TiffImageFile)
        tags, exif = picture.tag_v2, picture.getexif()
        subs = {tag: exif.get_ifd(tag) for tag in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)}
    height, width, channels = levels.shape
    directory = TiffImagePlugin.ImageFileDirectory_v2(b"II*\0\0\0\0\0")
    directory.tagtype |= tags.tagtype
    for tag, value in tags.items():
        if tag not in subs:
            directory[tag] = value
    for tag, entries in subs.items():
        if entries:
            directory[tag] = entries
    base = ExifTags.Base
    directory[base.ImageWidth], directory[base.ImageLength] = width, height
    directory[base.BitsPerSample] = (16,) * channels
    directory[base.SamplesPerPixel] = channels
    directory[base.PhotometricInterpretation] = 2 if channels > 1 else 1
    directory[base.RowsPerStrip] = height
    directory[base.StripByteCounts] = levels.nbytes
    directory.tagtype[base.StripOffsets] = TiffTags.LONG
    directory[base.StripOffsets] = 0  # from the end of the directory
    if channels == 4:
        directory[TiffImagePlugin.EXTRASAMPLES] = 2  # alpha, not premultiplied
    file = io.BytesIO()
    directory.save(file)
    file.write(levels.astype("<u2").tobytes())
    return file.getvalue()
