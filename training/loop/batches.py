"""The batches of one process, from any step on."""

from __future__ import annotations

from dataclasses import fields
from typing import TypeVar

import torch
from torch.utils.data import DataLoader

from ..data.pairs import Stream, collate, open_source
from ..sample import Source
from ..synthesis.augment import Augmentation
from ..synthesis.mixture import Mixture
from .checkpoint import Progress
from .interruption import leave_signals_to_parent
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
    pin_memory: bool,
) -> DataLoader:
    """Micro-batches as `pairs.collate` makes them, `options.accumulate` a step, to the end of the run.

    Where they begin, and that every sample follows from the seed and its position, is all that a resumption needs.
    """
    return DataLoader(
        Stream(source, options.seed),
        batch_sampler=schedule.micro_batches(progress.step, progress.position, process, processes),
        collate_fn=collate,
        num_workers=options.workers,
        prefetch_factor=PREFETCHED if options.workers else None,
        pin_memory=pin_memory,
        worker_init_fn=leave_signals_to_parent,
        generator=torch.Generator(),  # else it would draw from the global one
    )
