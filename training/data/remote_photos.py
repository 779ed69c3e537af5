"""Photographs in an object store or on a server: their names are known here, their files come when they are read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from ...files.storage import Folder
from ...files.training_images import PictureError
from .photos import Photographs

MANIFEST = "manifest.csv"


def open_photographs(place: str | Path, split: str) -> Photographs:
    """The photographs of a split, by the path of their folder or its address."""
    folder = Folder(place)
    return Photographs(folder.path, split) if folder.path is not None else RemotePhotographs(folder, split)


class RemotePhotographs(Photographs):
    """Photographs in a folder that no machine sees itself; sent to another machine, they are opened anew there.

    Args:
        folder: With `images/` and `masks/`.
        split: As of :class:`.Photographs`.

    Raises:
        ValueError: As :class:`.Photographs`.
    """

    def __init__(self, folder: Folder, split: str) -> None:
        self._folder, self._split = folder, split
        self._names = TemporaryDirectory(prefix="harmonize-")  # empty files of the same names
        root = Path(self._names.name)
        for kind in ("images", "masks"):
            if not (folder / kind).exists():
                raise ValueError(f"{folder / kind}: no such folder; photographs need images/ and masks/.")
            (root / kind).mkdir()
            for name in (folder / kind).files():
                (root / kind / name).touch()
        manifest = folder.read(MANIFEST)
        if manifest is not None:
            (root / MANIFEST).write_bytes(manifest)
        super().__init__(root, split)

    def __reduce__(self) -> tuple[type[RemotePhotographs], tuple[Folder, str]]:
        return RemotePhotographs, (self._folder, self._split)

    def read(self, photo: int, rng: np.random.Generator, which: int | None = None) -> tuple[Image.Image, Image.Image]:
        """As that of :class:`.Photographs`; the error names the address."""
        try:
            return super().read(photo, rng, which)
        except PictureError as error:
            raise PictureError(str(error).replace(str(self.root), str(self._folder).rstrip("/"))) from error

    @contextmanager
    def at_hand(self, path: Path) -> Iterator[Path]:
        """A copy of the file, kept no longer than it is read."""
        kind = self._folder / path.parent.name
        with TemporaryDirectory(dir=self._names.name) as aside:
            here = kind.fetched(path.name, Path(aside))
            try:
                yield here
            except PictureError as error:
                raise PictureError(str(error).replace(aside, str(kind))) from error
