"""Opens a folder of samples, and brings samples as an endless stream and in batches."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ...files.training_images import PictureError
from ..sample import Sample, Source
from ..synthesis.augment import USUAL, Augmentation
from ..synthesis.mixture import USUAL_MIXTURE, Mixture
from .iharmony4 import IHarmony4
from .photos import Photographs

log = logging.getLogger(__name__)


def open_source(
    root: str | Path, split: str = "train", augmentation: Augmentation = USUAL, mixture: Mixture = USUAL_MIXTURE
) -> Source:
    """The samples of a folder, be it photographs with masks or a data set like iHarmony4.

    Args:
        root: The folder.
        split: "train", "val", or "choose": of photographs the half of "val" by which weights are chosen.
        augmentation: What `sample` may change.
        mixture: Of photographs, the kinds of their composites.

    Raises:
        ValueError: If the folder is neither, or a file is missing.
    """
    root = Path(root)
    if not root.is_dir():
        raise ValueError(f"{root}: no such folder.")
    if (root / "images").is_dir():
        return Photographs(root, split, augmentation, mixture)
    if (root / "composite_images").is_dir() or any(root.glob("*/composite_images")):
        return IHarmony4(root, "val" if split == "choose" else split, augmentation=augmentation)
    raise ValueError(
        f"{root}: no pairs here; expected images/ and masks/, or SUBSET/composite_images/, "
        "SUBSET/masks/ and SUBSET/real_images/."
    )


class Stream(Dataset[Sample]):
    """An endless stream of samples, each decided by the seed and its position alone.

    Every epoch visits each index once, in an order of its own. `stream[position, size]` is the sample at `position`,
    `size` pixels square; so a loop that remembers its position can go on where it stopped, in any number of processes.
    An unreadable picture is reported once and another takes its place.

    Args:
        source: Where they come from.
        seed: Of the whole stream.
    """

    def __init__(self, source: Source, seed: int = 0) -> None:
        self.source = source
        self.seed = seed
        self._broken: set[int] = set()
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, int))

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        position, size = key
        epoch, offset = divmod(position, len(self.source))
        rng = np.random.default_rng([self.seed, epoch, offset, 1])
        index = int(self._shuffled(epoch)[offset])
        while True:
            try:
                return self.source.sample(index, rng, size)
            except PictureError as error:
                if index not in self._broken:
                    self._broken.add(index)
                    log.warning("Skipped: %s", error)
                if len(self._broken) == len(self.source):
                    raise
                index = int(rng.integers(len(self.source)))

    def _shuffled(self, epoch: int) -> np.ndarray:
        if self._order[0] != epoch:
            rng = np.random.default_rng([self.seed, epoch])
            self._order = epoch, rng.permutation(len(self.source))
        return self._order[1]


class Batch(NamedTuple):
    """Samples of one size, as the network takes them.

    Attributes:
        composite: float32 `[B, 3, H, W]` in -1..1.
        mask: float32 `[B, 1, H, W]` in 0..1, 1 = foreground.
        real: float32 `[B, 3, H, W]` in -1..1.
    """

    composite: Tensor
    mask: Tensor
    real: Tensor


def collate(samples: list[Sample]) -> Batch:
    """Samples of one size as a batch."""
    masks = torch.from_numpy(np.stack([sample.mask for sample in samples]))
    return Batch(
        composite=_to_tensor([sample.composite for sample in samples]),
        mask=masks[:, None].float() / 255,
        real=_to_tensor([sample.real for sample in samples]),
    )


def _to_tensor(pictures: list[np.ndarray]) -> Tensor:
    """uint8 `[H, W, 3]` each to float32 `[B, 3, H, W]` in -1..1."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
