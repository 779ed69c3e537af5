"""Picture files to tensors and back, with what photographers and artists keep in them."""

from __future__ import annotations

import io
import logging
import os
import struct
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps, PngImagePlugin

from .atomic import write_whole

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
MAX_PIXELS = 128_000_000  # some 6 GB of memory while it is worked on
LABELS, HIGHEST_LABEL = 4, 32  # a grey mask of at most so many values, none above that, names classes
# Chunks of a PNG that say what its values mean; they are kept, since the values are.
COLOUR_CHUNKS = (b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI")
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
        bits: For each channel, 8 or 16.
        grey: The file holds grey; it is written as such where the result has no colour.
        chunks: Of a PNG, whole, those that say what its values mean.
    """

    exif: bytes | None = None
    icc_profile: bytes | None = None
    dpi: tuple[float, float] | None = None
    xmp: bytes | None = None
    text: dict[str, str] = field(default_factory=dict)
    bits: int = 8
    grey: bool = False
    chunks: tuple[bytes, ...] = ()


def read_picture(path: str | Path) -> tuple[Tensor, PictureInfo]:
    """Reads a picture, turned upright.

    Palette pictures become RGB, CMYK does so through its profile. RGB and grey values stay as they are stored, 16 bits
    too.

    Args:
        path: A file of any format that Pillow reads, of at most :data:`MAX_PIXELS`; of several pages or frames the
            first, with a warning.

    Returns:
        float32 ``[1, H, W, 3]``, or ``[1, H, W, 4]`` where the picture has an alpha channel, in 0..1; and what
        to hand to :func:`save_picture`.

    Raises:
        PictureError: It cannot be read, or holds values that are no picture.
    """
    picture, info = _open(path)
    has_alpha = picture.has_transparency_data
    if _is_deep_grey(picture):
        values = np.repeat(_deep_grey(picture, path)[..., None], 3, -1)
    elif info.bits == 16:
        values = _deep_colour(path)
    else:
        rgb = picture if info.icc_profile or info.grey else _to_srgb(picture)
        values = np.asarray(rgb.convert("RGBA" if has_alpha else "RGB"), np.float32) / 255
    return _tensor(values), info


def to_profile_of(picture: Tensor, info: PictureInfo, other: PictureInfo) -> Tensor:
    """A picture's colours in another's profile, so that both can lie in one file; alpha stays.

    Args:
        picture: ``[1, H, W, 3 or 4]`` in 0..1.
        info: Of this picture.
        other: Of the one whose profile is wanted; no profile means sRGB.
    """
    import torch

    if info.icc_profile == other.icc_profile:
        return picture
    source, target = (_profile(each) for each in (info, other))
    image = Image.fromarray((picture[0, ..., :3].numpy().clip(0, 1) * 255).round().astype(np.uint8))
    try:
        converted = ImageCms.profileToProfile(image, source, target)
    except (ImageCms.PyCMSError, OSError):
        logger.warning("A colour profile could not be used; the colours are taken without it.")
        return picture
    colours = torch.from_numpy(np.asarray(converted, np.float32) / 255)[None]
    return torch.cat((colours, picture[..., 3:]), -1)


def _profile(info: PictureInfo):
    return io.BytesIO(info.icc_profile) if info.icc_profile else ImageCms.createProfile("sRGB")


def read_mask(path: str | Path) -> Tensor:
    """Reads a mask, turned upright: its alpha channel unless that is constant, otherwise its luminance.

    Masks that number classes, as labelling tools write them, mark everything but class 0: palette files whose colours
    are names, and grey ones of a few small values. 16-bit files that hold 0 to 255 count as 8 bits.

    Returns:
        float32 ``[1, H, W]`` in 0..1.

    Raises:
        PictureError: It cannot be read, or holds values that are no mask.
    """
    mask, _ = _open(path)
    if _is_deep_grey(mask):
        return _tensor(_deep_mask(np.asarray(mask).astype(np.float32), path))
    if mask.mode == "P" and not mask.has_transparency_data and _has_coloured_palette(mask):
        numbers = np.asarray(mask)
        return _tensor((numbers > 0) & (numbers < 255))  # 255 is what VOC leaves undecided
    if mask.has_transparency_data:
        rgba = mask.convert("RGBA")
        low, high = rgba.getextrema()[3]
        mask = rgba.getchannel("A") if low < high else rgba.convert("RGB")
    values = np.asarray((mask.convert("RGB") if mask.mode == "P" else mask).convert("L"), np.float32)
    return _tensor(_unlabelled(values / 255, values, path))


def _has_coloured_palette(picture: Image.Image) -> bool:
    colours = np.asarray(picture.convert("RGB"))
    return bool((colours != colours[..., :1]).any())


def _unlabelled(mask: np.ndarray, numbers: np.ndarray, path: str | Path) -> np.ndarray:
    """The mask; where its values can only be the numbers of classes, all that is not class 0."""
    highest = numbers.max()
    if not 0 < highest <= HIGHEST_LABEL or len(np.unique(numbers)) > LABELS + 1:
        return mask
    if highest > 1:
        logger.warning("%s: taken for numbers of classes; everything but 0 is foreground.", path)
    return (numbers > 0).astype(np.float32)


def _deep_mask(values: np.ndarray, path: str | Path) -> np.ndarray:
    """A mask of integers of 16 or 32 bits, or of floating point."""
    if not np.isfinite(values).all():
        raise PictureError(f"{path}: the picture holds NaN or infinite values.")
    if values.min() < 0 or values.max() > 65535 or 1 < values.max() <= 255 and (values != values.round()).any():
        raise PictureError(f"{path}: the values leave the range of a mask; save it with 8 or 16 bits.")
    highest = values.max()
    if (values == values.round()).all() and highest > 0:
        return _unlabelled(values / (255 if highest <= 255 else 65535), values, path)
    return values / (1 if highest <= 1 else 65535)


def save_picture(picture: Tensor, path: str | Path, info: PictureInfo | None = None) -> None:
    """Writes a picture, whole or not at all; values are rounded to 8 bits, or to 16 where ``info`` says so.

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
    kind, options = FORMATS[path.suffix.lower()]
    grey = values.ndim == 3 and info.grey and (values[..., :3] == values[..., :1]).all()
    if info.bits == 16 and kind in ("PNG", "TIFF"):
        write_whole(path, lambda file: file.write(_encode_deep(values, kind, info, grey)))
        return
    levels = (values.clip(0, 1) * 255).round().astype(np.uint8)
    image = Image.fromarray(levels)
    if grey:
        bands = [
            Image.fromarray(np.ascontiguousarray(levels[..., number]))
            for number in (0, 3)[: image.mode == "RGBA" and 2 or 1]
        ]
        image = bands[0] if len(bands) == 1 or kind in OPAQUE else Image.merge("LA", bands)
    elif info.grey and info.icc_profile:
        info = replace(info, icc_profile=None)  # a grey profile says nothing of colours
    if kind in OPAQUE and image.mode == "RGBA":
        image = _flatten(image, path)

    about = {"exif": info.exif, "icc_profile": info.icc_profile, "dpi": info.dpi, "xmp": info.xmp}
    if kind == "PNG":
        about = {**about, "pnginfo": _png_texts(info)}
    data = io.BytesIO()
    image.save(data, kind, **options, **{key: value for key, value in about.items() if value})
    written = _with_chunks(data.getvalue(), info.chunks) if kind == "PNG" else data.getvalue()
    write_whole(path, lambda file: file.write(written))


def _is_deep_grey(picture: Image.Image) -> bool:
    return picture.mode in ("I", "F") or picture.mode.startswith("I;16")


def _deep_colour(path: str | Path) -> np.ndarray:
    """RGB or RGBA of 16 bits, which Pillow cuts to 8; float32 ``[H, W, 3 or 4]`` in 0..1, turned upright."""
    cv2 = _opencv(path)
    data = np.frombuffer(Path(path).read_bytes(), np.uint8)
    values = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype != np.uint16:
        raise PictureError(f"{path}: its 16 bits cannot be read; save it as a PNG, or with 8 bits.")
    if values.ndim == 2:
        values = values[..., None].repeat(3, -1)
    values = values[..., (2, 1, 0, 3)[: values.shape[-1]]].astype(np.float32) / 65535
    with Image.open(path) as picture:
        orientation = picture.getexif().get(ExifTags.Base.Orientation, 1)
    if orientation in (5, 6, 7, 8):
        values = values.transpose(1, 0, 2)
    flips = {2: (1,), 3: (0, 1), 4: (0,), 6: (1,), 7: (0, 1), 8: (0,)}.get(orientation, ())
    return np.flip(values, flips)


def _encode_deep(values: np.ndarray, kind: str, info: PictureInfo, grey: bool) -> bytes:
    """A PNG or TIFF of 16 bits."""
    levels = (values.clip(0, 1) * 65535).round().astype(np.uint16)
    if grey or levels.ndim == 2:
        levels = levels if levels.ndim == 2 else levels[..., (0, 3)[: levels.shape[-1] - 2]]
        if levels.ndim == 3 and levels.shape[-1] == 1:
            levels = levels[..., 0]
    about = {"exif": info.exif, "icc_profile": info.icc_profile, "dpi": info.dpi}
    if levels.ndim == 2:
        data = io.BytesIO()
        image = Image.fromarray(levels)
        if kind == "PNG":
            about["pnginfo"] = _png_texts(info)
        image.save(data, kind, **{key: value for key, value in about.items() if value})
        return _with_chunks(data.getvalue(), info.chunks) if kind == "PNG" else data.getvalue()
    if levels.shape[-1] == 2:  # no encoder at hand for grey with alpha
        levels = levels[..., (0, 0, 0, 1)]
    cv2 = _opencv("16 bits")
    order = (2, 1, 0, 3)[: levels.shape[-1]]
    done, data = cv2.imencode("." + ("png" if kind == "PNG" else "tiff"), np.ascontiguousarray(levels[..., order]))
    if not done:
        raise PictureError("The picture could not be encoded with 16 bits.")
    if kind == "TIFF":
        return data.tobytes()
    # what else the file said comes from an empty picture that Pillow writes
    stub = io.BytesIO()
    about["pnginfo"] = _png_texts(info)
    Image.new("RGB", (1, 1)).save(stub, "PNG", **{key: value for key, value in about.items() if value})
    said = tuple(chunk for name, chunk in _chunks(stub.getvalue()) if name not in (b"IHDR", b"IDAT", b"IEND"))
    return _with_chunks(data.tobytes(), said + info.chunks)


def _opencv(path: str | Path):
    try:
        import cv2
    except ModuleNotFoundError:
        raise PictureError(
            f"{path}: pictures of 16 bits a channel need OpenCV; install it with: pip install opencv-python-headless"
        ) from None
    return cv2


def _chunks(png: bytes) -> list[tuple[bytes, bytes]]:
    """Name and whole bytes of each chunk up to the picture's data."""
    found, place = [], 8
    while place + 12 <= len(png):
        length = int.from_bytes(png[place : place + 4], "big")
        name = png[place + 4 : place + 8]
        found.append((name, png[place : place + 12 + length]))
        place += 12 + length
        if name == b"IDAT":
            break
    return found


def _with_chunks(png: bytes, chunks: tuple[bytes, ...]) -> bytes:
    """A PNG with more chunks behind its header."""
    header = 8 + 25
    present = {name for name, _ in _chunks(png)}
    return png[:header] + b"".join(chunk for chunk in chunks if chunk[4:8] not in present) + png[header:]


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
            if picture.width * picture.height > MAX_PIXELS:
                raise PictureError(
                    f"{path}: the picture has more than {MAX_PIXELS // 1_000_000} megapixels; make it smaller."
                )
            if getattr(picture, "n_frames", 1) > 1:
                logger.warning("%s: of its %d frames or pages the first is taken.", path, picture.n_frames)
            deep = any(";16" in str(tile[3]) for tile in picture.tile)
            picture.load()
            upright = ImageOps.exif_transpose(picture)
            chunks = _colour_chunks(path) if picture.format == "PNG" else ()
            return upright, replace(_info(picture, upright), bits=16 if deep else 8, chunks=chunks)
    except PictureError:
        raise
    except PermissionError:
        raise PictureError(f"{path}: no permission to read it.") from None
    except Image.UnidentifiedImageError:
        raise PictureError(f"{path}: {_what_it_is(path)}") from None
    except Image.DecompressionBombError:
        most = MAX_PIXELS // 1_000_000
        raise PictureError(f"{path}: the picture has more than {most} megapixels; make it smaller.") from None
    except BROKEN as error:
        reason = str(error).rstrip(".")
        raise PictureError(f"{path}: the picture is damaged or of an unknown kind ({reason}).") from error


def _what_it_is(path: Path) -> str:
    with open(path, "rb") as file:
        start = file.read(4)
    if start in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "a TIFF of a kind that is not read, such as one in floating point; save it with 8 or 16 bits."
    return "this is not a picture of a known format."


def _colour_chunks(path: Path) -> tuple[bytes, ...]:
    with open(path, "rb") as file:
        start = file.read(1 << 20)
    return tuple(chunk for name, chunk in _chunks(start) if name in COLOUR_CHUNKS)


def _info(picture: Image.Image, upright: Image.Image) -> PictureInfo:
    profile = picture.info.get("icc_profile")
    grey = picture.mode in ("1", "L", "LA", "I", "F") or picture.mode.startswith("I;16")
    # bytes 16 to 19 of a profile name its colour space
    if profile and profile[16:20] != (b"GRAY" if grey else b"RGB "):
        profile = None
    if profile and not grey and picture.mode not in ("RGB", "RGBA", "P", "PA"):
        profile = None
    xmp = upright.info.get("xmp")  # turning the picture resets the orientation here too
    dpi = picture.info.get("dpi")
    return PictureInfo(
        grey=grey,
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
    elif profile and picture.mode == "CMYK":
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
        values = values / 65535
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
