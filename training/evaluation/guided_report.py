"""Judges the transfer of light beside what people do today, on the cases of `guided`."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from .baselines import linear_map
from .guided import GuidedCase, GuidedPair
from .metrics import SPECKLE_LEVELS, psnr, to_8bit

RADII = (2, 4, 8, 16, 32, 64)  # pixels of frequency separation, of which the best is taken for each picture
WINDOW, RIDGE = 16, 1e-4  # of the guided filter: pixels to either side, pull of a flat map
OURS, SEPARATION = "transfer of light", "frequency separation"
HALO_UNIT = 160  # of these make up the side of a square picture; the width of what counts as a band
HALO_REACH, EDGES = 4, 0.05  # units to either side of an edge; share of the picture that counts as edges
LUMA = np.array([0.299, 0.587, 0.114], np.float32)

ToLight = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Image float32 `[H,W,3]` and guide `[H,W,3]`, enlarged to its size, in 0..1, to the image in the guide's light."""


def frequency_separation(image: np.ndarray, guide: np.ndarray, radius: float) -> np.ndarray:
    """The guide's low frequencies and the image's high ones ("detail transfer")."""
    import cv2

    return image + cv2.GaussianBlur(guide - image, (0, 0), radius)


def guided_filter(image: np.ndarray, guide: np.ndarray) -> np.ndarray:
    """For each channel the guide as a locally linear function of the image (He et al., 2013)."""
    import cv2

    def mean(plane: np.ndarray) -> np.ndarray:
        return cv2.boxFilter(plane, -1, (2 * WINDOW + 1, 2 * WINDOW + 1))

    own, its = mean(image), mean(guide)
    gain = (mean(image * guide) - own * its) / (mean(image * image) - own * own + RIDGE)
    return mean(gain) * image + mean(its - gain * own)


def mkl(image: np.ndarray, guide: np.ndarray) -> np.ndarray:
    """Mean and covariance of the guide (Pitié and Kokaram, 2007)."""
    return linear_map(image.reshape(-1, 3), guide.reshape(-1, 3)).reshape(image.shape)


def histogram(image: np.ndarray, guide: np.ndarray) -> np.ndarray:
    """Histograms of the guide, for each channel."""
    from skimage.exposure import match_histograms

    return match_histograms(image, guide, channel_axis=-1)


BASELINES: dict[str, ToLight] = {"guided filter": guided_filter, "MKL": mkl, "histogram": histogram}


def judge(pair: GuidedPair) -> dict:
    """Judges the input, the guide, each baseline and ours.

    Returns:
        `psnr`, `halo` and `speckle`, each a figure by method: PSNR in dB over all pixels, see :func:`halo` and
        :func:`speckle`; and `IoU` of what the guide replaced, where it did.
    """
    import cv2
    import torch

    from ...hdnet import LightTransfer

    image, guide = (each.astype(np.float32) / 255 for each in (pair.image, pair.guide))
    enlarged = cv2.resize(guide, image.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    separated = [to_8bit(frequency_separation(image, enlarged, radius)) for radius in RADII]
    seen: dict = {}
    tensors = (torch.from_numpy(each)[None] for each in (image, guide))
    result = LightTransfer()(*tensors, compared=seen.__setitem__)
    results = {
        "image": pair.image,
        "guide": to_8bit(enlarged),
        SEPARATION: max(separated, key=lambda each: psnr(each, pair.real)),
        **{name: to_8bit(to_light(image, enlarged)) for name, to_light in BASELINES.items()},
        OURS: to_8bit(result[0].numpy()),
    }
    figures: dict = {
        "psnr": {name: psnr(each, pair.real) for name, each in results.items()},
        "halo": {name: halo(each, pair.real) for name, each in results.items()},
        "speckle": {name: speckle(pair.image, each, pair.real) for name, each in results.items()},
    }
    if pair.replaced.any():
        changed = seen[0].difference(pair.replaced.shape).numpy() > 0.5
        figures["IoU"] = float((changed & pair.replaced).sum() / (changed | pair.replaced).sum())
    return figures


def halo(result: np.ndarray, real: np.ndarray) -> float:
    """Bright and dark bands along edges: the error's, of luma, beside the strongest edges of the true picture.

    The error is filtered by a difference of Gaussians, so that neither texture nor a shift of tone counts.

    Args:
        result: uint8 `[H,W,3]`.
        real: uint8 `[H,W,3]`, the truth.

    Returns:
        RMS, 0..255.
    """
    import cv2

    unit = np.sqrt(result.shape[0] * result.shape[1]) / HALO_UNIT

    def blurred(plane: np.ndarray, sigma: float) -> np.ndarray:
        return cv2.GaussianBlur(plane, (0, 0), sigma * unit)

    own, true = (each.astype(np.float32) @ LUMA for each in (result, real))
    smooth = blurred(true, 1)
    slope = np.hypot(cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1))
    edges = (slope >= np.quantile(slope, 1 - EDGES)).astype(np.uint8)
    reach = 2 * round(HALO_REACH * unit) + 1
    beside = cv2.dilate(edges, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))) > 0
    error = own - true
    bands = blurred(error, 1) - blurred(error, 4)
    return float(np.sqrt(np.mean(bands[beside] ** 2)))


