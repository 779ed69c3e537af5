"""A folder of pictures and a folder of masks: what belongs together, and harmonizing all of it."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ..files.names import Masks, parted, pictures_in
from ..files.pictures import EXTENSIONS, PictureInfo, read_mask_of, read_picture, save_picture

if TYPE_CHECKING:
    from torch import Tensor

Item = TypeVar("Item")

# Pictures that may wait in memory on either side of the network; each side has as many threads.
DEPTH = 2
MASK_EXTENSIONS = (*EXTENSIONS, ".gif")


@dataclass(frozen=True)
class Job:
    """One picture of a folder.

    Attributes:
        composite: The file to read.
        mask: Its mask, None if there is none.
        output: The file to write.
        needs_mask: Whether it cannot be done without one.
    """

    composite: Path
    mask: Path | None
    output: Path
    needs_mask: bool = True


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


def find_jobs(composites: Path, masks: Path | None, output: Path) -> list[Job]:
    """Finds the mask of each picture, see :class:`~.files.names.Masks`; in the order of names.

    Where both folders are one, NAME_mask or the like is the mask of the NAME beside it; no picture is its own mask.

    Raises:
        ValueError: There is no picture, or no picture has a mask.
    """
    if masks is None:
        pictures = pictures_in(composites, EXTENSIONS)
        if not pictures:
            raise ValueError(f"{composites}: there are no pictures ({' '.join(EXTENSIONS)}) in this folder.")
        return [Job(path, None, output / path.name, needs_mask=False) for path in pictures]
    found = None if composites.samefile(masks) else pictures_in(masks, MASK_EXTENSIONS)
    pairs = with_masks(pictures_in(composites, EXTENSIONS), found, str(composites), str(masks))
    return [Job(path, mask, output / path.name) for path, mask in pairs]


def with_masks(
    pictures: list[Path], masks: list[Path] | None, composites: str, place: str
) -> list[tuple[Path, Path | None]]:
    """Pictures with their masks, None where one has none.

    Args:
        pictures: The pictures, or only their names.
        masks: The masks; None where they are among the pictures.
        composites: What to call the pictures' folder.
        place: What to call the masks' folder.

    Raises:
        ValueError: There is no picture, or no picture has a mask.
    """
    one_folder = masks is None
    if masks is None:
        pictures, masks = parted(pictures)
    by_picture = Masks(masks)
    pairs = [(path, by_picture.of(path)) for path in pictures]
    if not pairs:
        raise ValueError(f"{composites}: there are no pictures ({' '.join(EXTENSIONS)}) in this folder.")
    if not any(mask for _, mask in pairs):
        name = pictures[0].stem
        if one_folder:
            raise ValueError(f"{place}: a picture is never its own mask; name that of {name} {name}_mask.png.")
        raise ValueError(f"{place}: no mask is named like a picture of {composites}, such as {name} or {name}_mask.")
    return pairs


def read_job(job: Job) -> tuple[Tensor, Tensor | None, PictureInfo]:
    """A job's picture ``[1, H, W, C]``, its mask ``[1, h, w]`` or None, and what the picture's file says.

    Raises:
        ValueError: One cannot be read, or they do not go together.
    """
    if job.mask is None and job.needs_mask:
        raise ValueError("it has no mask.")
    picture, info = read_picture(job.composite)
    if job.mask is None:
        return picture, None, info
    return picture, read_mask_of(picture, job.composite, job.mask), info


def write_job(job: Job, result: Tensor, info: PictureInfo) -> None:
    """Writes a job's result ``[1, H, W, C]``."""
    save_picture(result, job.output, info)


def harmonize_folder(
    jobs: Iterable[Item],
    harmonize: Callable[[Item, Tensor, Tensor | None], Tensor],
    read: Callable[[Item], tuple[Tensor, Tensor | None, PictureInfo]],
    write: Callable[[Item, Tensor, PictureInfo], None],
) -> Iterator[tuple[Item, BaseException | None]]:
    """Harmonizes pictures, reading and writing beside the network.

    Args:
        jobs: What to do, such as those of :func:`find_jobs`.
        harmonize: Takes a job, its picture ``[1, H, W, C]`` and its mask ``[1, h, w]`` or None; runs in
            the caller's thread.
        read: Such as :func:`read_job`; runs in other threads.
        write: Such as :func:`write_job`; runs in other threads.

    Yields:
        Every job in order once its file is written, with what went wrong or None.
    """
    with ThreadPoolExecutor(2 * DEPTH) as pool:

        def harmonize_and_write(item: tuple[Item, Future]) -> Future:
            job, future = item
            try:
                picture, mask, info = future.result()
                result = harmonize(job, picture, mask)
            except Exception as error:
                return _failed(error)
            return pool.submit(write, job, result, info)

        reads = _ahead(lambda job: pool.submit(read, job), jobs)
        for (job, _), future in _ahead(harmonize_and_write, reads):
            yield job, future.exception()


def _ahead(start: Callable[[Item], Future], items: Iterable[Item]) -> Iterator[tuple[Item, Future]]:
    """Starts up to DEPTH items before they are asked for."""
    waiting: deque[tuple[Item, Future]] = deque()
    for item in items:
        waiting.append((item, start(item)))
        if len(waiting) > DEPTH:
            yield waiting.popleft()
    yield from waiting


def _failed(error: Exception) -> Future:
    future: Future = Future()
    future.set_exception(error)
    return future


def report_failed(failures: list[str], count: int) -> int:
    """Lists the pictures that failed, of so many; the exit code."""
    if failures:
        print(f"harmonize: {len(failures)} of {count} pictures failed:", *failures, sep="\n", file=sys.stderr)
    return 1 if failures else 0
