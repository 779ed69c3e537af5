"""The batches of one process, from any step on."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import fields
from typing import TypeVar

import torch
from torch.utils.data import DataLoader

from ..data.pairs import Batch, Stream, collate, open_source
from ..sample import Source
from ..synthesis.augment import Augmentation
from ..synthesis.mixture import Mixture
from .checkpoint import Progress
from .interruption import leave_signals_to_parent
from .layer_pool import photographs_for_pool, pooled_batches
from .options import Options
from .schedule import Schedule

PREFETCHED = 4  # micro-batches that a reading process keeps ready

Settings = TypeVar("Settings", Augmentation, Mixture)


def training_source(options: Options) -> Source:
    """The samples to train on, see `pairs.open_source`."""
    return open_source(options.data, "train", chosen(Augmentation, options), chosen(Mixture, options))


def chosen(kind: type[Settings], options: Options) -> Settings:
    """Settings whose fields are options of the same names."""
    return kind(**{each.name: getattr(options, each.name) for each in fields(kind)})


def load_batches(
    options: Options,
    source: Source,
    schedule: Schedule,
    progress: Progress,
    process: int,
    processes: int,
    device: torch.device,
) -> Generator[Batch, None, None]:
    """Micro-batches, `options.accumulate` a step, to the end of the run; closing the generator ends what makes them.

    Where they begin, and that every sample follows from the seed and its position, is all that a resumption needs;
    but for those from a pool, see :mod:`.layer_pool`.

    Raises:
        ValueError: A pool is asked for that cannot be.
    """
    if options.pool:
        return pooled_batches(options, photographs_for_pool(options, source, processes), schedule, progress, device)
    loader = DataLoader(
        Stream(source, options.seed),
        batch_sampler=schedule.micro_batches(progress.step, progress.position, process, processes),
        collate_fn=collate,
        num_workers=options.workers,
        prefetch_factor=PREFETCHED if options.workers else None,
        pin_memory=device.type == "cuda",
        worker_init_fn=leave_signals_to_parent,
        generator=torch.Generator(),  # else it would draw from the global one
    )
    return _read(loader)


def _read(loader: DataLoader) -> Generator[Batch, None, None]:
    """A generator, whose reading processes end when it is closed."""
    yield from loader
