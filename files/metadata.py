"""What a picture file says beside its pixels."""

from __future__ import annotations

import logging
import struct
from dataclasses import dataclass, field

from PIL import ExifTags, Image, PngImagePlugin

from . import png
from .colour import ADOBE_RGB
from .floating import FloatingPicture

logger = logging.getLogger(__name__)

# Chunks of a PNG that say what its values mean; they are kept, since the values are.
COLOUR_CHUNKS = (b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI")
BEGINNING = 1 << 20  # bytes of a PNG in which these chunks are looked for
INNER_IFDS = {int(ExifTags.IFD.Interop), int(ExifTags.IFD.MakerNote)}  # offsets, or of a camera's own layout

# Tags of TIFF's main directory that describe people and cameras; the others describe the file they came in.
DESCRIPTIVE_TAGS = {
    ExifTags.Base[name]
    for name in (
        "DocumentName ImageDescription Make Model Software DateTime Artist HostComputer Copyright Rating "
        "XPTitle XPComment XPAuthor XPKeywords XPSubject"
    ).split()
}


@dataclass(frozen=True)
class PictureInfo:
    """What a file says beside its pixels, ready to be written into another.

    Attributes:
        exif: EXIF as Pillow writes it, upright and without a thumbnail.
        icc_profile: The profile the values are in, of RGB or of grey; None means sRGB, unless ``chunks`` say more.
        dpi: Pixels per inch, across and down.
        xmp: The XMP packet.
        text: Texts of a PNG, such as the workflow that ComfyUI stores.
        bits: For each channel, 8 or 16.
        grey: The file holds grey, and is written as such.
        chunks: Name and content of a PNG's chunks that say what its values mean.
        floating: All that a file in floating point holds.
    """

    exif: bytes | None = None
    icc_profile: bytes | None = None
    dpi: tuple[float, float] | None = None
    xmp: bytes | None = None
    text: dict[str, str] = field(default_factory=dict)
    bits: int = 8
    grey: bool = False
    chunks: tuple[tuple[bytes, bytes], ...] = ()
    floating: FloatingPicture | None = None

    @property
    def is_light(self) -> bool:
        """Whether the values are scene-linear by their format."""
        return self.floating is not None and self.floating.kind != "tiff"


def read_info(picture: Image.Image, upright: Image.Image, *, bits: int, grey: bool, beginning: bytes) -> PictureInfo:
    """What a file says.

    Args:
        picture: As it is stored.
        upright: The same turned upright.
        bits: For each channel.
        grey: Whether it holds grey.
        beginning: The file's first bytes.
    """
    profile = picture.info.get("icc_profile")
    fits = grey or picture.mode in ("RGB", "RGBA", "P", "PA")  # others become sRGB
    if profile and not (fits and profile[16:20] == (b"GRAY" if grey else b"RGB ")):
        profile = None
    old = picture.getexif()
    if not profile and fits and not grey and _is_adobe_rgb(old):
        profile = ADOBE_RGB
    xmp = upright.info.get("xmp")  # turning the picture resets the orientation here too
    dpi = picture.info.get("dpi")
    return PictureInfo(
        exif=_exif(old, upright.size),
        icc_profile=profile or None,
        dpi=(float(dpi[0]), float(dpi[1])) if dpi and min(dpi) > 1 else None,
        xmp=xmp.encode() if isinstance(xmp, str) else xmp,
        # texts that hold EXIF or XMP would bring the orientation back
        text={
            key: value
            for key, value in getattr(picture, "text", {}).items()
            if not key.startswith(("Raw profile type", "XML:com.adobe.xmp"))
        },
        bits=bits,
        grey=grey,
        chunks=tuple(each for each in png.chunks(beginning) if each[0] in COLOUR_CHUNKS)
        if picture.format == "PNG"
        else (),
    )


def png_texts(info: PictureInfo) -> PngImagePlugin.PngInfo:
    """The texts and the XMP packet of a PNG to be written."""
    texts = PngImagePlugin.PngInfo()
    for key, value in info.text.items():
        texts.add_itxt(key, value)
    if info.xmp:
        texts.add_itxt("XML:com.adobe.xmp", info.xmp.decode("utf-8", "replace"))
    return texts


def _is_adobe_rgb(exif: Image.Exif) -> bool:
    """Whether a camera says so in EXIF, as many do in place of a profile (DCF 2.0: interoperability index R03)."""
    try:
        return str(exif.get_ifd(ExifTags.IFD.Interop).get(ExifTags.Interop.InteropIndex, "")).startswith("R03")
    except (ValueError, TypeError, KeyError, SyntaxError, OverflowError, struct.error):
        return False


def _exif(old: Image.Exif, size: tuple[int, int]) -> bytes | None:
    """EXIF without orientation, thumbnail, colour space and what belongs to the file it came in."""
    new = Image.Exif()
    try:
        for tag in DESCRIPTIVE_TAGS & set(old):
            new[tag] = old[tag]
        for ifd in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
            entries = {tag: value for tag, value in old.get_ifd(ifd).items() if tag not in INNER_IFDS}
            if entries:
                sides = zip((ExifTags.Base.ExifImageWidth, ExifTags.Base.ExifImageHeight), size)
                entries |= {tag: side for tag, side in sides if tag in entries}
                new.get_ifd(ifd).update(entries)
                new[ifd] = new.get_ifd(ifd)
        return new.tobytes() if len(new) else None
    except (ValueError, TypeError, SyntaxError, OverflowError, struct.error):
        logger.warning("The EXIF of a picture is damaged and is left out.")
        return None
