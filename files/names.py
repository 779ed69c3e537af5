"""Names of picture files: which are pictures, and which mask belongs to which picture."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Container, Iterable
from pathlib import Path

# What programs put before or after a picture's name to name its mask; "shot_mask", "mask-shot", "shot.matte".
MASK_WORDS = ("mask", "masks", "matte", "alpha", "seg", "segmentation", "label", "labels")
SEPARATORS = "_-. "
ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".avif")  # of pictures, first the likeliest
SIDE_FILES = ("thumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin")  # of Windows, macOS and Synology


def is_side_file(name: str) -> bool:
    """Whether a system or an editor put this file or folder here, and no user."""
    return name.startswith(".") or name.lower() in SIDE_FILES


def pictures_in(folder: Path, extensions: Iterable[str]) -> list[Path]:
    """The files of a folder with one of these extensions, in any case, but for side files; in order of names."""
    wanted = tuple(extensions)
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in wanted and not is_side_file(path.name) and not path.is_dir()
    )


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


def owner(mask: Path, pictures: Container[str]) -> str | None:
    """The picture that a mask in a folder of masks belongs to.

    Args:
        mask: NAME, NAME_K for the K-th of several, NAME_mask and the like, or NAME.jpg, of any extension.
        pictures: Keys of the pictures' stems.

    Returns:
        One of ``pictures``, None where there is none.
    """
    stem = key(mask.stem)
    shorter = stem.rpartition("_")[0]
    without_ending, ending = os.path.splitext(stem)
    candidates = [stem, *pictured_by(stem), shorter, *pictured_by(shorter)]
    if ending in ENDINGS:
        candidates.append(without_ending)
    return next((each for each in candidates if each in pictures), None)


class Masks:
    """Masks by the pictures that they belong to.

    Args:
        paths: Files of masks.
    """

    def __init__(self, paths: Iterable[Path]):
        self._named: dict[str, Path] = {}
        self._said: dict[str, Path] = {}
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
    pictures: list[Path] = []
    masks: list[Path] = []
    paths = list(paths)
    stems = {key(path.stem) for path in paths} | {key(path.name) for path in paths}
    for path in paths:
        (masks if stems.intersection(pictured_by(path.stem)) else pictures).append(path)
    return pictures, masks
