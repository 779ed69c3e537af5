"""Ways to carry a change known at a low resolution to full size, side by side: edges, accuracy and time.

    python -m harmonize_composite.benchmarks.edges COMPOSITES PHOTOS --sheet edges.png

COMPOSITES are real composites (image/ and mask/), on which a network's change is applied and speckle measured;
PHOTOS are photographs with masks (images/ and masks/), on which a known change is applied from a perfect
low-resolution result. Needs the extra `train`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from ..files.atomic import write_whole
from ..files.training_images import read_mask, read_rgb
from ..hdnet.harmonize.colour_transfer import apply_colour_change, colour_statistics, fit_colour_change
from ..hdnet.harmonize.masks import bounding_box
from ..hdnet.harmonize.resize import shrink_separately, working_size
from ..training.evaluation.contact_sheet import EDGE, worst_edge
from ..training.evaluation.metrics import speckle, to_8bit
from ..weights import load_network

RIDGE = 1e-4  # of the local maps, as a variance of colour
RANGE, REACH = 0.1, 2  # of joint bilateral upsampling: standard deviation of colour, low-resolution pixels
ENLARGED = 3


@dataclass
class Change:
    """A change at a low resolution: `source` and `target` `[3,h,w]` in 0..1, `foreground` `[h,w]` bool."""

    source: Tensor
    target: Tensor
    foreground: Tensor


Carry = Callable[[Change, Tensor, Tensor], Tensor]
"""Change, picture `[H,W,3]` in 0..1 and mask `[H,W]` in 0..1 to the changed picture `[H,W,3]`."""


def bilateral_grid(change: Change, picture: Tensor, mask: Tensor) -> Tensor:
    """This package's: one affine map, and offsets in a bilateral grid."""
    result = picture.clone()
    fitted = fit_colour_change(colour_statistics(change.source, change.target, change.foreground.float()))
    if (box := bounding_box(mask)) is not None:
        apply_colour_change(fitted, result, mask, box)
    return result


def enlarged_result(change: Change, picture: Tensor, mask: Tensor) -> Tensor:
    """The network's picture itself, as in HDNet's paper; below the full size it has to be enlarged."""
    return torch.lerp(picture, _enlarge(change.target, picture).clamp(0, 1), mask[..., None])


def enlarged_difference(change: Change, picture: Tensor, mask: Tensor) -> Tensor:
    """The difference, enlarged and added."""
    return (picture + _enlarge(_difference(change), picture) * mask[..., None]).clamp(0, 1)


def local_maps(change: Change, picture: Tensor, mask: Tensor) -> Tensor:
    """An affine map of colours for each pixel, enlarged, as PCT-Net's (Guerreiro et al., 2023).

    PCT-Net predicts the maps; here they are fitted to 3x3 pixels of the foreground.
    """
    weight = change.foreground.float()[None]
    values = torch.cat((torch.ones_like(weight), change.source, _difference(change))) * weight
    moments = F.avg_pool2d((values[:4, None] * values[None]).flatten(0, 1)[None], 3, 1, 1)[0]
    moments = moments.permute(1, 2, 0).unflatten(-1, (4, 7)).double()
    mean = moments / moments[..., :1, :1].clamp(min=1e-6)
    colour, moved = mean[..., 1:, 0], mean[..., 0, 4:]
    covariance = mean[..., 1:, 1:4] - colour[..., None] * colour[..., None, :]
    together = mean[..., 1:, 4:] - colour[..., None] * moved[..., None, :]
    gain = torch.linalg.solve(covariance + RIDGE * torch.eye(3, dtype=torch.float64), together)
    offset = moved - (colour[..., None, :] @ gain)[..., 0, :]
    maps = torch.cat((gain, offset[..., None, :]), -2).flatten(2).permute(2, 0, 1).float()
    maps = _enlarge(maps, picture).unflatten(-1, (4, 3))
    added = (picture[..., None, :] @ maps[..., :3, :])[..., 0, :] + maps[..., 3, :]
    return (picture + added * mask[..., None]).clamp(0, 1)


def joint_bilateral(change: Change, picture: Tensor, mask: Tensor) -> Tensor:
    """The difference by joint bilateral upsampling (Kopf et al., 2007), guided by the full-size colours."""
    height, width = change.foreground.shape
    rows, columns = mask.nonzero().T
    y = (rows + 0.5) * height / mask.shape[0] - 0.5
    x = (columns + 0.5) * width / mask.shape[1] - 0.5
    own, difference = picture[rows, columns], _difference(change)
    total, weights = torch.zeros_like(own), torch.full_like(own[:, :1], 1e-6)
    for down in range(-REACH, REACH + 1):
        for across in range(-REACH, REACH + 1):
            near_y = (y.round().long() + down).clamp(0, height - 1)
            near_x = (x.round().long() + across).clamp(0, width - 1)
            unlike = (change.source[:, near_y, near_x].T - own).square().sum(1) / (2 * RANGE**2)
            weight = torch.exp(-unlike - ((near_y - y).square() + (near_x - x).square()) / 2)
            weight = (weight * change.foreground[near_y, near_x])[:, None]
            total += weight * difference[:, near_y, near_x].T
            weights += weight
    result = picture.clone()
    result[rows, columns] = (own + total / weights * mask[rows, columns, None]).clamp(0, 1)
    return result


METHODS: dict[str, Carry] = {
    "bilateral grid": bilateral_grid,
    "enlarged result": enlarged_result,
    "enlarged difference": enlarged_difference,
    "local affine maps": local_maps,
    "joint bilateral": joint_bilateral,
}


def _difference(change: Change) -> Tensor:
    return (change.target - change.source) * change.foreground


