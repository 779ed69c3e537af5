"""What the values of a picture mean: profiles of colour, and from one to another.

Where a file describes its colours by other means (PNG's cICP, gAMA and cHRM, EXIF's "Adobe RGB"), an ICC profile of
the same meaning is built (ICC.1:2022, a matrix and one curve), so that LittleCMS, through Pillow, does all conversions.
"""

from __future__ import annotations

import io
import logging
import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageCms

from .errors import PictureError

if TYPE_CHECKING:
    from torch import Tensor

    from .metadata import PictureInfo

    _Profile = io.BytesIO | ImageCms.core.CmsProfile

logger = logging.getLogger(__name__)

# Chromaticities x, y of red, green, blue and white.
D65 = (0.3127, 0.3290)
REC_709 = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, *D65)
PRIMARIES = {  # by their number in ITU-T H.273, as in cICP
    1: REC_709,
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, *D65),
    12: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, *D65),
}
D50 = np.array((0.9642, 1.0, 0.8249))
BRADFORD = np.array(((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296)))
CURVE_STEPS = 1024
USUAL_GAMMA = 45455  # gAMA of sRGB and of all that was written before there was sRGB; no more is meant by it

Transfer = Callable[[np.ndarray], np.ndarray]


def _srgb(value: np.ndarray) -> np.ndarray:
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def _rec_709(value: np.ndarray) -> np.ndarray:
    return np.where(value < 0.081, value / 4.5, ((value + 0.099) / 1.099) ** (1 / 0.45))


def _power(gamma: float) -> Transfer:
    def transfer(value: np.ndarray) -> np.ndarray:
        return value**gamma

    return transfer


TRANSFERS = {  # by their number in ITU-T H.273; 16 and 18 (PQ, HLG) are brighter than white
    1: _rec_709,
    4: _power(2.2),
    5: _power(2.8),
    6: _rec_709,
    8: _power(1.0),
    13: _srgb,
    14: _rec_709,
    15: _rec_709,
}


def xyz_of_rgb(chromaticities: Sequence[float]) -> np.ndarray:
    """The matrix from linear RGB to XYZ as seen in daylight of 5000 K (Bradford), from x and y as in a profile."""
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in np.reshape(chromaticities, (4, 2))])
    matrix = columns[:3].T * np.linalg.solve(columns[:3].T, columns[3])
    cone = BRADFORD @ D50 / (BRADFORD @ columns[3])
    return np.linalg.solve(BRADFORD, cone[:, None] * (BRADFORD @ matrix))


def build_profile(chromaticities: tuple[float, ...], to_linear: Transfer, name: str) -> bytes:
    """An ICC profile of version 2.

    Args:
        chromaticities: x and y of red, green, blue and white.
        to_linear: From stored values to light, both in 0..1.
        name: For people.
    """
    matrix = xyz_of_rgb(chromaticities)
    curve = to_linear(np.linspace(0, 1, CURVE_STEPS))

    def fixed(values: np.ndarray) -> bytes:
        return b"XYZ \0\0\0\0" + np.round(values * 65536).astype(">i4").tobytes()

    text = name.encode("ascii") + b"\0"
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78),
        b"cprt": b"text\0\0\0\0" + b"none\0",
        b"wtpt": fixed(D50),
        b"rXYZ": fixed(matrix[:, 0]),
        b"gXYZ": fixed(matrix[:, 1]),
        b"bXYZ": fixed(matrix[:, 2]),
    }
    shared = struct.pack(">4sII", b"curv", 0, CURVE_STEPS) + np.round(curve * 65535).astype(">u2").tobytes()
    tags |= {b"rTRC": shared, b"gTRC": shared, b"bTRC": shared}
    body, table, start = b"", b"", 128 + 4 + 12 * len(tags)
    for signature, data in tags.items():
        data += bytes(-len(data) % 4)
        table += struct.pack(">4sII", signature, start + len(body), len(data))
        body += data
    header = struct.pack(
        ">I4sI4s4s4s6H4s28x3i48x",
        *(start + len(body), b"\0" * 4, 0x02100000, b"mntr", b"RGB ", b"XYZ ", 2026, 1, 1, 0, 0, 0, b"acsp"),
        *np.round(D50 * 65536).astype(int),
    )
    return header + struct.pack(">I", len(tags)) + table + body


ADOBE_RGB = build_profile((0.64, 0.33, 0.21, 0.71, 0.15, 0.06, *D65), _power(563 / 256), "compatible with Adobe RGB")


