"""What a run tells people: figures on the way, and what its weights say of themselves."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from ..evaluation.metrics import Metrics
from .checkpoint import Progress
from .options import Options, to_toml


class StepStatistics:
    """Loss, gradient norm and speed of the steps since scalars were last logged."""

    def __init__(self) -> None:
        self.losses: list[Tensor] = []
        self.norms: list[Tensor] = []
        self.pictures, self.seconds = 0, 0.0

    def add(self, loss: Tensor, norm: Tensor, pictures: int, seconds: float) -> None:
        """Adds a step."""
        self.losses.append(loss)
        self.norms.append(norm)
        self.pictures += pictures
        self.seconds += seconds

    def means(self) -> Tensor:
        """Of the losses and of the gradients' norms, `[2]`."""
        return torch.stack((torch.stack(self.losses).mean(), torch.stack(self.norms).mean()))

    @property
    def speed(self) -> float:
        """Pictures a second, over all processes; validation and checkpoints do not count."""
        return self.pictures / self.seconds


def progress_bar(steps: int, done: int, shown: bool) -> tqdm:
    """Steps, speed and time left; in a log file a line now and then."""
    interval = 0.5 if sys.stderr.isatty() else 30
    return tqdm(total=steps, initial=done, unit="step", disable=not shown, mininterval=interval)


def figures(progress: Progress, composite: Metrics) -> str:
    """The last validation in a line."""
    return (
        f"fMSE {progress.fmse:.1f} (composite {composite.fmse:.1f}), "
        f"PSNR {progress.psnr:.2f} dB (composite {composite.psnr:.2f})"
    )


def describe_weights(
    options: Options, progress: Progress, pictures: int, composite: Metrics, device: str
) -> dict[str, str]:
    """Metadata for `weights.save_network`: how these weights came about so far."""
    data = Path(options.data).resolve().name
    sizes = dict.fromkeys(size for stage in options.stages for size in stage.size)
    facts = {
        "title": f"HDNet trained on {data}",
        "training_data": f"{data}, {pictures} pictures",
        "training": (
            f"{progress.step} steps, {progress.position} pictures seen, sizes {', '.join(map(str, sizes))}, "
            f"{progress.seconds:.0f} s on {device}, begun from {options.init}"
        ),
        "options": to_toml(replace(options, data=data)),
    }
    if progress.fmse == progress.fmse:  # not NaN: there was a validation
        facts["figures"] = (
            f"{figures(progress, composite)}, on {options.validation_pairs} fixed validation pairs at "
            f"{options.validation_size} px, real-background"
        )
    return facts
