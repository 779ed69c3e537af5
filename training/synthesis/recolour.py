"""Recolouring a foreground so that it no longer fits its photograph.

A harmonization pair is made backwards: the photograph is the ground truth, and its
foreground, given other colours, is the composite. iHarmony4 (Cong et al., CVPR 2020)
did this with four colour transfers from a reference photograph; they are all here,
beside the edits a person makes with sliders.

Colours are float32 `[N, 3]`, sRGB in 0..1. The transfers may leave that range; `recolour`
clips, and rejects what clips too much.
"""

from __future__ import annotations

import numpy as np

Colours = np.ndarray

# Reinhard et al. 2001, Eq. 4 and 6: RGB to LMS, and log LMS to lαβ.
_RGB_TO_LMS = np.array([[0.3811, 0.5783, 0.0402], [0.1967, 0.7244, 0.0782], [0.0241, 0.1288, 0.8444]], np.float32)
_LMS_TO_LAB = np.array(
    [
        [1 / np.sqrt(3), 1 / np.sqrt(3), 1 / np.sqrt(3)],
        [1 / np.sqrt(6), 1 / np.sqrt(6), -2 / np.sqrt(6)],
        [1 / np.sqrt(2), -1 / np.sqrt(2), 0],
    ],
    np.float32,
)
_LMS_TO_RGB = np.linalg.inv(_RGB_TO_LMS)
_LAB_TO_LMS = np.linalg.inv(_LMS_TO_LAB)

