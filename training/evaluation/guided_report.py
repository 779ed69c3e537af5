"""Judges the transfer of light beside what people do today, on the cases of `guided`."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from .baselines import linear_map
from .guided import GuidedCase, GuidedPair
from .metrics import psnr, to_8bit

RADII = (2, 4, 8, 16, 32, 64)  # pixels of frequency separation, of which the best is taken for each picture
WINDOW, RIDGE = 16, 1e-4  # of the guided filter: pixels to either side, pull of a flat map
OURS = "transfer of light"

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


def judge(pair: GuidedPair) -> dict[str, float]:
    """PSNR in dB over all pixels of the input, the guide, each baseline and ours; and `IoU` where there is a region."""
    import cv2
    import torch

    from ...hdnet import LightTransfer

    image, guide = (each.astype(np.float32) / 255 for each in (pair.image, pair.guide))
    enlarged = cv2.resize(guide, image.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    figures = {"image": psnr(pair.image, pair.real), "guide": psnr(to_8bit(enlarged), pair.real)}
    separated = (frequency_separation(image, enlarged, radius) for radius in RADII)
    figures["frequency separation"] = max(psnr(to_8bit(each), pair.real) for each in separated)
    for name, to_light in BASELINES.items():
        figures[name] = psnr(to_8bit(to_light(image, enlarged)), pair.real)
    seen: dict = {}
    tensors = (torch.from_numpy(each)[None] for each in (image, guide))
    result = LightTransfer()(*tensors, compared=seen.__setitem__)
    figures[OURS] = psnr(to_8bit(result[0].numpy()), pair.real)
    if pair.replaced.any():
        changed = seen[0].difference(pair.replaced.shape).numpy() > 0.5
        figures["IoU"] = float((changed & pair.replaced).sum() / (changed | pair.replaced).sum())
    return figures


def evaluate_guided(cases: list[GuidedCase], progress: Callable[[Iterable], Iterable] = iter) -> list[dict]:
    """`name`, `subset` and the figures of `judge` for every case."""
    return [{"name": case.name, "subset": case.subset} | judge(case.load()) for case in progress(cases)]


def summarise_guided(rows: list[dict]) -> dict:
    """Means by method and subset, the margin over frequency separation at its best, and the mean IoU."""
    methods = [name for name in rows[0] if name not in ("name", "subset", "IoU")]
    margins = [row[OURS] - row["frequency separation"] for row in rows]
    found = [row["IoU"] for row in rows if "IoU" in row]
    groups = {"all": rows} | {row["subset"]: [r for r in rows if r["subset"] == row["subset"]] for row in rows}
    return {
        "kind": "guided",
        "n": len(rows),
        "psnr": {
            name: {group: float(np.mean([row[name] for row in members])) for group, members in groups.items()}
            for name in methods
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
    margin = report["margin"]
    lines.append(
        f"over frequency separation at its best radius: mean {margin['mean']:+.2f}, worst {margin['worst']:+.2f}"
    )
    if report["iou"]:
        lines.append(
            f"what the guide replaced: IoU mean {report['iou']['mean']:.2f}, worst {report['iou']['worst']:.2f}"
        )
    return "\n".join(lines)
