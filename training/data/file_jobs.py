"""Many independent file jobs at once, with a progress bar."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Protocol, TypeVar

from tqdm import tqdm

from ...files.training_images import PictureError

Item = TypeVar("Item")


class ForEach(Protocol):
    """Runs a function on many items, as `for_each` does."""

    def __call__(
        self, function: Callable[[Item], object], items: Sequence[Item], title: str
    ) -> list[tuple[Item, PictureError]]:
        """The items with a broken picture and their errors, in the order of `items`."""


def for_each(
    function: Callable[[Item], object], items: Sequence[Item], title: str, workers: int | None = None
) -> list[tuple[Item, PictureError]]:
    """Call `function` on every item; go on after a broken picture, stop at any other error.

    Threads do: Pillow decodes, resizes and encodes without holding Python's lock.

    Args:
        function: What to do.
        items: On what.
        title: Of the progress bar.
        workers: How many at a time; None for one a core.

    Returns:
        The items with a broken picture and their errors, in the order of `items`.
    """
    workers = workers or os.cpu_count() or 1
    failures = {}
    with ThreadPoolExecutor(workers) as pool, tqdm(total=len(items), desc=title, disable=None) as bar:
        jobs = {pool.submit(function, item): place for place, item in enumerate(items)}
        try:
            for job in as_completed(jobs):
                try:
                    job.result()
                except PictureError as error:
                    failures[jobs[job]] = error
                bar.update()
        except BaseException:  # also Ctrl-C: do not wait for what has not begun
            pool.shutdown(cancel_futures=True)
            raise
    return [(items[place], failures[place]) for place in sorted(failures)]
