"""What a training pair is, and how pairs come as an endless stream of batches.

A pair is a dictionary of uint8 arrays: `composite` and `real` `[H, W, 3]`, `mask` `[H, W]`
(255 = foreground). A source of pairs has a length and `sample(index, rng, size)`.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import torch

from ...files.training_images import PictureError
from ..synthesis.augment import USUAL, Augmentation
from .iharmony4 import IHarmony4
from .photos import Photographs

log = logging.getLogger(__name__)


def open_source(
    root: str | Path,
    split: str = "train",
    augmentation: Augmentation = USUAL,
    untouched: float = 0.05,
    pasted: float = 0.0,
    camera: float = 0.7,
) -> Photographs | IHarmony4:
    """The pairs of a folder, be it photographs with masks or a data set like iHarmony4.

    Args:
        split: "train", "val", or "choose": of photographs the half of "val" by which weights are chosen.
        augmentation: what `sample` may change.
        untouched, pasted, camera: of photographs, the kinds of their pairs; see `Photographs`.

    Raises:
        ValueError: when the folder is neither, or a file is missing.
    """
    root = Path(root)
    if not root.is_dir():
        raise ValueError(f"{root}: no such folder.")
    if (root / "images").is_dir():
        return Photographs(root, split, augmentation, untouched, pasted, camera)
    if (root / "composite_images").is_dir() or any(root.glob("*/composite_images")):
        return IHarmony4(root, "val" if split == "choose" else split, augmentation=augmentation)
    raise ValueError(
        f"{root}: no pairs here; expected images/ and masks/, or SUBSET/composite_images/, "
        "SUBSET/masks/ and SUBSET/real_images/."
    )


class Stream:
    """An endless stream of pairs, each decided by the seed and its position alone.

    Every pass visits each index once, in an order of its own. `stream[position, size]` is
    the pair at `position`, `size` pixels square; so a loop that remembers its position can
    go on where it stopped, in any number of processes. An unreadable picture is reported
    once and another takes its place.

    Args:
        source: has `__len__` and `sample(index, rng, size)`.
        seed: of the whole stream.
    """

    def __init__(self, source, seed: int = 0):
        self.source = source
        self.seed = seed
        self._broken: set[int] = set()
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, int))

    def __getitem__(self, key: tuple[int, int]) -> dict[str, np.ndarray]:
        position, size = key
        epoch, offset = divmod(position, len(self.source))
        rng = np.random.default_rng([self.seed, epoch, offset, 1])
        index = self._shuffled(epoch)[offset]
        while True:
            try:
                return self.source.sample(int(index), rng, size)
            except PictureError as error:
                if index not in self._broken:
                    self._broken.add(index)
                    log.warning("Skipped: %s", error)
                if len(self._broken) == len(self.source):
                    raise
                index = rng.integers(len(self.source))

    def _shuffled(self, epoch: int) -> np.ndarray:
        if self._order[0] != epoch:
            rng = np.random.default_rng([self.seed, epoch])
            self._order = epoch, rng.permutation(len(self.source))
        return self._order[1]


def collate(pairs: list[dict[str, np.ndarray]]) -> dict[str, torch.Tensor]:
    """Pairs of one size as a batch: pictures float32 `[B, 3, H, W]` in -1..1, mask in 0..1."""
    batch = {}
    for name in ("composite", "mask", "real"):
        array = torch.from_numpy(np.stack([pair[name] for pair in pairs]))
        if name == "mask":
            batch[name] = array[:, None].float() / 255
        else:
            batch[name] = array.permute(0, 3, 1, 2).float() / 127.5 - 1
    return batch