def speckle(image: np.ndarray, result: np.ndarray, real: np.ndarray) -> float:
    """Dots: share of the pixels that stand out more than in the image and in the truth, per mille.

    A pixel stands out by its distance to the median of its neighbourhood, see :func:`.metrics.standing_out`.

    Args:
        image: uint8 `[H,W,3]`, the input.
        result: uint8 `[H,W,3]`.
        real: uint8 `[H,W,3]`, the truth.
    """
    import cv2

    def distance(picture: np.ndarray) -> np.ndarray:
        return np.abs(picture.astype(np.int16) - cv2.medianBlur(picture, 3))

    grown = distance(result) - np.maximum(distance(image), distance(real))
    return 1000 * float((grown.max(-1) > SPECKLE_LEVELS).mean())


def evaluate_guided(cases: list[GuidedCase], progress: Callable[[Iterable], Iterable] = iter) -> list[dict]:
    """`name`, `subset` and the figures of `judge` for every case."""
    return [{"name": case.name, "subset": case.subset} | judge(case.load()) for case in progress(cases)]


def summarise_guided(rows: list[dict]) -> dict:
    """PSNR by method and subset, halos and speckle by method, the margin over frequency separation, and the IoU."""
    methods = list(rows[0]["psnr"])
    margins = [row["psnr"][OURS] - row["psnr"][SEPARATION] for row in rows]
    found = [row["IoU"] for row in rows if "IoU" in row]
    groups = {"all": rows} | {row["subset"]: [r for r in rows if r["subset"] == row["subset"]] for row in rows}
    return {
        "kind": "guided",
        "n": len(rows),
        "psnr": {
            name: {group: float(np.mean([row["psnr"][name] for row in members])) for group, members in groups.items()}
            for name in methods
        },
        **{
            fault: {
                name: {
                    "mean": float(np.mean([row[fault][name] for row in rows])),
                    "worst": max(row[fault][name] for row in rows),
                }
                for name in methods
            }
            for fault in ("halo", "speckle")
        },
        "margin": {"mean": float(np.mean(margins)), "worst": min(margins)},
        "iou": {"mean": float(np.mean(found)), "worst": min(found)} if found else None,
        "pictures": rows,
    }


def guided_table(report: dict) -> str:
    """The report as text."""
    groups = list(report["psnr"][OURS])
    lines = [f"guided: {report['n']} pictures, PSNR in dB", " " * 22 + "".join(f"{group:>16}" for group in groups)]
    for name, values in report["psnr"].items():
        lines.append(f"{name:22}" + "".join(f"{values[group]:16.2f}" for group in groups))
    lines.append(f"{'mean and worst':22}{'halo, 0..255':>20}{'speckle, per mille':>22}")
    for name in report["halo"]:
        cells = [report[fault][name] for fault in ("halo", "speckle")]
        lines.append(f"{name:22}" + "".join(f"{each['mean']:12.2f}{each['worst']:9.2f}" for each in cells))
    margin = report["margin"]
    lines.append(f"over {SEPARATION} at its best radius: mean {margin['mean']:+.2f}, worst {margin['worst']:+.2f}")
    if report["iou"]:
        lines.append(
            f"what the guide replaced: IoU mean {report['iou']['mean']:.2f}, worst {report['iou']['worst']:.2f}"
        )
    return "\n".join(lines)