# ITU-R BT.601, full range, chroma around 0.5.
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_RGB_TO_YCC = np.array([_LUMA, [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32)
_YCC_TO_RGB = np.linalg.inv(_RGB_TO_YCC)
_YCC_OFFSET = np.array([0, 0.5, 0.5], np.float32)

MAX_GAIN = 3.0  # a flat foreground must not have its noise stretched without bound
# Calibrated: composites of photographs then have a mean fMSE near iHarmony4's 1387 at 256 px.
MILD_SHARE, MILD_BLEND, FULL_BLEND = 0.15, (0.1, 0.4), (0.6, 1.0)
MAX_CLIPPED = 0.15  # share of foreground pixels that may leave 0..1
MAX_SPREAD = 3.0  # how far a YCbCr channel may be stretched before noise and blocks show
CHANGE_RANGE = (0.015, 0.28)  # RMS change of the foreground, 0..1


def rgb_to_lab(colours: Colours) -> Colours:
    """SRGB to the decorrelated lαβ space of Ruderman et al. (natural logarithm)."""
    lms = np.maximum(colours, 1 / 255) @ _RGB_TO_LMS.T
    return np.log(lms) @ _LMS_TO_LAB.T


def lab_to_rgb(colours: Colours) -> Colours:
    """lαβ back to sRGB."""
    return np.exp(colours @ _LAB_TO_LMS.T) @ _LMS_TO_RGB.T


def rgb_to_ycbcr(colours: Colours) -> Colours:
    """SRGB to full-range YCbCr (BT.601), each in 0..1."""
    return colours @ _RGB_TO_YCC.T + _YCC_OFFSET


def ycbcr_to_rgb(colours: Colours) -> Colours:
    """Full-range YCbCr back to sRGB."""
    return (colours - _YCC_OFFSET) @ _YCC_TO_RGB.T


def match_statistics(foreground: Colours, reference: Colours) -> Colours:
    """Mean and standard deviation of each lαβ channel (Reinhard et al., 2001)."""
    source, target = rgb_to_lab(foreground), rgb_to_lab(reference)
    gain = np.minimum(target.std(0) / np.maximum(source.std(0), 1e-6), MAX_GAIN)
    return lab_to_rgb((source - source.mean(0)) * gain + target.mean(0))


def match_covariance(foreground: Colours, reference: Colours) -> Colours:
    """Mean and covariance in RGB (Xiao and Ma, 2006).

    Their method leaves the sign of each principal axis open; here it is the one that keeps
    foreground and reference axes within 90 degrees, so that no axis is inverted.
    """
    source_spread, source_axes = _principal_axes(foreground)
    target_spread, target_axes = _principal_axes(reference)
    sign = np.where((source_axes * target_axes).sum(0) < 0, -1, 1)
    gain = sign * np.minimum(target_spread / source_spread, MAX_GAIN)
    transform = (source_axes * gain) @ target_axes.T
    return (foreground - foreground.mean(0)) @ transform.astype(np.float32) + reference.mean(0)


def _principal_axes(colours: Colours) -> tuple[np.ndarray, np.ndarray]:
    centred = colours - colours.mean(0)
    covariance = (centred.T @ centred).astype(np.float64) / len(colours)
    variances, axes = np.linalg.eigh(covariance)
    return np.sqrt(np.maximum(variances, 1e-10)), axes


def match_histograms(foreground: Colours, reference: Colours) -> Colours:
    """Cumulative histogram of each YCbCr channel, 256 levels (Fecker et al., 2008)."""
    source, target = rgb_to_ycbcr(foreground), rgb_to_ycbcr(reference)
    mapped = np.empty_like(source)
    for channel in range(3):
        old, share = _cumulative_histogram(source[:, channel])
        new, reference_share = _cumulative_histogram(target[:, channel])
        curve = np.interp(share, reference_share, new)
        mapped[:, channel] = np.interp(source[:, channel], old, curve)
    return ycbcr_to_rgb(mapped)


def _cumulative_histogram(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The 8-bit levels that occur, in 0..1, and the share of values at or below each."""
    counts = np.bincount(np.clip(values * 255 + 0.5, 0, 255).astype(np.intp), minlength=256)
    levels = np.flatnonzero(counts)
    return levels / 255, np.cumsum(counts[levels]) / len(values)


def match_distribution(
    foreground: Colours, reference: Colours, rng: np.random.Generator, iterations: int = 6
) -> Colours:
    """Iterative distribution transfer in RGB (Pitié et al., 2005).

    In each of `iterations` random orthonormal bases the three marginal distributions are
    matched one by one, each through 64 quantiles; the joint distributions converge.
    """
    colours = foreground
    few = rng.integers(len(foreground), size=2048) if len(foreground) > 2048 else slice(None)
    for basis in _random_bases(rng, iterations):
        source, target = colours @ basis, reference @ basis
        old, new = _quantiles(source[few]), _quantiles(target)
        for axis in range(3):
            source[:, axis] = np.interp(source[:, axis], old[:, axis], new[:, axis])
        colours = source @ basis.T
    return colours


def _random_bases(rng: np.random.Generator, count: int) -> np.ndarray:
    """`count` orthonormal bases, the first of them RGB itself."""
    bases, _ = np.linalg.qr(rng.standard_normal((count, 3, 3)))
    bases[0] = np.eye(3)
    return bases.astype(np.float32)


def _quantiles(values: np.ndarray, count: int = 64) -> np.ndarray:
    ordered = np.sort(values, axis=0)
    return ordered[np.linspace(0, len(ordered) - 1, count).round().astype(np.intp)]


def change_exposure(colours: Colours, stops: float) -> Colours:
    """Brighter or darker by `stops` in linear light (display gamma 2.2)."""
    return colours * np.float32(2 ** (stops / 2.2))


def change_white_balance(colours: Colours, temperature: float, tint: float) -> Colours:
    """Channel gains that keep the luma of grey; positive is warmer and more magenta."""
    gains = np.exp([temperature + tint / 2, -tint, tint / 2 - temperature]).astype(np.float32)
    return colours * (gains / (gains @ _LUMA))


def change_gamma(colours: Colours, gamma: float) -> Colours:
    """Power law; under 1 brightens."""
    return np.maximum(colours, 0) ** np.float32(gamma)


def change_contrast(colours: Colours, factor: float) -> Colours:
    """Distance from the foreground's mean luma, times `factor`."""
    pivot = (colours @ _LUMA).mean()
    return (colours - pivot) * np.float32(factor) + pivot


def change_saturation(colours: Colours, factor: float) -> Colours:
    """Distance from each pixel's own luma, times `factor`; 0 is grey."""
    luma = (colours @ _LUMA)[:, None]
    return (colours - luma) * np.float32(factor) + luma


def change_tone(colours: Colours, curves: np.ndarray) -> Colours:
    """A tone curve for each channel: `curves` is `[3, K]`, values at K even steps of 0..1."""
    steps = np.linspace(0, 1, curves.shape[1])
    return np.stack([np.interp(colours[:, c], steps, curves[c]) for c in range(3)], axis=1).astype(np.float32)


def edit(colours: Colours, rng: np.random.Generator) -> Colours:
    """Some slider edits of random kind and amount, as a retoucher would stack them."""
    chosen = rng.random(6) < 0.45
    if not chosen.any():
        chosen[rng.integers(6)] = True
    exposure, balance, gamma, contrast, saturation, tone = chosen
    if exposure:
        colours = change_exposure(colours, rng.uniform(-1.5, 1.2))
    if balance:
        colours = change_white_balance(colours, rng.normal(0, 0.18), rng.normal(0, 0.08))
    if gamma:
        colours = change_gamma(colours, np.exp(rng.normal(0, 0.35)))
    if contrast:
        colours = change_contrast(colours, np.exp(rng.normal(0, 0.3)))
    if saturation:
        colours = change_saturation(colours, np.exp(rng.normal(0, 0.5)))
    if tone:
        colours = change_tone(colours, _random_curves(rng))
    return colours


def _random_curves(rng: np.random.Generator, knots: int = 5) -> np.ndarray:
    """Monotone curves, alike in the three channels but not equal."""
    steps = np.exp(rng.normal(0, 0.5, (1, knots)) + rng.normal(0, 0.15, (3, knots)))
    ends = np.sort(rng.uniform([0, 0.85], [0.15, 1]))
    rise = np.cumsum(steps, axis=1)
    rise = np.concatenate([np.zeros((3, 1)), rise / rise[:, -1:]], axis=1)
    return ends[0] + rise * (ends[1] - ends[0])


def recolour(image: np.ndarray, mask: np.ndarray, reference: Colours, rng: np.random.Generator) -> np.ndarray | None:
    """Give the foreground other colours, by one method of five and a random blend.

    Args:
        image: float32 `[H, W, 3]` in 0..1.
        mask: bool `[H, W]`, true where the foreground is; not empty.
        reference: float32 `[M, 3]` in 0..1, colours of another photograph.
        rng: decides everything; the same state gives the same composite.

    Returns:
        The composite, float32 `[H, W, 3]` in 0..1 and equal to `image` outside the mask, or
        None where the result is implausible: more than `MAX_CLIPPED` of the foreground left
        0..1, its RMS change lies outside `CHANGE_RANGE`, or a channel was stretched more than
        `MAX_SPREAD` times.
    """
    foreground = image[mask]
    method = rng.integers(5)
    if method == 0:
        colours = match_statistics(foreground, reference)
    elif method == 1:
        colours = match_covariance(foreground, reference)
    elif method == 2:
        colours = match_histograms(foreground, reference)
    elif method == 3:
        colours = match_distribution(foreground, reference, rng)
    else:
        colours = edit(foreground, rng)
    blend = rng.uniform(*(MILD_BLEND if rng.random() < MILD_SHARE else FULL_BLEND))
    change = np.float32(blend) * (colours - foreground)
    colours = foreground + change
    outside = (np.abs(colours - 0.5) > 0.5 + 0.5 / 255).any(axis=1)
    if outside.mean() > MAX_CLIPPED:
        return None
    colours = np.clip(colours, 0, 1)
    amount = np.sqrt(np.mean((colours - foreground) ** 2))
    if not CHANGE_RANGE[0] <= amount <= CHANGE_RANGE[1]:
        return None
    spread = rgb_to_ycbcr(foreground).std(0)
    if (rgb_to_ycbcr(colours).std(0) > MAX_SPREAD * spread + 0.01).any():
        return None
    composite = image.copy()
    composite[mask] = colours
    return composite
