"""Classical colour transfer as harmonization: the foreground takes the background's statistics.

Each function takes a composite, float `[H,W,3]` in 0..1, and a foreground, boolean `[H,W]`, and returns
the picture with its foreground recoloured. The background is the reference. Where the statistics of a region
are degenerate (a single colour, too few pixels), the composite's own colours stay.
"""

from collections.abc import Callable

import numpy as np


def reinhard(composite: np.ndarray, foreground: np.ndarray) -> np.ndarray:
    """Mean and deviation in lαβ (Reinhard et al., "Color Transfer between Images", 2001), by color-matcher."""
    return _recolour(composite, foreground, lambda own, reference: _color_matcher(own, reference, "reinhard"))


def mkl(composite: np.ndarray, foreground: np.ndarray) -> np.ndarray:
    """Monge-Kantorovich linear map of mean and covariance (Pitié and Kokaram, 2007), by color-matcher."""
    return _recolour(composite, foreground, lambda own, reference: _color_matcher(own, reference, "mkl"))


def histogram(composite: np.ndarray, foreground: np.ndarray) -> np.ndarray:
    """Cumulative histogram matching for each channel, by scikit-image."""
    from skimage.exposure import match_histograms

    return _recolour(composite, foreground, lambda own, reference: match_histograms(own, reference, channel_axis=-1))


BASELINES = {"reinhard": reinhard, "mkl": mkl, "histogram": histogram}


def _recolour(composite: np.ndarray, foreground: np.ndarray, transfer: Callable) -> np.ndarray:
    """Applies `transfer(own, reference)` on pixel lists `[N,1,3]` to the foreground."""
    result = composite.copy()
    own = composite[foreground][:, None].astype(np.float64)
    reference = composite[~foreground][:, None].astype(np.float64)
    if min(len(own), len(reference)) < 2:
        return result
    with np.errstate(divide="ignore", invalid="ignore"):
        changed = transfer(own.copy(), reference)
    result[foreground] = np.where(np.isfinite(changed), changed, own)[:, 0].clip(0, 1)
    return result


def _color_matcher(own: np.ndarray, reference: np.ndarray, method: str) -> np.ndarray:
    from color_matcher import ColorMatcher

    # Rounding can leave the eigenvalues of a covariance a vanishing imaginary part.
    return np.real(ColorMatcher().transfer(src=own, ref=reference, method=method))
