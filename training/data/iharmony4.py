"""Pairs on disk in the layout of iHarmony4 (Cong et al., CVPR 2020).

    ROOT/SUBSET/composite_images/NAME_K_J.jpg    composite J made with mask K
    ROOT/SUBSET/masks/NAME_K.png                 white where the foreground is
    ROOT/SUBSET/real_images/NAME.jpg             the ground truth

A list names the composites of a split, one a line: `IHD_train.txt` or `train.txt` in ROOT,
or else `SUBSET_train.txt` or `train.txt` for each subset, in its folder or in ROOT. A line may
start with the subset, with `composite_images/`, or with neither. Pictures may be .jpg or .png
whatever a list says. Subsets may have any name, and ROOT may be a single subset itself.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from ...files.names import is_side_file, key, pictured_by
from ...files.text import lines_of, read_text
from ...files.training_images import EXTENSIONS, MASK_EXTENSIONS, read_mask, read_rgb, resize_mask, resize_picture
from ..sample import Sample
from ..synthesis.augment import USUAL, Augmentation
from .splits import held_out

SPLITS = ("train", "val", "test")
VALIDATION_SHARE = 0.02
FOLDERS = ("composite_images", "masks", "real_images")
SHOWN = 20  # missing files named in a message


class MissingFiles(ValueError):
    """Files that a list asks for and that are not there; all of them in `missing`."""

    def __init__(self, root: Path, missing: list[str]) -> None:
        self.missing = missing
        more = len(missing) - SHOWN
        super().__init__(
            f"{root}: {len(missing)} file{'s are' if len(missing) > 1 else ' is'} missing: "
            + ", ".join(missing[:SHOWN])
            + (f" and {more} more" if more > 0 else "")
            + "."
        )


@dataclass(frozen=True)
class Pair:
    """A composite with its mask and its ground truth, as files.

    Attributes:
        name: `SUBSET/composite_images/NAME_K_J.ext` as found on disk.
        subset: Its name.
        composite: A file, and so the others.
        mask: White where the foreground is.
        real: The ground truth.
    """

    name: str
    subset: str
    composite: Path
    mask: Path
    real: Path

    @property
    def picture(self) -> str:
        """The ground truth that its composites share, as `SUBSET/NAME`."""
        return f"{self.subset}/{self.real.stem}"

    def load(self, size: int | None = None) -> Sample:
        """The pair as a sample, resized to `size`x`size` as in the paper; with None, of the composite's own size.

        Raises:
            PictureError: If a file is broken.
        """
        if size is None:
            return Sample(*(np.asarray(image) for image in self.open()))
        composite, mask, real = read_rgb(self.composite), read_mask(self.mask), read_rgb(self.real)
        images = resize_picture(composite, size), resize_mask(mask, size), resize_picture(real, size)
        return Sample(*(np.asarray(image) for image in images))

    def open(self) -> tuple[Image.Image, Image.Image, Image.Image]:
        """Composite, mask and real picture, of one size: some data sets keep one of them at another.

        Raises:
            PictureError: If a file is broken.
        """
        composite, mask, real = read_rgb(self.composite), read_mask(self.mask), read_rgb(self.real)
        if mask.size != composite.size:
            mask = mask.resize(composite.size, Image.Resampling.NEAREST)
        if real.size != composite.size:
            real = real.resize(composite.size, Image.Resampling.BICUBIC)
        return composite, mask, real


class IHarmony4:
    """The pairs of one split.

    Args:
        root: Folder of subsets, or one subset.
        split: "train", "val" or "test". Without a list for it, "val" is a fixed 2 % of the
            real pictures of "train", which then leaves them out.
        subsets: Names of the subsets to use; None for all.
        augmentation: What `sample` may change.

    Raises:
        ValueError: If the layout or the split is wrong; its subclass `MissingFiles` for all the
            files that are not there.
    """

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        subsets: Sequence[str] | None = None,
        augmentation: Augmentation = USUAL,
    ) -> None:
        self.pairs = find_pairs(root, split, subsets)
        self.augmentation = augmentation

    def __len__(self) -> int:
        return len(self.pairs)

    def sample(self, index: int, rng: np.random.Generator, size: int) -> Sample:
        """Pair `index`, augmented, `size` pixels square.

        Raises:
            PictureError: If a file is broken.
        """
        composite, mask, real = self.pairs[index].open()
        box = self.augmentation.box(mask, rng)
        images = resize_picture(composite, size, box), resize_mask(mask, size, box), resize_picture(real, size, box)
        return self.augmentation(Sample(*(np.asarray(image) for image in images)), rng)

    def whole(self, index: int, rng: np.random.Generator | None = None, size: int | None = None) -> Sample:
        """Pair `index` as it is; nothing is random here, `rng` is not used."""
        return self.pairs[index].load(size)


def find_pairs(root: str | Path, split: str = "test", subsets: Sequence[str] | None = None) -> list[Pair]:
    """The pairs of a split in the order of its lists, every file known to exist.

    Without any list in `root`, all its composites are "test", and also "train" and "val".
    See `IHarmony4` for the arguments and errors.
    """
    if split not in SPLITS:
        raise ValueError(f"The split must be one of {', '.join(SPLITS)}, not {split!r}.")
    root = Path(root)
    folders = find_subsets(root)
    unknown = sorted(set(subsets or ()) - folders.keys())
    if unknown:
        raise ValueError(f"{root}: no subset {', '.join(unknown)}; it has {', '.join(folders)}.")

    lists = {name: find_lists(root, split=name) for name in SPLITS}
    hold_out = split != "test" and not lists["val"]
    contents = {name: Contents(folder) for name, folder in folders.items()}
    if not any(lists.values()):
        wanted = [(name, file) for name in folders for file in contents[name].composites()]
    else:
        wanted = _read_lists(root, lists["train" if hold_out else split], split, contents)
    # Training reads both lists, so the files missing from either are reported together.
    checked = _read_lists(root, lists["val"], "val", contents) if split == "train" and lists["val"] else []
    if subsets is not None:
        wanted, checked = ([each for each in some if each[0] in subsets] for some in (wanted, checked))

    pairs: list[Pair] = []
    missing: dict[str, bool] = {}
    for subset, file in wanted + checked:
        if subset not in contents:
            missing[f"{subset}/composite_images/{file}"] = True
            continue
        pair, absent = contents[subset].pair(subset, file)
        pairs.append(pair)
        missing |= dict.fromkeys(absent, True)
    if missing:
        raise MissingFiles(root, list(missing))
    del pairs[len(wanted) :]
    if hold_out:
        held = held_out((pair.picture for pair in pairs), VALIDATION_SHARE)
        pairs = [pair for pair in pairs if (pair.picture in held) == (split == "val")]
    if not pairs:
        raise ValueError(f"{root}: the split '{split}' has no pairs.")
    return pairs


def find_subsets(root: Path) -> dict[str, Path]:
    """Folders with `composite_images/`, by name: `root` itself, or those in it."""
    if not root.is_dir():
        raise ValueError(f"{root}: no such folder.")
    if (root / FOLDERS[0]).is_dir():
        found = [root]
    else:
        found = sorted(path.parent for path in root.glob(f"*/{FOLDERS[0]}") if not is_side_file(path.parent.name))
    if not found:
        raise ValueError(
            f"{root}: no subset here; expected SUBSET/composite_images, SUBSET/masks and SUBSET/real_images."
        )
    return {path.resolve().name: path for path in found}


def find_lists(root: Path, split: str) -> list[tuple[Path, str | None]]:
    """The lists of a split: one for all subsets (None), or one for each that has one."""
    for path in (root / f"IHD_{split}.txt", root / f"{split}.txt"):
        if path.is_file():
            return [(path, None)]
    found: list[tuple[Path, str | None]] = []
    for subset, folder in find_subsets(root).items():
        name = f"{subset}_{split}.txt"
        paths = folder / name, folder / f"{split}.txt", root / name
        found += [(path, subset) for path in paths if path.is_file()][:1]
    return found


def _read_lists(
    root: Path, lists: list[tuple[Path, str | None]], split: str, contents: Mapping[str, Contents]
) -> list[tuple[str, str]]:
    """Subset and file name of every composite listed."""
    if not lists:
        raise ValueError(
            f"{root}: no list for the split '{split}'; expected IHD_{split}.txt, {split}.txt or SUBSET_{split}.txt."
        )
    wanted = []
    for path, subset in lists:
        for line in lines_of(read_text(path)):
            *folders, file = PurePosixPath(line.strip().strip("\"'").replace("\\", "/")).parts or [""]
            if file and not is_side_file(file):
                wanted.append((subset or _subset_of(folders, file, contents), file))
    return wanted


def _subset_of(folders: list[str], file: str, contents: Mapping[str, Contents]) -> str:
    prefix = [name for name in folders if name not in (".", FOLDERS[0])]
    if len(contents) == 1:  # its folder may have been renamed
        return next(iter(contents))
    if prefix:
        return prefix[-1]
    return next((name for name in contents if contents[name].find(0, file)), next(iter(contents)))


class Contents:
    """The files of a subset, listed once: a look at each of 70,000 would take minutes.

    Attributes:
        files: For each of `FOLDERS` the name of the file of every stem, by its `key`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: list[dict[str, str]] = []
        for name in FOLDERS:
            files: dict[str, str] = {}
            if (folder / name).is_dir():
                # Of two files with one stem, the one whose ending is first in EXTENSIONS.
                for file in sorted(os.listdir(folder / name), key=_rank, reverse=True):
                    if not is_side_file(file) and os.path.splitext(file)[1].lower() in MASK_EXTENSIONS:
                        files[key(os.path.splitext(file)[0])] = file
            self.files.append(files)
        self._masks = {picture: file for file in self.files[1].values() for picture in pictured_by(Path(file).stem)}

    def composites(self) -> list[str]:
        """Every composite, in order."""
        return sorted(file for file in self.files[0].values() if _rank(file) < len(EXTENSIONS))

    def find(self, kind: int, file: str) -> str | None:
        """The file of one of FOLDERS under this name, whatever its ending."""
        stem = key(os.path.splitext(file)[0])
        return self.files[kind].get(stem) or (self._masks.get(stem) if kind == 1 else None)

    def pair(self, subset: str, file: str) -> tuple[Pair, list[str]]:
        """The pair of a composite, and those of its files that do not exist."""
        stem = os.path.splitext(file)[0]
        parts = stem.rsplit("_", 2)
        names = (file, f"{stem}.png", f"{stem}.jpg")  # people's own pairs often share a name
        if len(parts) == 3:
            theirs = (file, f"{parts[0]}_{parts[1]}.png", f"{parts[0]}.jpg")
            if not (self.find(1, names[1]) and self.find(2, names[2])):
                names = theirs
        found = [self.find(kind, name) for kind, name in enumerate(names)]
        used = [f"{folder}/{found[i] or names[i]}" for i, folder in enumerate(FOLDERS)]
        absent = [f"{subset}/{path}" for i, path in enumerate(used) if not found[i]]
        return Pair(f"{subset}/{used[0]}", subset, *(self.folder / path for path in used)), absent


def _rank(file: str) -> int:
    ending = os.path.splitext(file)[1].lower()
    return EXTENSIONS.index(ending) if ending in EXTENSIONS else len(EXTENSIONS)
