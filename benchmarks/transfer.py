"""Ways to carry a change from a low resolution to full size, side by side.

    python -m harmonize_composite.benchmarks.transfer PHOTOS [--weights hdnet-lite] [--sheet edges.png]

PHOTOS holds large photographs in ``images/`` and ``masks/``; their objects are recoloured. Two questions: how near does
a perfect result at the working resolution come to the truth (PSNR inside the mask), and how many pixels near the mask's
edge does a real network's result make stand out (speckle, per mille)? The ways:

* ``difference``: the change of colours itself, interpolated.
* ``joint bilateral``: the same, weighed by likeness of luma (Kopf et al., 2007).
* ``local affine``: affine maps fitted to each neighbourhood (guided filter, He et al., 2013), interpolated; networks
  that predict such maps directly, as PCT-Net (Guerreiro et al., 2023), apply them in this way.
* ``grids``: this package's; :mod:`..hdnet.harmonize.colour_transfer`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from ..files.atomic import write_whole
from ..hdnet.harmonize.colour_transfer import apply_colour_change, colour_statistics, fit_colour_change
from ..hdnet.harmonize.resize import shrink_separately, working_size
from ..training.data.photos import Photographs
from ..training.evaluation.contact_sheet import worst_edge
from ..training.evaluation.metrics import speckle, to_8bit
from ..training.sample import is_foreground
from ..training.synthesis.recolour import recolour
from ..weights import load_network

Transfer = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""Picture ``[3, H, W]``, and at low resolution source, target ``[3, h, w]`` and weight ``[h, w]``, to ``[3, H, W]``."""

RESOLUTIONS = (256, 512)


