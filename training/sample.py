"""What a training sample is, and what gives samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image

THRESHOLD = 127  # of a mask in 0..255: what lies above is foreground


@dataclass(frozen=True, eq=False)
class Sample:
    """A composite with its mask and its ground truth, all of one size.

    Attributes:
        composite: uint8 `[H, W, 3]`, whose foreground is to be harmonized.
        mask: uint8 `[H, W]`, 255 = foreground.
        real: uint8 `[H, W, 3]`, the ground truth.
    """

    composite: np.ndarray
    mask: np.ndarray
    real: np.ndarray

    @classmethod
    def of_images(cls, composite: Image.Image, mask: Image.Image, real: Image.Image) -> Sample:
        """The sample of Pillow images: RGB, greyscale and RGB."""
        return cls(np.asarray(composite), np.asarray(mask), np.asarray(real))

    @property
    def foreground(self) -> np.ndarray:
        """Boolean `[H, W]`."""
        return is_foreground(self.mask)

    def flipped(self) -> Sample:
        """The sample with left and right exchanged."""
        return Sample(*(np.ascontiguousarray(each[:, ::-1]) for each in (self.composite, self.mask, self.real)))


def is_foreground(mask: np.ndarray) -> np.ndarray:
    """Boolean `[H, W]` of a mask, uint8 `[H, W]`."""
    return mask > THRESHOLD


def to_mask(foreground: np.ndarray) -> np.ndarray:
    """A mask, uint8 `[H, W]`, of a boolean `[H, W]`."""
    return np.where(foreground, np.uint8(255), np.uint8(0))


class Source(Protocol):
    """Gives samples by their index; raises PictureError where a file of one cannot be read."""

    def __len__(self) -> int: ...

    def sample(self, index: int, rng: np.random.Generator, size: int) -> Sample:
        """Sample `index`, augmented, `size` pixels square; `rng` decides everything."""

    def whole(self, index: int, rng: np.random.Generator, size: int | None = None) -> Sample:
        """Sample `index` of the whole picture; resized to a square of `size` pixels, or of its own size where None."""
