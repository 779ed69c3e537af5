"""A resized copy of a data set in iHarmony4 layout, so that training need not decode large pictures."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from PIL import Image

from ...files.atomic import write_whole
from ...files.training_images import (
    EXTENSIONS,
    PictureError,
    read_mask,
    read_rgb,
    resize_mask,
    resize_picture,
    save_image,
)
from .iharmony4 import FOLDERS, SPLITS, Contents, find_lists, find_subsets
from .parallel import for_each


def prepare(
    root: str | Path,
    out: str | Path,
    size: int,
    *,
    extension: str = "png",
    workers: int | None = None,
) -> list[tuple[Path, PictureError]]:
    """Copy a data set with every picture resized to `size`x`size`, as the paper does it.

    What is already there at that size is kept, so an interrupted copy goes on where it was.
    Lists are copied as they are.

    Args:
        root: a data set in iHarmony4 layout.
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
    if size < 1:
        raise ValueError(f"The size must be at least 1 pixel, not {size}.")
    if extension not in ("png", "jpg"):
        raise ValueError(f"The extension must be 'png' or 'jpg', not {extension!r}.")
    if out.resolve() == root.resolve():
        raise ValueError(f"{out}: the copy needs a folder of its own.")
    jobs = []
    for folder in find_subsets(root).values():
        for kind, files in zip(FOLDERS, Contents(folder).files, strict=True):
            ending = ".png" if kind == "masks" else f".{extension}"
            target = out / folder.relative_to(root) / kind
            jobs += [
                (folder / kind / file, target / (stem + ending))
                for stem, file in sorted(files.items())
                if Path(file).suffix.lower() in EXTENSIONS
            ]
    failures = for_each(partial(_resize_file, size=size), jobs, "Resizing", workers)
    for split in SPLITS:
        for path, _ in find_lists(root, split):
            target = out / path.relative_to(root)
            write_whole(target, lambda file, path=path: file.write(path.read_bytes()))
    return [(source, error) for (source, _), error in failures]


def _resize_file(job: tuple[Path, Path], size: int) -> None:
    source, target = job
    if _is_done(target, size):
        return
    if source.parent.name == "masks":
        image = resize_mask(read_mask(source), size)
    else:
        image = resize_picture(read_rgb(source), size)
    save_image(image, target)


def _is_done(target: Path, size: int) -> bool:
    try:
        with Image.open(target) as image:
            return image.size == (size, size)
    except OSError:
        return False
