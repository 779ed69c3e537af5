"""Work on many machines at once, by way of Ray.

Each worker is a process of the cluster that loads what it needs once and then takes batch after batch. What a worker
has done is told item by item; what it was at when its process or its machine ended goes to another one.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from ..files.errors import PictureError
from ..files.storage import is_address

Item = TypeVar("Item")
Work = Callable[[Sequence[Item]], Iterator[tuple[Item, Exception | None]]]
"""Does a batch in order and yields each item once it is done, with what went wrong or None."""

BATCH_BYTES = 32 << 20  # of the files of a batch
BATCH = 32  # items
LIVES = 3  # workers that an item may take down before it is given up
PATIENCE = 10  # seconds that a cluster may take to answer
GONE = "the worker ended while it was at this; its memory may not suffice, or its machine was lost"


@dataclass(frozen=True)
class Cluster:
    """What a run may have of a Ray cluster.

    Attributes:
        workers: How many.
        threads: Of each.
        on_gpu: Whether each has a GPU of its own.
    """

    workers: int
    threads: int
    on_gpu: bool = False


def add_ray_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares `--ray`."""
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="run on this Ray cluster: HOST:6379, auto for the one that this machine is part of, or local; folders may "
        "then be addresses such as s3://bucket/folder. Needs the extra 'ray'",
    )


def check_local(args: argparse.Namespace, options: Iterable[str], places: Iterable[object]) -> None:
    """Raises ValueError where something was given that works with `--ray` only."""
    for option in options:
        if getattr(args, option) is not None:
            raise ValueError(f"--{option} is for workers; give --ray ADDRESS with it, or leave it out.")
    for place in places:
        if is_address(str(place)):
            raise ValueError(f"{place}: an address works with --ray only; give a folder, or --ray local.")


@contextmanager
def connected(address: str, workers: int | None = None, threads: int = 1, wants_gpu: bool = False) -> Iterator[Cluster]:
    """Connects to a cluster, for as long as the context lasts.

    Args:
        address: See `--ray`.
        workers: How many; None for as many as the cluster holds.
        threads: Of each.
        wants_gpu: Whether workers work on a GPU where the cluster has any.

    Raises:
        ValueError: There is no such cluster, or it has too little for what was asked.
    """
    if address.startswith("ray://"):
        raise ValueError(
            f"{address}: connect from a machine of the cluster, with --ray auto; Ray Client is not supported."
        )
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    try:
        asyncio.run(_knock(address))
        ray.init(address, logging_level=logging.ERROR)
    except (OSError, ValueError, RuntimeError, asyncio.TimeoutError) as error:
        raise ValueError(
            f"{address}: there is no Ray cluster at this address; start one with 'ray start --head', or give 'local'."
        ) from error
    try:
        yield _share_of(ray.cluster_resources(), workers, threads, wants_gpu)
    finally:
        ray.shutdown()


async def _knock(address: str) -> None:
    """Raises OSError or TimeoutError where nobody listens at HOST:PORT; Ray would wait for minutes and then exit."""
    host, _, port = address.rpartition(":")
    if host and "://" not in address and port.isdecimal():
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, int(port)), PATIENCE)
        writer.close()


