"""Names of picture files: which are pictures, and which mask belongs to which picture."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from pathlib import Path

# What programs put before or after a picture's name to name its mask; "shot_mask", "mask-shot", "shot.matte".
MASK_WORDS = ("mask", "masks", "matte", "alpha", "seg", "segmentation", "label", "labels")
SEPARATORS = "_-. "


def is_visible(path: Path) -> bool:
    """Whether a user put this file here: names that begin with a dot are side files of macOS and of editors."""
    return not path.name.startswith(".") and not path.is_dir()


def pictures_in(folder: Path, extensions: Iterable[str]) -> list[Path]:
    """The visible files of a folder with one of these extensions, in any case; in order of their names."""
    wanted = tuple(extensions)
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in wanted and is_visible(path))


def key(name: str) -> str:
    """A name as it is compared: neither case nor the way that accents are encoded (NFD on macOS) matters."""
    return unicodedata.normalize("NFC", name).casefold()


def pictured_by(mask: str) -> list[str]:
    """Keys of the pictures that a mask of this stem may belong to, if its name says that it is a mask."""
    stem, found = key(mask), []
    for word in MASK_WORDS:
        for separator in SEPARATORS:
            if len(stem) > len(word) + 1:
                if stem.endswith(separator + word):
                    found.append(stem[: -len(word) - 1])
                if stem.startswith(word + separator):
                    found.append(stem[len(word) + 1 :])
    return found


class Masks:
    """Masks by the pictures that they belong to.

    Args:
        paths: Files of masks.
    """

    def __init__(self, paths: Iterable[Path]):
        self._named, self._said = {}, {}
        for path in paths:
            self._named.setdefault(key(path.stem), path)
            for picture in pictured_by(path.stem):
                self._said.setdefault(picture, path)

    def of(self, picture: Path) -> Path | None:
        """The mask of a picture NAME: NAME, NAME_mask and the like, or NAME.jpg; of NAME_K_J NAME_K (iHarmony4)."""
        stem, whole = key(picture.stem), key(picture.name)
        for each in (stem, whole, stem.rpartition("_")[0]):
            found = self._named.get(each) or self._said.get(each)
            if found is not None:
                return found
        return None


def parted(paths: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """Pictures and masks that lie in one folder: a mask is named after a picture beside it, as in NAME_mask."""
    pictures, masks = [], []
    paths = list(paths)
    stems = {key(path.stem) for path in paths} | {key(path.name) for path in paths}
    for path in paths:
        (masks if stems.intersection(pictured_by(path.stem)) else pictures).append(path)
    return pictures, masks
