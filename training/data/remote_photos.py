"""Photographs in an object store or on a server: their names are known here, their files come when they are read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from ...files.storage import Folder
from ...files.training_images import PictureError
from .photos import Photographs

MANIFEST = "manifest.csv"


def open_photographs(place: str | Path, split: str) -> Photographs:
    """The photographs of a split, by the path of their folder or its address."""
    folder = Folder(place)
    return Photographs(folder.path, split) if folder.path is not None else RemotePhotographs(str(place), split)


class RemotePhotographs(Photographs):
    """Photographs by an address of fsspec; sent to another machine, they are opened anew there.

    Args:
        address: Folder with `images/` and `masks/`.
        split: As of :class:`.Photographs`.

    Raises:
        ValueError: As :class:`.Photographs`.
    """

    def __init__(self, address: str, split: str) -> None:
        self._arguments = address, split
        self._folder = Folder(address)
        self._names = TemporaryDirectory(prefix="harmonize-")  # empty files of the same names
        root = Path(self._names.name)
        for kind in ("images", "masks"):
            if not (self._folder / kind).exists():
                raise ValueError(f"{address}: photographs need the folders images/ and masks/ there.")
            (root / kind).mkdir()
            for name in (self._folder / kind).files():
                (root / kind / name).touch()
        manifest = self._folder.read(MANIFEST)
        if manifest is not None:
            (root / MANIFEST).write_bytes(manifest)
        super().__init__(root, split)

    def __reduce__(self) -> tuple[type[RemotePhotographs], tuple[str, str]]:
        return RemotePhotographs, self._arguments

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