def profile_of(info: PictureInfo) -> bytes | None:
    """The ICC profile of a picture's values, of RGB or of grey; None means sRGB."""
    said = dict(info.chunks)
    if b"cICP" in said and len(said[b"cICP"]) == 4:
        primaries, number = said[b"cICP"][:2]
        if (primaries, number) == (1, 13):
            return None
        if primaries in PRIMARIES and number in TRANSFERS:
            return build_profile(PRIMARIES[primaries], TRANSFERS[number], f"cICP {primaries} {number}")
        logger.warning("A picture's colours are of a kind (cICP %d, %d) that is taken for sRGB.", primaries, number)
        return None
    if info.icc_profile or b"sRGB" in said or not {b"gAMA", b"cHRM"} & said.keys():
        return info.icc_profile
    gamma = int.from_bytes(said.get(b"gAMA", b""), "big") or USUAL_GAMMA
    chromaticities: tuple[float, ...] = REC_709
    if len(said.get(b"cHRM", b"")) == 32:
        x_white, y_white, *others = (each / 100_000 for each in struct.unpack(">8I", said[b"cHRM"]))
        chromaticities = (*others, x_white, y_white)
    if abs(gamma - USUAL_GAMMA) < 100 and np.allclose(chromaticities, REC_709, atol=2e-3):
        return None
    transfer = _srgb if abs(gamma - USUAL_GAMMA) < 100 else _power(100_000 / gamma)
    try:
        if min(chromaticities) >= 0 and min(chromaticities[1::2]) > 0 and max(chromaticities) <= 1.2:
            return build_profile(chromaticities, transfer, "gAMA and cHRM of a PNG")
    except np.linalg.LinAlgError:  # primaries on a line
        pass
    logger.warning("The chromaticities of a PNG make no sense and are passed over.")
    return None


def is_grey(profile: bytes | None) -> bool:
    """Whether a profile is one of grey values."""
    return profile is not None and profile[16:20] == b"GRAY"


def convert(picture: Tensor, source: bytes | None, target: bytes | None) -> Tensor:
    """A picture's colours in another profile.

    LittleCMS is given 8 bits; what these do not hold is added back as it was, so that fine gradations stay.

    Args:
        picture: ``[1, H, W, 3 or 4]`` in 0..1; alpha stays.
        source: The profile that the values are in; None means sRGB.
        target: The profile wanted.

    Returns:
        The picture, or the picture itself, with a warning, where a profile cannot be used.
    """
    import torch

    if source == target:
        return picture
    values = picture[0, ..., :3].numpy()
    levels = (values.clip(0, 1) * 255).round()
    image = Image.fromarray(levels.astype(np.uint8))
    try:
        before, after = (io.BytesIO(each) if each else ImageCms.createProfile("sRGB") for each in (source, target))
        image = image.getchannel(0) if is_grey(source) else image
        converted = _convert_profile(image, before, after, mode="L" if is_grey(target) else "RGB")
    except (ImageCms.PyCMSError, OSError):
        logger.warning("A colour profile could not be used; the colours are taken without it.")
        return picture
    colours = (np.asarray(converted.convert("RGB"), np.float32) + (values * 255 - levels)) / 255
    return torch.cat((torch.from_numpy(colours.clip(0, 1))[None], picture[..., 3:]), -1)


def _convert_profile(image: Image.Image, source: _Profile, target: _Profile, mode: str) -> Image.Image:
    converted = ImageCms.profileToProfile(image, source, target, outputMode=mode)
    assert converted is not None  # it is None only for a conversion in place
    return converted


def join(
    picture: Tensor, info: PictureInfo, background: Tensor, below: PictureInfo
) -> tuple[Tensor, Tensor, PictureInfo]:
    """Brings a picture into the colours of the background that it is to lie on.

    The background's values stay, unless they are grey of a profile and colours come to lie on them.

    Args:
        picture: ``[1, H, W, 3 or 4]`` in 0..1.
        info: What its file says.
        background: ``[1, H, W, 3 or 4]`` in 0..1.
        below: What that file says.

    Returns:
        Both pictures, and what the file of the result is to say.

    Raises:
        PictureError: One is scene-linear and the other is not.
    """
    if info.is_light or below.is_light:
        if info.floating is None or below.floating is None:
            raise PictureError("Picture and background must both be scene-linear, such as OpenEXR, or neither of them.")
        return picture, background, below
    target = profile_of(below)
    if is_grey(target) and not info.grey:
        background, target = convert(background, target, None), None
        below = replace(below, icc_profile=None, chunks=())
    picture = convert(picture, profile_of(info), target)
    info = replace(
        info,
        icc_profile=below.icc_profile,
        chunks=below.chunks,
        bits=max(info.bits, below.bits),
        grey=info.grey and below.grey,
        floating=below.floating,
    )
    return picture, background, info


def to_srgb(picture: Image.Image, profile: bytes | None = None) -> Image.Image:
    """A picture in sRGB: CMYK and Lab through their own profile, others through ``profile``, where there is one."""
    own = picture.info.get("icc_profile")
    source: _Profile
    if picture.mode == "LAB":
        source = ImageCms.createProfile("LAB")
    elif own and picture.mode == "CMYK":
        source = io.BytesIO(own)
    elif profile:
        source = io.BytesIO(profile)
        picture = picture.convert("L" if is_grey(profile) else "RGB")
    else:
        return picture
    try:
        return _convert_profile(picture, source, ImageCms.createProfile("sRGB"), mode="RGB")
    except (ImageCms.PyCMSError, OSError):
        if picture.mode == "LAB":
            raise
        logger.warning("A colour profile could not be used; the colours are taken without it.")
        return picture
