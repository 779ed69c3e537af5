"""Pictures in floating point: OpenEXR, Radiance HDR and TIFF, read and written by OpenImageIO.

What a file holds beside its colours stays: other channels, the data window beyond the picture, chromaticities and other
attributes, the type of the values, tiles.
"""

from __future__ import annotations

import logging
import shutil
import struct
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import TiffImagePlugin

from .atomic import write_whole
from .colour import REC_709, xyz_of_rgb
from .errors import PictureError

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)

LIGHT = (".exr", ".hdr")  # extensions of formats that hold scene-linear light by definition
EXTENSIONS = (*LIGHT, ".tif", ".tiff")  # that are written
FORMATS = {".exr": "openexr", ".hdr": "hdr", ".tif": "tiff", ".tiff": "tiff"}
STARTS = (b"\x76\x2f\x31\x01", b"#?RADIANCE", b"#?RGBE")
NAMES = {"openexr": "an OpenEXR file", "hdr": "a Radiance HDR file", "tiff": "a TIFF in floating point"}
SAMPLE_FORMAT, FLOATING_POINT = 339, 3  # TIFF's tag and its value
LOSSY = ("b44", "b44a", "dwaa", "dwab", "pxr24", "htj2k32")  # compressions of OpenEXR that change what they store
OF_A_FORMAT = ("oiio:", "openexr:", "tiff:", "compression", "planarconfig")  # beginnings of attributes
LARGEST_HALF = 65504.0
INSTALL = "pip install 'harmonize-composite[hdr]'"