def difference(picture: Tensor, source: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Adds the change, filled in where the weight is zero, by linear interpolation."""
    change = _filled((target - source), weight)
    return picture + F.interpolate(change[None], picture.shape[-2:], mode="bilinear")[0]


def joint_bilateral(picture: Tensor, source: Tensor, target: Tensor, weight: Tensor, spread: float = 0.1) -> Tensor:
    """Adds the change of the low-resolution neighbours, by a Gaussian of distance and of luma."""
    size, luma = picture.shape[-2:], picture.mean(0)
    small_luma = source.mean(0)
    total, weights = torch.zeros_like(picture), torch.zeros(size)
    for down in (-1, 0, 1):
        for across in (-1, 0, 1):

            def moved(planes: Tensor, down: int = down, across: int = across) -> Tensor:
                shifted = planes.roll((down, across), (-2, -1))
                return F.interpolate(shifted[None], size, mode="nearest")[0]

            likeness = torch.exp(-((luma - moved(small_luma[None])[0]) ** 2) / (2 * spread**2))
            share = likeness * moved(weight[None])[0] * 0.5 ** (abs(down) + abs(across)) + 1e-8 * moved(weight[None])[0]
            total += moved(target - source) * share
            weights += share
    return picture + total / weights.clamp(min=1e-12)


def local_affine(picture: Tensor, source: Tensor, target: Tensor, weight: Tensor, ridge: float = 3e-5) -> Tensor:
    """Applies affine maps fitted to 5 x 5 neighbourhoods, by linear interpolation of their coefficients."""
    values = torch.cat((torch.ones_like(weight)[None], source, target)).double()
    products = (values[:, None] * values[None] * weight).flatten(0, 1)
    sums = F.avg_pool2d(products[None], 5, 1, 2, divisor_override=1)[0].view(7, 7, *weight.shape).permute(2, 3, 0, 1)
    mean = sums / sums[..., :1, :1].clamp(min=1e-6)
    covariance = mean[..., 1:, 1:] - mean[..., 0, 1:, None] * mean[..., 0, None, 1:]
    identity = torch.eye(3, dtype=torch.float64)
    gain = torch.linalg.solve(covariance[..., :3, :3] + ridge * identity, covariance[..., :3, 3:] + ridge * identity)
    offset = mean[..., 0, 4:] - (mean[..., 0, None, 1:4] @ gain)[..., 0, :]
    maps = torch.cat((gain.mT.flatten(2), offset), -1).permute(2, 0, 1).float()
    maps = F.interpolate(_filled(maps, weight)[None], picture.shape[-2:], mode="bilinear")[0]
    return (maps[:9].view(3, 3, *picture.shape[1:]) * picture).sum(1) + maps[9:]


def grids(picture: Tensor, source: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """This package's way."""
    result = picture.permute(1, 2, 0).contiguous()
    height, width = result.shape[:2]
    change = fit_colour_change(colour_statistics(source, target, weight))
    apply_colour_change(change, result, torch.ones(height, width), (0, height, 0, width))
    return result.permute(2, 0, 1)


WAYS: dict[str, Transfer] = {
    "difference": difference,
    "joint bilateral": joint_bilateral,
    "local affine": local_affine,
    "grids": grids,
}


def _filled(planes: Tensor, weight: Tensor) -> Tensor:
    """Gives places of no weight the mean of their neighbours, ring by ring."""
    planes, known = planes * (weight > 0), (weight > 0).float()
    for _ in range(8):
        around = F.avg_pool2d(torch.cat((planes * known, known[None]))[None], 3, 1, 1, divisor_override=1)[0]
        new = (known == 0) & (around[-1] > 0)
        planes = torch.where(new, around[:-1] / around[-1].clamp(min=1e-6), planes)
        known = torch.maximum(known, new.float())
    return planes


def compare(photographs: Photographs, weights: str, count: int) -> tuple[dict, list[np.ndarray]]:
    """Both figures of every way: lists by way and resolution; and a row of enlarged edges for each photograph."""
    network = load_network(weights)
    figures: dict[tuple[str, int], dict[str, list[float]]] = {
        (way, size): {"psnr": [], "speckle": []} for way in WAYS for size in RESOLUTIONS
    }
    rows = []
    for index in tqdm(range(min(count, len(photographs))), unit="photograph", disable=None):
        rng = np.random.default_rng(index)
        photo, mask = (np.asarray(each) for each in photographs.read(photographs.with_masks[index], rng))
        inside, composite = is_foreground(mask), None
        while composite is None:
            reference = photographs.reference(photographs.with_masks[index], rng)
            if reference is not None:
                composite = recolour(photo.astype(np.float32) / 255, inside, reference, rng)
        before = to_8bit(composite)
        picture, share = torch.from_numpy(before.astype(np.float32) / 255), torch.from_numpy(inside.astype(np.float32))
        truth = torch.from_numpy(photo.astype(np.float32) / 255)
        edges = []
        for size in RESOLUTIONS:
            working = working_size(inside.shape, size)
            soft, inner, outer = shrink_separately(picture, share, working)
            weight = (soft > 0.5).float()
            _, perfect, _ = shrink_separately(truth, share, working)
            source = torch.where(weight > 0, inner, outer)
            with torch.no_grad():
                proposed = network(source[None] * 2 - 1, weight[None, None])[0] / 2 + 0.5
            for way, transfer in WAYS.items():
                planes = picture.permute(2, 0, 1)
                best = transfer(planes, source, perfect, weight).permute(1, 2, 0).clamp(0, 1)
                error = float(((best - truth)[inside] ** 2).mean())
                figures[way, size]["psnr"].append(-10 * np.log10(error))
                real = transfer(planes, source, proposed, weight).permute(1, 2, 0).clamp(0, 1)
                after = np.where(inside[..., None], to_8bit(real.numpy()), before)
                figures[way, size]["speckle"].append(1000 * speckle(before, after, mask))
                if size == RESOLUTIONS[0]:
                    part = worst_edge(before, after, mask)
                    edges.append(np.vstack([each[part].repeat(3, 0).repeat(3, 1) for each in (before, after)]))
        rows.append(np.hstack(edges))
    return figures, rows


def main(arguments: list[str] | None = None) -> None:
    """Measures, prints the table and draws the worst edges."""
    parser = argparse.ArgumentParser(description="Ways to carry a change of colours to full size.")
    parser.add_argument("photos", metavar="PHOTOS", type=Path, help="large photographs: images/ and masks/")
    parser.add_argument("--weights", default="hdnet-lite", help="of the real network (default: %(default)s)")
    parser.add_argument("--count", type=int, default=6, help="photographs (default: %(default)s)")
    parser.add_argument("--sheet", type=Path, metavar="OUT.png", help="each way's worst edges, below their originals")
    args = parser.parse_args(arguments)
    figures, rows = compare(Photographs(args.photos, "all"), args.weights, args.count)
    print(f"{'':16}{'PSNR 256':>10}{'512':>8}{'speckle 256, worst':>20}{'512, worst':>14}")
    for way in WAYS:
        psnr = [np.mean(figures[way, size]["psnr"]) for size in RESOLUTIONS]
        dots = [figures[way, size]["speckle"] for size in RESOLUTIONS]
        print(
            f"{way:16}{psnr[0]:10.1f}{psnr[1]:8.1f}{np.mean(dots[0]):12.2f}{max(dots[0]):8.1f}"
            f"{np.mean(dots[1]):8.2f}{max(dots[1]):6.1f}"
        )
    if args.sheet:
        sheet = Image.fromarray(np.vstack(rows))
        write_whole(args.sheet, lambda file: sheet.save(file, "PNG"))


if __name__ == "__main__":
    main()
