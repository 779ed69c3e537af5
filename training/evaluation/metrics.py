"""Measures of a harmonized picture against the real one.

All of them read 8-bit pictures: a prediction is rounded before it is judged, as the published evaluations do.
"""

from typing import NamedTuple

import numpy as np

from ..sample import is_foreground

SPECKLE_REACH, SPECKLE_LEVELS = 9, 16  # pixels from the mask's edge; growth of a pixel's distance to its neighbours
IDENTICAL_PSNR = 100.0
"""PSNR in dB that equal pictures are given, so that the mean over a set stays finite."""


class Metrics(NamedTuple):
    """What one picture scores, or the mean over several.

    Attributes:
        mse: Mean squared error over all pixels and channels, on the scale 0..255.
        psnr: Peak signal-to-noise ratio in dB, peak 255.
        fmse: Mean squared error over the pixels of the foreground alone, on the scale 0..255.
        ssim: Structural similarity, at most 1; NaN where it was not asked for.
    """

    mse: float
    psnr: float
    fmse: float
    ssim: float


def to_8bit(image: np.ndarray) -> np.ndarray:
    """Rounds a picture in 0..1 to uint8, clipping what lies outside."""
    return np.rint(np.clip(image, 0.0, 1.0) * 255.0).astype(np.uint8)


def mse(prediction: np.ndarray, real: np.ndarray) -> float:
    """Mean squared error of two uint8 pictures `[H,W,3]`, on the scale 0..255."""
    return float(_squared_error(prediction, real).mean())


def psnr(prediction: np.ndarray, real: np.ndarray) -> float:
    """Peak signal-to-noise ratio of two uint8 pictures `[H,W,3]` in dB, at most `IDENTICAL_PSNR`."""
    return _decibels(mse(prediction, real))


def fmse(prediction: np.ndarray, real: np.ndarray, foreground: np.ndarray) -> float:
    """Mean squared error over the foreground of two uint8 pictures `[H,W,3]`, on the scale 0..255.

    Where the background of both is the same, this is MSE·H·W / (pixels of the foreground).

    Args:
        prediction: The one to judge.
        real: The truth.
        foreground: Boolean `[H,W]`, true where the foreground lies.

    Raises:
        ValueError: If the foreground is empty.
    """
    return _over_foreground(_squared_error(prediction, real), foreground)


def ssim(prediction: np.ndarray, real: np.ndarray) -> float:
    """Structural similarity of two uint8 pictures `[H,W,3]` (window 7×7, data range 255), mean over the channels.

    Raises:
        ValueError: If a side is shorter than the window.
    """
    from skimage.metrics import structural_similarity

    return float(structural_similarity(prediction, real, channel_axis=-1, data_range=255))


def speckle(before: np.ndarray, after: np.ndarray, mask: np.ndarray) -> float:
    """Share of the pixels near the mask's edge that a change has made stand out: dots, torn and ringing edges.

    A pixel stands out by its distance to the median of its 3x3 neighbourhood, in its worst channel. Counted are those
    where that grew by more than 16 levels, among those within 9 pixels of the edge whose neighbourhood is all inside.
    A constant offset scores 0.

    Args:
        before: uint8 `[H,W,3]`, the composite.
        after: uint8 `[H,W,3]`, the result.
        mask: uint8 `[H,W]`; above 250 is inside, the edge is at 127.

    Returns:
        0..1; 0 where no pixel is near the edge.
    """
    grown, near = standing_out(before, after, mask)
    return float((grown[near] > SPECKLE_LEVELS).mean()) if near.any() else 0.0


def standing_out(before: np.ndarray, after: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How much more each pixel stands out than it did, and which pixels `speckle` counts.

    Returns:
        int16 `[H,W]`, 0 away from the edge, and boolean `[H,W]`.
    """
    from scipy.ndimage import distance_transform_edt, median_filter, minimum_filter

    near = (minimum_filter(mask, 3) > 250) & (distance_transform_edt(is_foreground(mask)) <= SPECKLE_REACH)
    grown = np.zeros(mask.shape, np.int16)
    if not near.any():
        return grown, near
    rows, columns = np.nonzero(near)
    box = slice(max(0, rows.min() - 1), rows.max() + 2), slice(max(0, columns.min() - 1), columns.max() + 2)

    def distance(picture: np.ndarray) -> np.ndarray:
        values = picture[box].astype(np.int16)
        return np.abs(values - median_filter(values, (3, 3, 1)))

    grown[box] = (distance(after) - distance(before)).max(-1) * near[box]
    return grown, near


def measure(prediction: np.ndarray, real: np.ndarray, foreground: np.ndarray, *, with_ssim: bool = True) -> Metrics:
    """All measures of one picture.

    Args:
        prediction: uint8 `[H,W,3]`, blended.
        real: uint8 `[H,W,3]`.
        foreground: Boolean `[H,W]`.
        with_ssim: SSIM takes longer than the rest together; without it, it is NaN.
    """
    error = _squared_error(prediction, real)
    mean = float(error.mean())
    return Metrics(
        mse=mean,
        psnr=_decibels(mean),
        fmse=_over_foreground(error, foreground),
        ssim=ssim(prediction, real) if with_ssim else float("nan"),
    )


def average(scores: list[Metrics]) -> Metrics:
    """Mean of each measure over pictures, every picture counting the same; NaN where there are none."""
    if not scores:
        return Metrics(*(float("nan"),) * 4)
    return Metrics(*(float(value) for value in np.mean(scores, axis=0)))


def worse_fraction(before: list[Metrics], after: list[Metrics]) -> float:
    """Share of the pictures, 0..1, whose fMSE rose; NaN where there are none."""
    if not before:
        return float("nan")
    return float(np.mean([b.fmse < a.fmse for b, a in zip(before, after, strict=True)]))


def _squared_error(prediction: np.ndarray, real: np.ndarray) -> np.ndarray:
    if prediction.dtype != np.uint8 or real.dtype != np.uint8:
        raise ValueError(f"metrics compare 8-bit pictures, got {prediction.dtype} and {real.dtype}: round with to_8bit")
    if prediction.shape != real.shape:
        raise ValueError(f"pictures of different shapes: {prediction.shape} and {real.shape}")
    difference = prediction.astype(np.int32) - real.astype(np.int32)
    return difference * difference


def _over_foreground(error: np.ndarray, foreground: np.ndarray) -> float:
    if not foreground.any():
        raise ValueError("the mask is empty at this size, so there is no foreground to measure")
    return float(error[foreground].mean())


def _decibels(mean_squared_error: float) -> float:
    if mean_squared_error == 0:
        return IDENTICAL_PSNR
    return min(IDENTICAL_PSNR, float(10 * np.log10(255.0**2 / mean_squared_error)))
