"""The work behind the page of `harmonize app`: files in, files out, by way of `harmonize image`."""

from __future__ import annotations

import argparse
import logging
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import numpy as np
from PIL import Image

from ..files.pictures import PictureError, PictureInfo, join, read_picture, save_picture
from ..files.text import printable
from ..hdnet.harmonize.placing import place, resize_picture
from . import ROOT, image, sentence

if TYPE_CHECKING:
    from torch import Tensor

SWEEP, KEPT = 600, 7200  # seconds: how often old files are looked for, and how long one is kept
SHOWN = 1600  # pixels along the longer side of what the browser shows and what is painted on


@dataclass(frozen=True)
class Given:
    """A picture that was handed over.

    Attributes:
        path: The file.
        size: Height and width, upright.
        preview: A small copy of it that every browser shows.
        preview_size: Height and width of that.
        has_alpha: Whether some of it is transparent.
    """

    path: Path
    size: tuple[int, int]
    preview: Path
    preview_size: tuple[int, int]
    has_alpha: bool


@dataclass(frozen=True)
class Outcome:
    """What came of a picture, so far.

    Attributes:
        shown: Small copies, before and after.
        files: The harmonized picture (PNG), the foreground alone (PNG with alpha), the change as a table (.cube); None
            for those that are not written yet.
        said: What was decided about it.
    """

    shown: tuple[Path, Path]
    files: tuple[Path, Path | None, Path | None]
    said: str


