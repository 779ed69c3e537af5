"""Work done beside other work: the items of an iterator, made by a thread some items ahead."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

Item = TypeVar("Item")


def ahead(items: Iterator[Item], count: int) -> Iterator[Item]:
    """Yields items in order while a thread makes the next ones, at most `count` of them.

    What raises in the thread raises here, at the item's place.
    """
    end = object()
    thread = ThreadPoolExecutor(1)
    try:
        waiting = deque(thread.submit(next, items, end) for _ in range(count))
        while (item := waiting.popleft().result()) is not end:
            waiting.append(thread.submit(next, items, end))
            yield item  # type: ignore[misc]  # it is no end
    finally:
        thread.shutdown(cancel_futures=True)


@contextmanager
def cores_left() -> Iterator[None]:
    """Has torch take half of its threads, so that cores are left for what decodes and encodes beside.

    Threads that wait for a core hold all the others up, and burn theirs.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // 2))
    try:
        yield
    finally:
        torch.set_num_threads(threads)
