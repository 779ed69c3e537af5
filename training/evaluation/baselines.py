"""Classical colour transfer as harmonization: the foreground takes the background's statistics.

Each function takes a composite, float `[H,W,3]` in 0..1, and a foreground, boolean `[H,W]`, and returns
the picture with its foreground recoloured. The background is the reference. Where the statistics of a region
are degenerate (a single colour, too few pixels), the composite's own colours stay.
"""

from collections.abc import Callable

import numpy as np

from ..synthesis.recolour import lab_to_rgb, rgb_to_lab


def reinhard(composite: np.ndarray, foreground: np.ndarray) -> np.ndarray:
    """Mean and deviation of each lαβ channel (Reinhard et al., "Color Transfer between Images", 2001)."""

    def transfer(own: np.ndarray, reference: np.ndarray) -> np.ndarray:
        source, target = (rgb_to_lab(colours[:, 0]) for colours in (own, reference))
        gain = target.std(0) / source.std(0)
        return lab_to_rgb((source - source.mean(0)) * gain + target.mean(0))[:, None]

    return _recolour(composite, foreground, transfer)


def mkl(composite: np.ndarray, foreground: np.ndarray) -> np.ndarray:
    """Monge-Kantorovich linear map of mean and covariance (Pitié and Kokaram, 2007, Eq. 10)."""
    return _recolour(composite, foreground, lambda own, reference: linear_map(own[:, 0], reference[:, 0])[:, None])


def linear_map(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Colours `[N,3]` with the mean and covariance of other colours `[M,3]`; see `mkl`."""
    root = _power(np.cov(source.T), 0.5)
    back = _power(np.cov(source.T), -0.5)
    linear = back @ _power(root @ np.cov(target.T) @ root, 0.5) @ back
    return (source - source.mean(0)) @ linear + target.mean(0)


def _power(matrix: np.ndarray, exponent: float) -> np.ndarray:
    """A power of a symmetric positive matrix; of a degenerate one, not finite where negative."""
    values, axes = np.linalg.eigh(matrix)
    return (axes * np.maximum(values, 0) ** exponent) @ axes.T


def histogram(composite: np.ndarray, foreground: np.ndarray) -> np.ndarray:
    """Cumulative histogram matching for each channel, by scikit-image."""
    from skimage.exposure import match_histograms

    return _recolour(composite, foreground, lambda own, reference: match_histograms(own, reference, channel_axis=-1))


def seam_fit(composite: np.ndarray, foreground: np.ndarray) -> np.ndarray:
    """The affine map from inside to outside of the mask's edge, wherever there is one; `hdnet.harmonize.seam`."""
    import torch

    from ...hdnet.harmonize.seam import fit_seam, seam_pairs

    result = composite.copy()
    fit = fit_seam(seam_pairs(torch.from_numpy(np.float32(composite)), torch.from_numpy(np.float32(foreground))))
    if fit is not None:
        matrix = fit.matrix.numpy()
        own = composite[foreground]
        result[foreground] = (own + own @ matrix[:, :3].T + matrix[:, 3]).clip(0, 1)
    return result


BASELINES = {"reinhard": reinhard, "mkl": mkl, "histogram": histogram, "seam fit": seam_fit}


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
