"""A folder of pictures and a folder of masks: what belongs together, and harmonizing all of it."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ..files.pictures import FORMATS, PictureInfo, check_same_shape, read_mask, read_picture, save_picture

if TYPE_CHECKING:
    from torch import Tensor

Item = TypeVar("Item")

# Pictures that may wait in memory on either side of the network; each side has as many threads.
DEPTH = 2
MASK_ENDINGS = ("_mask", "-mask", ".mask", " mask", "_matte", "_alpha")
MASK_BEGINNINGS = ("mask_", "mask-")


@dataclass(frozen=True)
class Job:
    """One picture of a folder.

    Attributes:
        composite: The file to read.
        mask: Its mask, None if there is none.
        output: The file to write.
    """

    composite: Path
    mask: Path | None
    output: Path


def check_folders(composites: Path, masks: Path, output: Path) -> None:
    """Raises ValueError where a folder is missing, or the output cannot be written or would overwrite the input."""
    for folder in (composites, masks):
        if not folder.is_dir():
            raise ValueError(f"{folder}: there is no such folder.")
    if output.exists() and not output.is_dir():
        raise ValueError(f"{output}: this is a file; give a folder to write into.")
    if output.exists() and not os.access(output, os.W_OK | os.X_OK):
        raise ValueError(f"{output}: no permission to write into this folder.")
    if output.resolve() in (composites.resolve(), masks.resolve()):
        raise ValueError(f"{output}: this would overwrite the pictures given; name another folder to write into.")


def find_jobs(composites: Path, masks: Path, output: Path) -> list[Job]:
    """Matches NAME.* to the mask NAME.*, NAME_mask.* or, as in iHarmony4, NAME_K_J.* to NAME_K.*; in order of names.

    Where both folders are one, files that end in "mask" are masks, the others pictures, and none is its own mask.

    Raises:
        ValueError: There is no picture, or no picture has a mask.
    """
    one_folder = composites.resolve() == masks.resolve()
    by_name = {path.stem: path for path in _pictures(masks) if not one_folder or _names_a_mask(path)}
    jobs = [
        Job(path, _mask_of(path.stem, by_name), output / path.name)
        for path in _pictures(composites)
        if not (one_folder and _names_a_mask(path))
    ]
    if not jobs:
        raise ValueError(f"{composites}: there are no pictures ({' '.join(FORMATS)}) in this folder.")
    if not any(job.mask for job in jobs):
        raise ValueError(f"{masks}: no mask is named like a picture of {composites}, such as {jobs[0].composite.stem}.")
    return jobs


def harmonize_folder(
    jobs: Iterable[Job], harmonize: Callable[[Tensor, Tensor], Tensor]
) -> Iterator[tuple[Job, BaseException | None]]:
    """Harmonizes pictures, reading and writing beside the network.

    Args:
        jobs: What to do; see :func:`find_jobs`.
        harmonize: Takes a picture ``[1, H, W, C]`` and its mask ``[1, h, w]``; runs in the caller's thread.

    Yields:
        Every job in order once its file is written, with what went wrong or None.
    """
    with ThreadPoolExecutor(2 * DEPTH) as pool:

        def harmonize_and_write(read: tuple[Job, Future]) -> Future:
            job, future = read
            try:
                picture, mask, info = future.result()
                result = harmonize(picture, mask)
            except Exception as error:
                return _failed(error)
            return pool.submit(save_picture, result, job.output, info)

        reads = _ahead(lambda job: pool.submit(_read, job), jobs)
        for (job, _), future in _ahead(harmonize_and_write, reads):
            yield job, future.exception()


def _ahead(start: Callable[[Item], Future], items: Iterable[Item]) -> Iterator[tuple[Item, Future]]:
    """Starts up to DEPTH items before they are asked for."""
    waiting = deque()
    for item in items:
        waiting.append((item, start(item)))
        if len(waiting) > DEPTH:
            yield waiting.popleft()
    yield from waiting


def _read(job: Job) -> tuple[Tensor, Tensor, PictureInfo]:
    if job.mask is None:
        raise ValueError("it has no mask.")
    picture, info = read_picture(job.composite)
    mask = read_mask(job.mask)
    check_same_shape(picture, job.composite, mask, job.mask)
    return picture, mask, info


def _names_a_mask(path: Path) -> bool:
    return path.stem.lower().endswith(MASK_ENDINGS) or path.stem.lower().startswith(MASK_BEGINNINGS)


def _mask_of(name: str, masks: dict[str, Path]) -> Path | None:
    """The mask of a picture by this name."""
    candidates = [name, *(f"{name}{end}" for end in MASK_ENDINGS), *(f"{begin}{name}" for begin in MASK_BEGINNINGS)]
    candidates.append(name.rpartition("_")[0])
    lower = {stem.lower(): path for stem, path in masks.items()}
    return next((masks.get(each) or lower.get(each.lower()) for each in candidates if each.lower() in lower), None)


def _failed(error: Exception) -> Future:
    future = Future()
    future.set_exception(error)
    return future


def _pictures(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in FORMATS and not path.name.startswith(".") and not path.is_dir()
    )