def _enlarge(planes: Tensor, picture: Tensor) -> Tensor:
    """`[C,h,w]` to `[H,W,C]`, bilinear."""
    return F.interpolate(planes[None], size=picture.shape[:2], mode="bilinear")[0].permute(1, 2, 0)


def network_change(network: nn.Module, picture: Tensor, mask: Tensor, resolution: int) -> Change:
    """What a network makes of a composite."""
    soft, inside, outside = shrink_separately(picture, mask, working_size(mask.shape, resolution))
    foreground = soft > 0.5
    source = torch.where(foreground, inside, outside)
    generated = network(source[None] * 2 - 1, foreground[None, None].float())[0]
    return Change(source, (generated / 2 + 0.5).clamp(0, 1), foreground)


def known_change(picture: Tensor, mask: Tensor, resolution: int) -> tuple[Change, Tensor]:
    """A darker picture in warmer light that grows across it: the change seen at a low resolution, and the truth."""
    light = torch.linspace(0.6, 1, picture.shape[1])[:, None] * torch.tensor([1.05, 0.95, 0.8])
    truth = light * picture**1.5
    size = working_size(mask.shape, resolution)
    soft, source, _ = shrink_separately(picture, mask, size)
    return Change(source, shrink_separately(truth, mask, size)[1], soft > 0.5), truth


def find(root: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Pictures `[H,W,3]` and their first masks `[H,W]`, both 0..1, of image(s)/ and mask(s)/ by name."""
    images, masks = ((root / name if (root / name).is_dir() else root / f"{name}s") for name in ("image", "mask"))
    for path in sorted(images.iterdir()):
        for mask in sorted(masks.glob(f"{path.stem}*.png"))[:1]:
            pixels, foreground = (np.array(image) / np.float32(255) for image in (read_rgb(path), read_mask(mask)))
            yield path.stem, torch.from_numpy(pixels), torch.from_numpy(foreground)


@torch.no_grad()
def compare(composites: list, photographs: list, network: nn.Module, resolution: int) -> tuple[dict, list]:
    """Runs every method on every picture.

    Returns:
        For each method `speckle` and `psnr` (lists over the pictures) and `seconds` (in all, on composites); and for
        each composite its name, picture, mask and results, uint8.
    """
    figures: dict[str, dict[str, Any]] = {name: {"speckle": [], "psnr": [], "seconds": 0.0} for name in METHODS}
    results = []
    for name, picture, mask in tqdm(composites, disable=None):
        change, before, after = network_change(network, picture, mask, resolution), to_8bit(picture.numpy()), {}
        for method, carry in METHODS.items():
            start = time.perf_counter()
            result = carry(change, picture, mask)
            figures[method]["seconds"] += time.perf_counter() - start
            after[method] = to_8bit(result.numpy())
            figures[method]["speckle"].append(speckle(before, after[method], to_8bit(mask.numpy())))
        results.append((name, before, to_8bit(mask.numpy()), after))
    for _, picture, mask in tqdm(photographs, disable=None):
        change, truth = known_change(picture, mask, resolution)
        for method, carry in METHODS.items():
            error = (carry(change, picture, mask) - truth)[mask > 0].square().mean()
            figures[method]["psnr"].append(float(-10 * error.log10()))
    return figures, results


def draw(results: list) -> Image.Image:
    """A row a composite: its worst edge under any method, enlarged, before and after each."""
    side = EDGE * ENLARGED
    sheet = Image.new("RGB", ((len(METHODS) + 1) * (side + 4), 20 + len(results) * (side + 4)), (250, 250, 250))
    write = ImageDraw.Draw(sheet)
    for column, title in enumerate(("before", *METHODS)):
        write.text((4 + column * (side + 4), 4), title, (20, 20, 20))
    for row, (_, before, mask, after) in enumerate(results):
        worst = max(after.values(), key=lambda each: speckle(before, each, mask))
        edge = worst_edge(before, worst, mask)
        for column, picture in enumerate((before, *after.values())):
            part = Image.fromarray(np.ascontiguousarray(picture[edge])).resize((side, side), Image.Resampling.NEAREST)
            sheet.paste(part, (column * (side + 4), 20 + row * (side + 4)))
    return sheet


def main(arguments: list[str] | None = None) -> None:
    """Measures, prints a table and draws the worst edges."""
    parser = argparse.ArgumentParser(description="Ways to carry a change to full size, side by side.")
    parser.add_argument("composites", metavar="COMPOSITES", type=Path, help="folder with image/ and mask/")
    parser.add_argument("photographs", metavar="PHOTOS", type=Path, help="folder with images/ and masks/, large ones")
    parser.add_argument("--weights", default="hdnet-lite", help="name or file (default: %(default)s)")
    parser.add_argument("--resolution", type=int, default=256, help="at which the change is known (default: 256)")
    parser.add_argument("--sheet", type=Path, metavar="OUT.png", help="draw the worst edges")
    args = parser.parse_args(arguments)
    composites, photographs = list(find(args.composites)), list(find(args.photographs))
    figures, results = compare(composites, photographs, load_network(args.weights), args.resolution)
    print(f"{len(composites)} composites, {len(photographs)} photographs, a change known at {args.resolution}")
    print(f"{'':20}{'speckle, per mille: mean':>26}{'worst':>8}{'PSNR':>8}{'ms':>8}")
    for name, row in figures.items():
        marks, milliseconds = 1000 * np.array(row["speckle"]), 1000 * row["seconds"] / max(1, len(composites))
        print(f"{name:20}{marks.mean():26.2f}{marks.max():8.1f}{np.mean(row['psnr']):8.2f}{milliseconds:8.0f}")
    if args.sheet:
        write_whole(args.sheet, lambda file: draw(results).save(file, format="PNG"))


if __name__ == "__main__":
    main()
