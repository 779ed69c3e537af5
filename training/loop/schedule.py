"""What happens at which step.

All of it follows from the options and the step, so that a checkpoint need only remember the step.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import accumulate

from .options import Options, Stage


class Schedule:
    """Stages, sizes and learning rates of a run.

    Args:
        options: Of the run.
        pictures: Length of an epoch.

    Attributes:
        steps: Length of the run.
    """

    def __init__(self, options: Options, pictures: int) -> None:
        self.options = options
        shares = [stage.share / sum(each.share for each in options.stages) for stage in options.stages]
        mean_batch = sum(share * stage.batch for share, stage in zip(shares, options.stages))
        self.steps = options.steps or max(1, round(options.epochs * pictures / mean_batch))
        self._ends = [round(share * self.steps) for share in accumulate(shares)]

    def stage(self, step: int) -> Stage:
        """The stage of a step, counted from 0."""
        past = sum(step >= end for end in self._ends[:-1])
        return self.options.stages[past]

    def size(self, step: int) -> int:
        """Side of the pictures of a step."""
        sizes = self.stage(step).size
        return sizes[step % len(sizes)]

    def learning_rate(self, step: int) -> float:
        """Warm-up, then constant, with drops and a cosine where the options ask for them."""
        options, done = self.options, step / self.steps
        rate = options.learning_rate * self.stage(step).rate
        rate *= min(1.0, (step + 1) / max(1, options.warmup_steps))
        rate *= 0.1 ** sum(done >= drop for drop in options.drops)
        if done > options.cosine_from:
            rate *= 0.5 + 0.5 * math.cos(math.pi * (done - options.cosine_from) / (1 - options.cosine_from))
        return rate

    def micro_batches(self, step: int, position: int, process: int, processes: int) -> Iterator[list[tuple[int, int]]]:
        """Keys of `pairs.Stream` for one process, from a step to the end.

        A batch is split over the accumulated micro-batches and the processes, however many there are; together they
        see the same pictures.

        Yields:
            `(position, size)` of each picture of a micro-batch, `accumulate` of them a step.
        """
        while step < self.steps:
            stage, size = self.stage(step), self.size(step)
            count = stage.batch // (processes * self.options.accumulate)
            for number in range(self.options.accumulate):
                start = position + (number * processes + process) * count
                yield [(start + each, size) for each in range(count)]
            step, position = step + 1, position + stage.batch

    def check_split(self, processes: int) -> None:
        """Raises ValueError where a batch cannot be split evenly."""
        for stage in self.options.stages:
            if stage.batch % (processes * self.options.accumulate):
                raise ValueError(
                    f"A batch of {stage.batch} cannot be split evenly over {processes} process(es) with "
                    f"accumulate={self.options.accumulate}; change the stage's batch."
                )