def _share_of(resources: Mapping[str, float], workers: int | None, threads: int, wants_gpu: bool) -> Cluster:
    cores, gpus = int(resources.get("CPU", 0)), int(resources.get("GPU", 0))
    on_gpu = wants_gpu and gpus > 0
    most = min(cores // threads, gpus) if on_gpu else cores // threads
    if (workers or 1) > most:
        has = f"{cores} cores and {gpus} GPUs" if on_gpu else f"{cores} cores"
        raise ValueError(
            f"The cluster has {has}, enough for {most} workers of {threads} threads; ask for fewer with "
            "--workers or --threads."
        )
    return Cluster(workers or most, threads, on_gpu)


def batches(items: Iterable[Item], size: Callable[[Item], int] = lambda item: 0) -> Iterator[list[Item]]:
    """Cuts items into batches of about the same bytes: few large pictures, or many small ones."""
    batch: list[Item] = []
    total = 0
    for item in items:
        if batch and (len(batch) == BATCH or total + size(item) > BATCH_BYTES):
            yield batch
            batch, total = [], 0
        batch.append(item)
        total += size(item)
    if batch:
        yield batch


class _Worker:
    """One process of the cluster."""

    def __init__(self, start: Callable[[], Work]) -> None:
        self._start = start
        self._work: Work | None = None

    def ready(self) -> None:
        """Returns once the process runs."""

    def do(self, batch: Sequence[Item]) -> Iterator[tuple[int, Exception | None]]:
        """Yields the place in the batch of each item done, with what went wrong."""
        if self._work is None:
            self._work = self._start()
        places = {item: place for place, item in enumerate(batch)}
        for item, error in self._work(batch):
            yield places[item], error


def on_cluster(
    cluster: Cluster, start: Callable[[], Work], items: Iterable[list[Item]]
) -> Iterator[tuple[Item, Exception | None]]:
    """Works through batches on all workers at once.

    Args:
        cluster: Of :func:`connected`.
        start: Called once in each worker; loads what is needed.
        items: The batches; their items are hashable and differ.

    Yields:
        Every item once, when it is done, with what went wrong or None.

    Raises:
        Exception: What a worker raised that was not about an item.
    """
    import ray
    from ray import exceptions

    lost = (exceptions.RayActorError, exceptions.WorkerCrashedError, exceptions.NodeDiedError)
    make: Any = ray.remote(_Worker).options(
        num_cpus=cluster.threads, num_gpus=int(cluster.on_gpu), max_restarts=0, scheduling_strategy="SPREAD"
    )
    shared = ray.put(start)
    waiting, deaths = deque(items), Counter[Item]()
    beginning: dict[Any, Any] = {}  # from what tells that a worker runs to the worker
    running: dict[Any, tuple[Any, dict[int, Item]]] = {}  # from a stream of what is done to the worker, and what is not
    idle: list[Any] = []
    failed_to_begin = 0

    def begin() -> None:
        worker = make.remote(shared)
        beginning[worker.ready.remote()] = worker

    try:
        for _ in range(min(cluster.workers, len(waiting))):
            begin()
        while waiting or running:
            while waiting and idle:
                worker, batch = idle.pop(), waiting.popleft()
                stream = worker.do.options(num_returns="streaming").remote(batch)
                running[stream] = worker, dict(enumerate(batch))
            (told,), _ = ray.wait([*beginning, *running])
            if told in beginning:
                worker = beginning.pop(told)
                try:
                    ray.get(told)
                except lost as reason:
                    failed_to_begin += 1
                    if failed_to_begin > LIVES * cluster.workers:
                        raise RuntimeError(f"The cluster's workers do not start: {reason}") from None
                    begin()
                else:
                    idle.append(worker)
                continue
            worker, left = running[told]
            try:
                place, error = ray.get(next(told))
                yield left.pop(place), error
            except StopIteration:
                del running[told]
                idle.append(worker)
            except lost:
                del running[told]
                begin()
                deaths.update(left.values())
                for item in reversed(left.values()):
                    if deaths[item] < LIVES:
                        waiting.appendleft([item])  # by itself, so that it takes no others down
                    else:
                        yield item, RuntimeError(GONE)
            except exceptions.RayTaskError as failure:
                raise failure.cause from None
    finally:
        for worker in [*beginning.values(), *idle, *(worker for worker, _ in running.values())]:
            ray.kill(worker)


def for_each_on(
    cluster: Cluster, function: Callable[[Item], object], items: Sequence[Item], title: str
) -> list[tuple[Item, PictureError]]:
    """Calls a function on every item; goes on after a broken picture, stops at any other error.

    Args:
        cluster: Of :func:`connected`.
        function: Is sent to each worker once.
        items: Hashable.
        title: Of the progress bar.

    Returns:
        The items with a broken picture and their errors, in the order of `items`.
    """
    from tqdm import tqdm

    failures: dict[Item, PictureError] = {}
    with tqdm(total=len(items), desc=title, disable=None) as bar:
        for item, error in on_cluster(cluster, partial(_one_by_one, function), batches(items)):
            bar.update()
            if error is not None:
                failures[item] = PictureError(str(error))
    return [(item, failures[item]) for item in items if item in failures]


def _one_by_one(function: Callable[[Item], object]) -> Work[Item]:
    def work(batch: Sequence[Item]) -> Iterator[tuple[Item, Exception | None]]:
        for item in batch:
            try:
                function(item)
            except PictureError as error:
                yield item, error
            else:
                yield item, None

    return work
