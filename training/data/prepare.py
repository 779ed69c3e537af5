"""A resized copy of a data set, so that training need not decode large pictures."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from ...files.atomic import write_whole
from ...files.names import pictures_in
from ...files.training_images import (
    EXTENSIONS,
    MASK_EXTENSIONS,
    PictureError,
    read_mask,
    read_rgb,
    save_image,
)
from .file_jobs import for_each
from .iharmony4 import FOLDERS, SPLITS, Contents, find_lists, find_subsets

LARGEST = 16384  # pixels; beyond, a picture has more than any that is read


def prepare(
    root: str | Path,
    out: str | Path,
    size: int,
    *,
    extension: str = "png",
    workers: int | None = None,
) -> list[tuple[Path, PictureError]]:
    """Copy a data set with smaller pictures.

    Pairs become `size`x`size`, as the paper does it. Photographs keep their proportions, their shorter side becomes
    `size`, and none is enlarged. What is already there at that size is kept, so an interrupted copy goes on where it
    was. Lists and a manifest are copied as they are.

    Args:
        root: a data set in iHarmony4 layout, or photographs with `images/` and `masks/`.
        out: the folder to write.
        size: side of the pictures in pixels.
        extension: "png", without loss, or "jpg" at quality 95, about four times smaller.
        workers: how many pictures at a time; None for one a core.

    Returns:
        The broken pictures, which have no copy, and their errors.

    Raises:
        ValueError: for a wrong layout or argument.
    """
    root, out = Path(root), Path(out)
    if not 1 <= size <= LARGEST:
        raise ValueError(f"The size must be 1 to {LARGEST} pixels, not {size}.")
    if extension not in ("png", "jpg"):
        raise ValueError(f"The extension must be 'png' or 'jpg', not {extension!r}.")
    if out.resolve() == root.resolve():
        raise ValueError(f"{out}: the copy needs a folder of its own.")
    photographs = (root / "images").is_dir() and (root / "masks").is_dir()
    if photographs:
        folders, lists = _folders_of_photographs(root), [root / "manifest.csv"]
    else:
        folders = _folders_of_pairs(root)
        lists = [path for split in SPLITS for path, _ in find_lists(root, split)]
    jobs = [
        (source, out / folder.relative_to(root) / f"{source.stem}.{'png' if is_mask else extension}", is_mask)
        for folder, is_mask, sources in folders
        for source in sources
    ]
    failures = for_each(partial(_resize_file, size=size, square=not photographs), jobs, "Resizing", workers)
    for path in lists:
        if path.is_file():
            content = path.read_bytes()
            write_whole(out / path.relative_to(root), partial(_write, content=content))
    return [(source, error) for (source, _, _), error in failures]


Folders = list[tuple[Path, bool, list[Path]]]
"""Folder, whether it holds masks, and its pictures."""


def _write(file: BinaryIO, content: bytes) -> None:
    file.write(content)


def _folders_of_photographs(root: Path) -> Folders:
    return [
        (root / "images", False, pictures_in(root / "images", EXTENSIONS)),
        (root / "masks", True, pictures_in(root / "masks", MASK_EXTENSIONS)),
    ]


def _folders_of_pairs(root: Path) -> Folders:
    return [
        (folder / kind, kind == "masks", [folder / kind / file for file in sorted(files.values())])
        for folder in find_subsets(root).values()
        for kind, files in zip(FOLDERS, Contents(folder).files, strict=True)
    ]


def _resize_file(job: tuple[Path, Path, bool], size: int, square: bool) -> None:
    source, target, is_mask = job
    if square and _size_of(target) == (size, size):
        return
    image = read_mask(source) if is_mask else read_rgb(source)
    width, height = size, size
    if not square:
        scale = min(1, size / min(image.size))
        width, height = (max(1, round(side * scale)) for side in image.size)
    if _size_of(target) != (width, height):
        resampling = Image.Resampling.NEAREST if is_mask else Image.Resampling.BICUBIC
        save_image(image.resize((width, height), resampling), target)


def _size_of(path: Path) -> tuple[int, int] | None:
    try:
        with Image.open(path) as image:
            return image.size
    except OSError:
        return None
