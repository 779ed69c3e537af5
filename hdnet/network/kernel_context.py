"""What both contexts share: a perceptron that adds to the foreground's last kernel what a description says."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn


class KernelContext(nn.Module):
    """Predicts what to add to a kernel and an offset for each channel, from a description of the picture.

    Args:
        described: Numbers that describe a picture.
        channels: Channels C that the kernel maps.
        width: Of the two hidden layers.
    """

    def __init__(self, described: int, channels: int, width: int) -> None:
        super().__init__()
        self.channels = channels
        self.layers = nn.Sequential(
            nn.Linear(described, width),
            nn.GELU(),
            nn.Linear(width, width),
            nn.GELU(),
            nn.Linear(width, channels * (channels + 1)),
        )

    def start(self) -> None:
        """Begins with no say: the network is then the same with it and without."""
        last = cast(nn.Linear, self.layers[-1])
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def change(self, described: Tensor) -> tuple[Tensor, Tensor]:
        """The change of the foreground's kernel ``[B, C, C]``, to multiply from the right, and offsets ``[B, 1, C]``.

        Args:
            described: ``[B, described]``, at least float32; autocast does not apply.
        """
        with torch.autocast(described.device.type, enabled=False):
            change = self.layers(described.to(cast(nn.Linear, self.layers[0]).weight.dtype))
        change = change.view(-1, self.channels + 1, self.channels)
        return change[:, :-1], change[:, -1:]
