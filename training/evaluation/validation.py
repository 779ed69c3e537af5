"""Measuring a network on fixed pairs while it trains."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from ...files.errors import PictureError
from ..data.pairs import collate, open_source
from ..data.photos import validation_set
from ..sample import Sample
from ..synthesis.mixture import Mixture
from .evaluate import harmonized, input_picture
from .metrics import Metrics, measure

UNMIXED = Mixture(untouched=0.0)
BATCH = 8
SHOWN = 4  # pairs in the picture grid


class Validation:
    """The fixed pairs of a run, or those of one process.

    Scores are those of `evaluate` under the protocol real-background.

    Args:
        root: The data; its split "val" is used.
        count: How many pairs.
        size: Side of the pictures in pixels.
        process: Which process this is,
        processes: of how many; each measures its own pairs.
        mixture: Of the composites of photographs, see `pairs.open_source`.

    Raises:
        ValueError: There is no validation split.
        PictureError: A picture of it cannot be read.
    """

    def __init__(
        self, root: str, count: int, size: int, process: int = 0, processes: int = 1, mixture: Mixture = UNMIXED
    ) -> None:
        try:
            source = open_source(root, "choose", mixture=mixture) if count else None
            pairs = validation_set(source, count, size=size) if source is not None else []
        except PictureError:
            raise
        except ValueError as error:
            raise ValueError(f"{error} To train without validation, set validation_pairs=0.") from error
        pairs = [pair for pair in pairs if pair.foreground.any()]  # some foregrounds vanish when small
        own = pairs[process::processes]
        self.pairs = [replace(pair, composite=input_picture(pair, "real-background")) for pair in own]

    def composite_scores(self) -> list[Metrics]:
        """Of the untouched composites."""
        return [measure(pair.composite, pair.real, pair.foreground, with_ssim=False) for pair in self.pairs]

    def scores(self, network: nn.Module) -> list[Metrics]:
        """Of the network's results, in the same order."""
        results = zip(self.pairs, self._harmonize(network, self.pairs))
        return [measure(result, pair.real, pair.foreground, with_ssim=False) for pair, result in results]

    def picture_grid(self, network: nn.Module) -> np.ndarray:
        """Composite, mask, result and real picture side by side, a pair a row: uint8 `[H, W, 3]`."""
        shown = self.pairs[:SHOWN]
        rows = [
            np.hstack((pair.composite, np.repeat(pair.mask[..., None], 3, -1), result, pair.real))
            for pair, result in zip(shown, self._harmonize(network, shown))
        ]
        return np.vstack(rows)

    @staticmethod
    @torch.no_grad()
    def _harmonize(network: nn.Module, pairs: list[Sample]) -> list[np.ndarray]:
        device = next(network.parameters()).device
        results = []
        for start in range(0, len(pairs), BATCH):
            some = pairs[start : start + BATCH]
            batch = collate(some)
            mask = (batch.mask > 0.5).float()
            output = network(batch.composite.to(device), mask.to(device))
            pictures = output.float().add(1).div(2).permute(0, 2, 3, 1).cpu().numpy()
            for pair, picture in zip(some, pictures):
                results.append(harmonized(pair.composite, pair.foreground, lambda *_, picture=picture: picture))
        return results