@dataclass(frozen=True)
class FloatingPicture:
    """What a file in floating point holds.

    Attributes:
        kind: OpenImageIO's name of the format.
        spec: Its `ImageSpec`: size, windows, channels, attributes.
        values: ``[h, w, channels]`` float32 as stored, over the data window.
        colours: Channels of red, green and blue, or one of grey.
        alpha: The channel of alpha, or None.
    """

    kind: str
    spec: Any
    values: np.ndarray
    colours: tuple[int, ...]
    alpha: int | None

    @property
    def leaves_display(self) -> bool:
        """Whether it is light by its format, or leaves 0..1, and so is more than a picture of 8 or 16 bits holds."""
        values = self.values[..., self.colours]
        return self.kind != "tiff" or not (values.min() >= 0 and values.max() <= 1)  # NaN leaves it as well

    @property
    def icc_profile(self) -> bytes | None:
        """The colour profile that a TIFF holds."""
        profile = self.spec.getattribute("ICCProfile")
        return None if profile is None else bytes(np.asarray(profile, np.uint8))

    @cached_property
    def to_rec_709(self) -> np.ndarray | None:
        """The matrix from the primaries of an OpenEXR file to those of ITU-R BT.709; None where it has these."""
        said = self.spec.getattribute("chromaticities")
        if self.kind != "openexr" or said is None or len(self.colours) == 1 or np.allclose(said, REC_709, atol=1e-3):
            return None
        try:
            with np.errstate(all="ignore"):
                matrix = np.linalg.solve(xyz_of_rgb(REC_709), xyz_of_rgb(said))
                np.linalg.inv(matrix)
        except np.linalg.LinAlgError:
            return None
        return matrix if np.isfinite(matrix).all() else None

    @property
    def is_associated(self) -> bool:
        """Whether colours are multiplied by alpha, as OpenEXR has it."""
        return self.alpha is not None and not self.spec.get_int_attribute("oiio:UnassociatedAlpha")

    def picture(self) -> np.ndarray:
        """``[H, W, 3 or 4]`` float32 over the display window; where nothing is, black.

        It is finite, has the primaries of ITU-R BT.709, and is not multiplied by alpha.
        """
        spec = self.spec
        whole = np.zeros((spec.full_height, spec.full_width, 3 if self.alpha is None else 4), np.float32)
        (rows, columns), stored = self._shared()
        values = np.nan_to_num(self.values[stored], nan=0, posinf=LARGEST_HALF, neginf=-LARGEST_HALF)
        colours = values[..., self.colours]
        if self.alpha is not None:
            alpha = values[..., self.alpha]
            whole[rows, columns, 3] = alpha
            if self.is_associated:  # what shines without covering anything has no other colour
                colours = colours / np.where(alpha > 0, alpha, 1)[..., None]
        if self.to_rec_709 is not None:
            colours = colours.astype(np.float64) @ self.to_rec_709.T
        whole[rows, columns, :3] = colours
        return whole

    def from_rec_709(self, colours: np.ndarray) -> np.ndarray:
        """Colours ``[..., 3]`` of a picture in the file's own primaries."""
        return colours if self.to_rec_709 is None else colours @ np.linalg.inv(self.to_rec_709).T

    def changed(self, picture: np.ndarray) -> np.ndarray:
        """The values as stored, with those of a picture ``[H, W, 3 or 4]`` that differ from what was read."""
        whole, values = self._shared()[0], self.values.copy()
        before, after, stored = self.picture()[whole], picture[whole], values[self._shared()[1]]
        differs = after[..., :3] != before[..., :3]
        colours = self.from_rec_709(after[..., :3])
        if self.to_rec_709 is not None:
            differs |= differs.any(-1, keepdims=True)
        if self.alpha is not None and picture.shape[-1] == 4:
            alpha = after[..., 3]
            stored[..., self.alpha] = alpha
            if self.is_associated:
                differs |= (alpha != before[..., 3])[..., None]
                colours = colours * np.where(alpha > 0, alpha, 1)[..., None]
        for number, channel in enumerate(self.colours):
            stored[..., channel] = np.where(differs[..., number], colours[..., number], stored[..., channel])
        return values

    def _shared(self) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Where display and data window overlap: rows and columns of the one and of the other."""
        spec = self.spec
        whole, stored = [], []
        for start, length, full_start, full in (
            (spec.y, spec.height, spec.full_y, spec.full_height),
            (spec.x, spec.width, spec.full_x, spec.full_width),
        ):
            first, last = max(start, full_start), max(start, full_start, min(start + length, full_start + full))
            whole.append(slice(first - full_start, last - full_start))
            stored.append(slice(first - start, last - start))
        return (whole[0], whole[1]), (stored[0], stored[1])


def openimageio() -> ModuleType:
    """The library.

    Raises:
        PictureError: It is not installed; the message says how to install it.
    """
    try:
        import OpenImageIO
    except ImportError:
        raise PictureError(f"OpenEXR and Radiance HDR need OpenImageIO; install it with: {INSTALL}") from None
    return OpenImageIO


def has_openimageio() -> bool:
    """Whether the library is installed."""
    try:
        openimageio()
    except PictureError:
        return False
    return True


def is_floating(path: str | Path) -> bool:
    """Whether a file begins as OpenEXR or Radiance HDR does, or is a TIFF in floating point."""
    try:
        with open(path, "rb") as file:
            start = file.read(16)
            if start.startswith(STARTS):
                return True
            if start[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
                return False
            tags = TiffImagePlugin.ImageFileDirectory_v2(start if b"+" in start[:4] else start[:8])
            file.seek(tags.next)
            tags.load(file)
            return FLOATING_POINT in tags.get(SAMPLE_FORMAT, ())
    except (OSError, SyntaxError, ValueError, TypeError, EOFError, KeyError, IndexError, struct.error):
        return False  # whoever opens it says what is wrong


def read_floating(path: str | Path, most_pixels: int) -> FloatingPicture:
    """Reads a file; of several parts the first, with a warning.

    Args:
        path: OpenEXR, Radiance HDR or TIFF.
        most_pixels: Looked at before anything is unpacked.

    Raises:
        PictureError: It cannot be read, or is of a kind that is not.
    """
    library = openimageio()
    hints = library.ImageSpec()
    hints.attribute("oiio:UnassociatedAlpha", 1)  # what is stored without multiplication stays so
    file = library.ImageInput.open(str(path), hints)
    if file is None:
        raise PictureError(f"{path}: this is {kind_of(path)} that cannot be read ({_reason(library.geterror())}).")
    try:
        kind, spec = file.format_name(), library.ImageSpec(file.spec())
        largest = max(spec.width * spec.height, spec.full_width * spec.full_height)
        if largest > most_pixels:
            most = f"{most_pixels // 1_000_000} megapixels"
            raise PictureError(f"{path}: the picture has more than {most}; make it smaller.")
        if spec.deep:
            raise PictureError(f"{path}: this OpenEXR file holds deep samples; flatten it first.")
        if spec.get_int_attribute("Orientation", 1) != 1:
            raise PictureError(f"{path}: it is stored turned (its tag Orientation says so); save it upright.")
        colours, alpha = _channels(spec, path)
        if file.seek_subimage(1, 0):
            logger.warning("%s: of its parts or pages the first is taken.", path)
        values = file.read_image(0, 0, 0, spec.nchannels, "float")
        if values is None:
            raise PictureError(f"{path}: this is {kind_of(path)} that is damaged ({_reason(file.geterror())}).")
    finally:
        file.close()
    return FloatingPicture(kind, spec, values, colours, alpha)


def _channels(spec: Any, path: str | Path) -> tuple[tuple[int, ...], int | None]:
    """Which channels hold the colours and the alpha: R, G, B, A, else those of the first layer that has them."""
    names = list(spec.channelnames)
    layers = dict.fromkeys(["", *(name.rpartition(".")[0] + "." for name in names if "." in name)])
    for layer in layers:
        for wanted in (("R", "G", "B"), ("Y",)):
            if all(layer + each in names for each in wanted):
                alpha = names.index(layer + "A") if layer + "A" in names else None
                return tuple(names.index(layer + each) for each in wanted), alpha
    if spec.nchannels <= 2:
        return (0,), 1 if spec.alpha_channel == 1 else None
    raise PictureError(f"{path}: none of its channels ({', '.join(names[:8])}) are R, G and B.")


def write_floating(picture: Tensor, path: Path, source: FloatingPicture) -> None:
    """Writes a picture with all else that its source holds, whole or not at all.

    Args:
        picture: ``[H, W, 3 or 4]`` of the source's display window, alpha not multiplied.
        path: The extension chooses the format.
        source: What was read.

    Raises:
        PictureError: OpenImageIO cannot write it.
    """
    library = openimageio()
    spec, values = _as_file(library, picture.numpy(), path, source)
    if not np.isfinite(values).all():
        logger.warning("%s: some pixels hold NaN or infinite values, as they did.", path)
    kind = FORMATS[path.suffix.lower()]
    if kind == "tiff" and str(spec.format) == "half":
        spec.attribute("tiff:half", 1)
    if kind == "openexr":
        if spec.get_string_attribute("compression").partition(":")[0] in LOSSY:
            logger.warning("%s: the compression becomes zip, which changes no pixel.", path)
            spec.attribute("compression", "zip")
        halves = [str(spec.channelformat(number)) == "half" for number in range(spec.nchannels)]
        stored = values[..., halves]
        values[..., halves] = np.where(np.isinf(stored), stored, stored.clip(-LARGEST_HALF, LARGEST_HALF))
    with tempfile.TemporaryDirectory() as folder:  # OpenImageIO writes to names alone
        name = Path(folder) / f"picture{path.suffix.lower()}"
        file = library.ImageOutput.create(str(name))
        written = file is not None and file.open(str(name), spec) and file.write_image(values)
        if not (file is not None and file.close() and written):
            reason = _reason(library.geterror() if file is None else file.geterror())
            raise PictureError(f"{path}: it cannot be written ({reason}).")
        with open(name, "rb") as whole:
            write_whole(path, lambda target: shutil.copyfileobj(whole, target))


def _as_file(library: Any, picture: np.ndarray, path: Path, source: FloatingPicture) -> tuple[Any, np.ndarray]:
    """The `ImageSpec` and the values ``[h, w, channels]`` of the file to write."""
    kind = FORMATS[path.suffix.lower()]
    has_alpha = picture.shape[-1] == 4 and (source.alpha is not None or picture[..., 3].min() < 1)
    if kind == source.kind and has_alpha == (source.alpha is not None):
        return library.ImageSpec(source.spec), source.changed(picture)
    # another format, or an alpha that the source has not: the picture alone, over the display window
    colours, alpha = picture[..., :3], picture[..., 3:]
    if kind == "openexr":  # others have no place to say it
        colours = source.from_rec_709(colours)
    straight = kind == "tiff" and source.kind == "tiff" and not source.is_associated
    if has_alpha and not straight:
        colours = colours * np.where(alpha > 0, alpha, 1)
    if has_alpha and kind == "hdr":
        logger.warning("%s: .hdr has no alpha channel; the picture is laid on black.", path)
        has_alpha = False
    values = np.concatenate((colours, alpha), -1) if has_alpha else colours
    is_half = kind == "openexr" and str(source.spec.channelformat(source.colours[0])) == "half"
    spec = library.ImageSpec(picture.shape[1], picture.shape[0], values.shape[-1], "half" if is_half else "float")
    for each in source.spec.extra_attribs:
        if not each.name.startswith(OF_A_FORMAT) and (kind == "openexr" or each.name != "chromaticities"):
            spec.attribute(each.name, each.type, each.value)
    if has_alpha and straight:
        spec.attribute("oiio:UnassociatedAlpha", 1)
    return spec, np.ascontiguousarray(values, np.float32)


def kind_of(path: str | Path) -> str:
    """What a file in floating point is, in words."""
    with open(path, "rb") as file:
        start = file.read(10)
    if start.startswith(STARTS[0]):
        return NAMES["openexr"]
    return NAMES["hdr" if start.startswith(STARTS[1:]) else "tiff"]


def _reason(message: str) -> str:
    return " ".join(message.split()).rstrip(".") or "for no reason given"
