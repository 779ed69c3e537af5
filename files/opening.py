"""Opens picture files, and says of those that cannot be read what they are and what to do."""

from __future__ import annotations

import logging
from pathlib import Path

from PIL import Image, ImageFile, ImageOps, TiffImagePlugin

from . import sixteen_bits
from .errors import PictureError
from .floating import INSTALL, is_floating, kind_of
from .metadata import BEGINNING, PictureInfo, read_info

logger = logging.getLogger(__name__)

MAX_PIXELS = 128_000_000  # some 6 GB of memory while it is worked on
BROKEN = (OSError, SyntaxError, ValueError, EOFError)  # what Pillow raises for damaged files

GREY_MODES = ("1", "L", "LA", "I", "F")
RAW_SUFFIXES = (".dng", ".nef", ".cr2", ".cr3", ".arw", ".orf", ".rw2", ".pef", ".srw", ".raf")
RAW = "the raw file of a camera, of which only a preview could be read; develop it first, to a TIFF or PNG"
DNG_VERSION, BITS_PER_SAMPLE = 50706, 258  # tags of TIFF
AS_PNG = "which is not read; save it as PNG, or as TIFF with 8 or 16 bits a channel"
# What files begin with, from which place on: what they are, and what to do.
KINDS = (
    (0, (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "a TIFF of a kind that is not read; save it with 8 or 16 bits a "
     "channel, interleaved"),
    (0, (b"\xff\x0a", b"\0\0\0\x0cJXL "), f"a JPEG XL file, {AS_PNG}"),
    (4, (b"ftyphei", b"ftyphev", b"ftypmif1", b"ftypmsf1"), f"a HEIC file, {AS_PNG}"),
    (4, (b"ftypavi",), "an AVIF file, which this Pillow does not read; save it as PNG, or update Pillow"),
    (4, (b"ftypcrx ",), RAW),
    (0, (b"8BPS",), "a Photoshop file of a kind that is not read; save it as PNG or TIFF"),
    (0, (b"%PDF",), "a PDF, not a picture; export the page as PNG"),
    (0, (b"<svg", b"<?xml"), "an XML file such as SVG, not a picture of pixels; export it as PNG"),
    (0, (b"<!DOCTYPE", b"<!doctype", b"<html"), "a web page, not a picture; download the picture itself"),
    (0, (b"version https://git-lfs",), "a pointer to a file that is kept with Git LFS; run: git lfs pull"),
)  # fmt: skip


def open_picture(path: str | Path) -> tuple[Image.Image, PictureInfo]:
    """Opens a picture, turned upright; its size is looked at before anything is unpacked.

    Args:
        path: A file of any format that Pillow reads; of several pages or frames the first, with a warning.

    Returns:
        The picture, and what its file says. Colours of 16 bits a channel are 8 bits in it, see :mod:`.sixteen_bits`.

    Raises:
        PictureError: It cannot be read, or has more than :data:`MAX_PIXELS`.
    """
    path = Path(path)
    if not path.exists():
        raise PictureError(f"{path}: there is no such file.")
    if path.is_dir():
        raise PictureError(f"{path}: this is a folder; give a picture.")
    try:
        with open(path, "rb") as file:
            beginning = file.read(BEGINNING)
        with Image.open(path) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise _too_large(path)
            if path.suffix.lower() in RAW_SUFFIXES or DNG_VERSION in getattr(picture, "tag_v2", ()):
                raise PictureError(f"{path}: this is {RAW}.")
            bits, grey = _bits(picture, path, beginning), _is_grey(picture)
            frames = 1 if picture.format == "MPO" else getattr(picture, "n_frames", 1)  # a camera adds previews
            if frames > 1:
                logger.warning("%s: of its %d frames or pages the first is taken.", path, frames)
                picture.seek(0)
            picture.load()
            upright = ImageOps.exif_transpose(picture)
            return upright, read_info(picture, upright, bits=bits, grey=grey, beginning=beginning)
    except PictureError:
        raise
    except PermissionError:
        raise PictureError(f"{path}: no permission to read it.") from None
    except Image.UnidentifiedImageError:
        raise PictureError(f"{path}: this is {_what_it_is(path, beginning)}.") from None
    except Image.DecompressionBombError:
        raise _too_large(path) from None
    except BROKEN as error:
        reason = str(error).rstrip(".")
        raise PictureError(f"{path}: the picture is damaged or of an unknown kind ({reason}).") from error


def _too_large(path: Path) -> PictureError:
    return PictureError(f"{path}: the picture has more than {MAX_PIXELS // 1_000_000} megapixels; make it smaller.")


def _what_it_is(path: Path, beginning: bytes) -> str:
    if path.suffix.lower() in RAW_SUFFIXES:
        return RAW
    if is_floating(path):
        return f"{kind_of(path)}, for which OpenImageIO is missing; install it with: {INSTALL}"
    for place, starts, what in KINDS:
        if beginning[place:].startswith(starts):
            return what
    return "not a picture of a known format" + ("" if beginning else ": the file is empty")


def _is_grey(picture: Image.Image) -> bool:
    return picture.mode in GREY_MODES or (sixteen_bits.unpacker(picture) or picture.mode).startswith(("I;16", "LA"))


def _bits(picture: ImageFile.ImageFile, path: Path, beginning: bytes) -> int:
    """Bits a channel that are kept, 8 or 16; a warning where the file has more."""
    if sixteen_bits.unpacker(picture) or picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        return 16
    if isinstance(picture, TiffImagePlugin.TiffImageFile) and 16 in picture.tag_v2.get(BITS_PER_SAMPLE, ()):
        # Pillow takes these for 8 bits
        raise PictureError(f"{path}: its 16 bits are stored channel after channel; save it interleaved.")
    deeper = False
    if picture.format == "AVIF":
        place = beginning.find(b"av1C")
        deeper = place >= 0 and len(beginning) > place + 6 and bool(beginning[place + 6] & 0x40)
    elif picture.format == "JPEG2000":
        place = beginning.find(b"ihdr")
        deeper = place >= 0 and len(beginning) > place + 14 and beginning[place + 14] & 0x7F > 7
    elif picture.format == "PPM" and picture.tile:
        maximum = picture.tile[0][3][-1] if isinstance(picture.tile[0][3], tuple) else 255
        deeper = isinstance(maximum, int) and maximum > 255
    if deeper:
        logger.warning("%s: of its bits a channel 8 are read; as PNG or TIFF, 16 would be.", path)
    return 8
