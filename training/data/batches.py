"""The batches of one process, from any step on."""

from __future__ import annotations

import torch
from torch.utils.data import DataLoader

from ..loop.checkpoint import Progress
from ..loop.interruption import leave_to_parent
from ..loop.options import Options
from ..loop.schedule import Schedule
from ..synthesis.augment import Augmentation
from .pairs import Stream, collate, open_source

AHEAD = 4  # parts that a reading process keeps ready


def training_source(options: Options):
    """The pairs to train on, see `pairs.open_source`."""
    names = "crop", "flip", "mask_jitter", "loose_region", "soft_edge", "clean_rim", "jpeg"
    augmentation = Augmentation(**{name: getattr(options, name) for name in names})
    return open_source(options.data, "train", augmentation, options.untouched, options.pasted, options.camera)


def load_batches(
    options: Options, source, schedule: Schedule, progress: Progress, process: int, processes: int, pin_memory: bool
) -> DataLoader:
    """Parts of batches as `pairs.collate` makes them, `options.accumulate` a step, to the end of the run.

    Where they begin, and that every pair follows from the seed and its position, is all that a resumption needs.
    """
    return DataLoader(
        Stream(source, options.seed),
        batch_sampler=schedule.parts(progress.step, progress.position, process, processes),
        collate_fn=collate,
        num_workers=options.workers,
        prefetch_factor=AHEAD if options.workers else None,
        pin_memory=pin_memory,
        worker_init_fn=leave_to_parent,
        generator=torch.Generator(),  # else it would draw from the global one
    )