class Desk:
    """A folder where uploads lie and results are put.

    Args:
        folder: It exists, and whoever made it removes it.

    Attributes:
        made: Names of all files that were put there, for whoever removes old ones.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made: set[str] = set()

    def new(self, name: str) -> Path:
        """Where a new file of this name goes."""
        path = Path(tempfile.mkdtemp(dir=self.folder)) / name
        self.made.add(str(path))
        return path

    def receive(self, path: Path) -> Given:
        """Looks at a picture and makes a small copy of it.

        Raises:
            PictureError: It cannot be read.
        """
        picture, info = read_picture(path)
        has_alpha = picture.shape[-1] == 4 and bool(picture[..., 3].min() < 1)
        size = (picture.shape[1], picture.shape[2])
        return Given(path, size, self._preview(picture, info, path.stem), _shown_size(size), has_alpha)

    def painted(self, layers: Sequence[np.ndarray], opacity: float) -> Path | None:
        """The mask that was painted.

        Args:
            layers: ``[h, w, 4]`` uint8, transparent where nothing was painted.
            opacity: Of the brush, 0..1; so much counts as white.

        Returns:
            The file; None where nothing was painted.
        """
        alphas = [layer[..., 3] for layer in layers]
        if not any(alpha.any() for alpha in alphas):
            return None
        mask = (np.maximum.reduce(alphas) / opacity).clip(0, 255).round()
        path = self.new("mask.png")
        Image.fromarray(mask.astype(np.uint8)).save(path)
        return path

    def placed(self, cutout: Path, background: Given, down: float, across: float, scale: float) -> Path:
        """A cut-out as a picture of its background's size, see :func:`~.hdnet.harmonize.placing.place`.

        Raises:
            ValueError: It is not transparent anywhere, or lies outside of the background.
        """
        picture, info = read_picture(cutout)
        if picture.shape[-1] < 4 or picture[..., 3].min() == 1:
            raise _not_a_cutout(cutout)
        canvas = place(picture, background.size, down, across, scale)
        if not canvas[..., 3].any():
            raise ValueError("The cut-out lies outside the background; move it back, or make it larger.")
        path = self.new(f"{cutout.stem}.png")
        save_picture(canvas, path, info)
        return path

    def pasted_preview(self, cutout: Given, background: Given, down: float, across: float, scale: float) -> Path:
        """A small copy of the background with the cut-out on it, as it is before it is harmonized."""
        picture, info = read_picture(cutout.preview)
        beneath, below = read_picture(background.preview)
        if not cutout.has_alpha:
            raise _not_a_cutout(cutout.path)
        scale *= max(background.preview_size) / max(background.size) * max(cutout.size) / max(cutout.preview_size)
        canvas = place(picture, background.preview_size, down, across, scale)
        canvas, beneath, info = join(canvas, info, beneath, below)
        alpha = canvas[..., 3:]
        pasted = beneath[..., :3] * (1 - alpha) + canvas[..., :3] * alpha
        return self._preview(pasted, info, background.path.stem)

    def harmonize(
        self, composite: Path, mask: Path, before: Path, options: Mapping[str, object], background: Path | None = None
    ) -> Iterator[Outcome]:
        """Harmonizes one picture, as `harmonize image` does; yields the picture as soon as it is there, then the rest.

        Args:
            composite: The picture, or with a background the cut-out at the background's size.
            mask: White where the foreground is.
            before: A small copy of the picture as it is.
            options: Of `harmonize image`, by their names without the dashes.
            background: What to paste onto.

        Raises:
            ValueError: Something given cannot be used.
        """
        endings = ("_harmonized.png", "_foreground.png", ".cube")
        picture, layer, lut = (self.new(f"{composite.stem}{ending}") for ending in endings)
        files = [f"--output={picture}", f"--foreground-out={layer}", f"--lut={lut}"]
        files += [f"--background={background}"] if background else []
        parser = _Parser(prog="harmonize image", allow_abbrev=False)
        image.add_arguments(parser)
        args = parser.parse_args([*_flags(options), *files, "--", str(composite), str(mask)])
        lines = image.harmonize_files(args)
        said = next(lines).removeprefix(f"{printable(picture)}: ")
        first = Outcome((before, self.receive(picture).preview), (picture, None, None), said[:1].upper() + said[1:])
        yield first
        for _ in lines:
            pass
        yield replace(first, files=(picture, layer, lut))

    def said_of(self, error: object) -> str:
        """What an error says, by the names that people gave their files."""
        return self.without_folders(sentence(error))

    def without_folders(self, text: str) -> str:
        """A text without the folders that hold what was handed over."""
        return re.sub(rf"{re.escape(str(self.folder))}[/\\]\w+[/\\]", "", text)

    @contextmanager
    def warnings(self) -> Iterator[list[str]]:
        """Gathers what the library warns of."""
        found: list[str] = []

        class Gatherer(logging.Handler):
            def emit(_, record: logging.LogRecord) -> None:
                found.append(self.without_folders(printable(record.getMessage())))

        library, gatherer = logging.getLogger(ROOT), Gatherer(logging.WARNING)
        library.addHandler(gatherer)
        try:
            yield found
        finally:
            library.removeHandler(gatherer)

    def _preview(self, picture: Tensor, info: PictureInfo, stem: str) -> Path:
        size = (picture.shape[1], picture.shape[2])
        if _shown_size(size) != size:
            picture = resize_picture(picture, _shown_size(size))
        # JPEG where it will do, for it is a tenth of the size; no EXIF, which may say where a picture was taken
        path = self.new(f"{stem}.{'png' if picture.shape[-1] == 4 else 'jpg'}")
        save_picture(picture, path, PictureInfo(icc_profile=info.icc_profile, grey=info.grey, chunks=info.chunks))
        return path


class _Parser(argparse.ArgumentParser):
    """Raises what is wrong in place of ending the process."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{printable(message)}.")


def _shown_size(size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the small copy of a picture."""
    shrink = min(1.0, SHOWN / max(size))
    return max(1, round(size[0] * shrink)), max(1, round(size[1] * shrink))


def _flags(options: Mapping[str, object]) -> Iterator[str]:
    """Options as they are typed; of what is None or False, nothing."""
    for name, value in options.items():
        if value is True:
            yield f"--{name.replace('_', '-')}"
        elif value is not None and value is not False:
            text = f"{value:g}" if isinstance(value, float) else str(value)
            yield f"--{name.replace('_', '-')}={text}"


def _not_a_cutout(path: Path) -> PictureError:
    return PictureError(
        f"{path}: this cut-out is transparent nowhere; cut the object out first, or give the whole picture and a mask."
    )
