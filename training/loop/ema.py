"""The moving average of the weights, which is what a run hands out."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """Moves the average's parameters towards the network's.

    The decay is min(decay, (1 + step) / (10 + step)), so that the start is soon forgotten; 0 copies the network.

    Args:
        average: A copy of the network.
        network: The one that is trained.
        decay: In 0..1, how much of the average stays.
        step: Steps done, from 1.
    """
    weight = 1 - min(decay, (1 + step) / (10 + step))
    for mean, value in zip(average.parameters(), network.parameters()):
        mean.lerp_(value, weight)
