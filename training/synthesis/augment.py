"""Random changes to a sample that a harmonizer must not mind."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageFilter
from scipy.ndimage import distance_transform_edt, gaussian_filter

from ...files.training_images import Box
from ..sample import Sample, is_foreground

FOREGROUND_RANGE = (0.01, 0.8)  # share of the picture, after cropping
RIM = (1 / 128, 2 / 128)  # of the shorter side; so far the object's colours reach into the background
EDGE = (0.2, 0.7)  # pixels; resizing a hard rim by area leaves about 0.4


@dataclass(frozen=True)
class Augmentation:
    """How often each change is made, as a probability.

    Attributes:
        crop: A random part of the picture instead of all of it.
        flip: Left and right exchanged.
        mask_jitter: The mask grown, shrunk or softened, as a segmenter or a brush would.
        loose_region: Colours are changed in a region larger or smaller than the mask. Where the two are
            always the same, the pixels of the object just outside the mask keep their true colour,
            and a network learns to read the answer there, which no real composite offers.
        soft_edge: The colours change gradually across the rim, over about a pixel, as in every composite that
            was made larger and then resized. A network that has only seen hard rims fails on those.
        clean_rim: The background's own colours next to the object, where a photograph mixes in the object's: the
            other way to read the answer outside the mask. Pasted objects leave no such trace.
        jpeg: The composite re-encoded as JPEG, so that its background differs from the real one.
    """

    crop: float = 1.0
    flip: float = 0.5
    mask_jitter: float = 0.0
    loose_region: float = 0.5
    soft_edge: float = 0.65
    clean_rim: float = 0.5
    jpeg: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value <= 1:
                raise ValueError(f"Augmentation {name} must be a probability in 0..1, not {value}.")

    def box(self, mask: Image.Image, rng: np.random.Generator) -> Box | None:
        """The part of the picture to use; None for all of it."""
        return random_crop(mask, rng) if rng.random() < self.crop else None

    def region(self, mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Where the colours of a photograph are changed; uint8 `[H, W]` like the mask."""
        return loosen(mask, rng) if rng.random() < self.loose_region else mask

    def edge(self, rng: np.random.Generator) -> float:
        """Over how many pixels the colours change across the rim (standard deviation); 0 for a hard rim."""
        return rng.uniform(*EDGE) if rng.random() < self.soft_edge else 0.0

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Flip, clean the rim, jitter the mask and re-encode the composite, each by its chance."""
        if rng.random() < self.flip:
            sample = sample.flipped()
        if rng.random() < self.clean_rim:
            sample = clean_rim(sample, rng.uniform(*RIM) * min(sample.mask.shape))
        if rng.random() < self.mask_jitter:
            sample = replace(sample, mask=jitter_mask(sample.mask, rng))
        if rng.random() < self.jpeg:
            sample = replace(sample, composite=reencode(sample.composite, int(rng.integers(60, 98))))
        return sample


USUAL = Augmentation()
NONE = Augmentation(crop=0, flip=0, loose_region=0, soft_edge=0, clean_rim=0)


def random_crop(mask: Image.Image, rng: np.random.Generator) -> Box | None:
    """A box of 0.4-1 of the area that keeps a useful share of foreground, or None.

    Its shape lies between the picture's, which is then squashed to a square as in the
    paper's evaluation, and a square, whose proportions stay, as when a picture is harmonized.
    """
    width, height = mask.size
    foreground = is_foreground(np.asarray(mask))
    for _ in range(10):
        area = rng.uniform(0.4, 1) * width * height
        aspect = (width / height) ** rng.random() * math.exp(rng.uniform(-0.3, 0.3))
        w = min(width, max(1, round(math.sqrt(area * aspect))))
        h = min(height, max(1, round(math.sqrt(area / aspect))))
        x, y = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
        share = np.count_nonzero(foreground[y : y + h, x : x + w]) / (w * h)
        if FOREGROUND_RANGE[0] <= share <= FOREGROUND_RANGE[1]:
            return x, y, x + w, y + h
    return None


def jitter_mask(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Grow or shrink a mask by up to 2 % of its shorter side, and soften every second one.

    Args:
        mask: uint8 `[H, W]`.
        rng: Decides everything.

    Returns:
        uint8 `[H, W]`, grey where softened; `mask` itself where nothing or all would be left.
    """
    reach = max(1, round(0.02 * min(mask.shape)))
    radius = int(rng.integers(-reach, reach + 1))
    image = Image.fromarray(mask)
    if radius:
        grow = ImageFilter.MaxFilter if radius > 0 else ImageFilter.MinFilter
        image = image.filter(grow(2 * abs(radius) + 1))
    if rng.random() < 0.5:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, reach)))
    changed = np.asarray(image)
    return changed if _has_both_regions(changed) else mask


def loosen(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Grow a mask by up to 3 % of its shorter side, or shrink it, one time in four; uint8 `[H, W]`."""
    radius = int(rng.integers(1, max(2, round(0.03 * min(mask.shape))) + 1))
    grow = ImageFilter.MaxFilter if rng.random() < 0.75 else ImageFilter.MinFilter
    changed = np.asarray(Image.fromarray(mask).filter(grow(2 * radius + 1)))
    return changed if _has_both_regions(changed) else mask


def _has_both_regions(mask: np.ndarray) -> bool:
    """Whether there is foreground and background."""
    foreground = is_foreground(mask)
    return bool(foreground.any()) and not bool(foreground.all())


def soften_edge(image: np.ndarray, changed: np.ndarray, inside: np.ndarray, sigma: float) -> np.ndarray:
    """Lets a change of colours fade across the rim, as resizing a larger composite does.

    Args:
        image: Float32 `[H, W, 3]`, before the change.
        changed: Float32 `[H, W, 3]`, after it; equal to `image` outside.
        inside: Boolean `[H, W]`, where the colours were changed.
        sigma: Standard deviation of the fading, in pixels.

    Returns:
        float32 `[H, W, 3]`. Just outside, the change is that of the neighbours inside, by their share.
    """
    change = changed - image
    share = gaussian_filter(inside.astype(np.float32), sigma, truncate=3)[..., None]
    spread = gaussian_filter(change, (sigma, sigma, 0), truncate=3)
    return np.clip(image + np.where(inside[..., None], share * change, spread), 0, 1)


def clean_rim(sample: Sample, width: float) -> Sample:
    """Continues the background up to the mask: nearer than `width` pixels, its colours are those just beyond.

    The sample is returned as it is where no background lies beyond.
    """
    distance = distance_transform_edt(~sample.foreground)
    beyond = distance > width
    if not beyond.any():
        return sample
    rim = (distance > 0) & ~beyond
    rows, columns = distance_transform_edt(~beyond, return_distances=False, return_indices=True)

    def cleaned(picture: np.ndarray) -> np.ndarray:
        result = picture.copy()
        result[rim] = picture[rows[rim], columns[rim]]
        return result

    return replace(sample, composite=cleaned(sample.composite), real=cleaned(sample.real))


def reencode(picture: np.ndarray, quality: int) -> np.ndarray:
    """An RGB picture, uint8 `[H, W, 3]`, as it returns from a JPEG of this quality."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))
