"""How much of an old background's colour `defringe` takes out of the rim, and what it does to a clean one.

    python -m harmonize_composite.benchmarks.defringe PHOTOS --sheet rims.png

PHOTOS are photographs with masks (images/ and masks/). Of each object a cut-out is made whose rim lies inside the
object, so that its true colours are known there; under the rim lies a second photograph, and the cut-out is pasted onto
a third. The error is that of the composite on its rim (root mean square, of 255) against one made of the true colours;
that of a clean cut-out, whose rim holds nothing else, is what the method does wrong. Where PyMatting (Germer et al.,
2020) is installed, its foreground estimation is set beside it. Needs the extra `train`.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from scipy.ndimage import distance_transform_edt, gaussian_filter
from torch import Tensor

from ..files.atomic import write_whole
from ..files.training_images import PictureError, read_rgb
from ..hdnet.harmonize.defringe import defringe
from ..training.data.photos import Photographs
from ..training.evaluation.metrics import to_8bit

SOFTNESS = (0.7, 1.5, 3.0)  # pixels, standard deviations of the rim's blur
SMALLEST = 300  # pixels that show the object alone
NOTHING = 0.01  # less cover than this is none, as in a file of 8 bits
SHOWN, SIDE, ENLARGED = 8, 64, 4  # of the sheet


@dataclass
class Cutout:
    """An object's true colours, what it was and will be in front of, all `[H, W, 3]` in 0..1, and its mask `[H, W]`."""

    colours: Tensor
    old: Tensor
    new: Tensor
    mask: Tensor


Method = Callable[[Tensor, Tensor], Tensor]
"""A picture `[H, W, 3]` and a mask `[H, W]` to the picture without the fringe."""


def cutouts(photographs: Photographs, count: int, seed: int = 0) -> Iterator[Cutout]:
    """Cut-outs of the photographs' objects, one of each."""
    rng = np.random.default_rng(seed)
    for number in rng.permutation(len(photographs)):
        photo = photographs.with_masks[number]
        try:
            picture, mask = photographs.read(photo, rng)
            strangers = [each for each in rng.permutation(len(photographs.pictures)) if each != photo]
            others = [read_rgb(photographs.pictures[each]) for each in strangers[:2]]
        except PictureError:
            continue
        softness = rng.choice(SOFTNESS)
        inside = np.pad(np.asarray(mask) > 127, 1, mode="edge")  # the picture's edge is no edge of the object
        distance = distance_transform_edt(inside)[1:-1, 1:-1]
        if (distance > 6 * softness + 4).sum() < SMALLEST:
            continue
        cover = gaussian_filter((distance > 3 * softness + 1).astype(np.float32), softness) * (distance > 0)
        cover = np.where(cover < NOTHING, 0, np.where(cover > 1 - NOTHING, 1, cover))
        own, old, new = (
            torch.from_numpy(np.asarray(each.resize(picture.size)) / np.float32(255)) for each in (picture, *others)
        )
        yield Cutout(own, old, new, torch.from_numpy(cover))
        count -= 1
        if not count:
            return


def our_cutout(picture: Tensor, mask: Tensor) -> Tensor:
    """This package's, before the paste."""
    result = picture.clone()
    defringe(result, mask, pasted=False)
    return result


def our_composite(picture: Tensor, mask: Tensor) -> Tensor:
    """This package's, after the paste."""
    result = picture.clone()
    defringe(result, mask, pasted=True)
    return result


def pymatting() -> Method | None:
    """PyMatting's estimation, None where it is not installed."""
    try:
        estimate = importlib.import_module("pymatting").estimate_foreground_ml
    except ImportError:
        return None
    return lambda picture, mask: torch.from_numpy(estimate(picture.double().numpy(), mask.double().numpy())).float()


def measure(cutout: Cutout, cut: Method, composite: Method | None) -> dict[str, tuple[float, float, Tensor]]:
    """For each case the error on the rim untreated and treated, and the composites of both, one above the other."""
    mask, found = cutout.mask, {}
    soft, hard = mask[..., None], (mask > 0.5).float()[..., None]
    rim, inner = (mask > 0) & (mask < 1), (mask > 0.5) & (mask < 1)
    mixed = torch.lerp(cutout.old, cutout.colours, soft)
    for name, picture in {"fringed": mixed, "clean": cutout.colours}.items():
        cases = {"cut-out": (cut, soft, rim, True), "hard mask": (cut, hard, inner, True)}
        if composite is not None:
            cases["composite"] = (composite, soft, rim, False)
        for case, (method, cover, where, is_first) in cases.items():
            truth, before = (torch.lerp(cutout.new, each, cover) for each in (cutout.colours, picture))
            if is_first:
                after = torch.lerp(cutout.new, method(picture, cover[..., 0]), cover)
            else:
                after = method(before, cover[..., 0])
            errors = _error(before, truth, where), _error(after, truth, where)
            found[f"{case}, {name}"] = (*errors, torch.cat((before, after)))
    return found


def _error(picture: Tensor, truth: Tensor, where: Tensor) -> float:
    return 255 * float((picture - truth)[where].square().mean().sqrt())


def draw(results: list[tuple[Cutout, dict[str, tuple[float, float, Tensor]]]]) -> Image.Image:
    """Part of each rim, enlarged: untreated, treated and true."""
    side = SIDE * ENLARGED
    sheet = Image.new("RGB", (3 * (side + 4), 20 + len(results) * (side + 4)), (250, 250, 250))
    for column, title in enumerate(("with the old background", "defringed", "true colours")):
        ImageDraw.Draw(sheet).text((4 + column * (side + 4), 4), title, (20, 20, 20))
    for row, (cutout, found) in enumerate(results):
        rows, columns = ((cutout.mask > 0.2) & (cutout.mask < 0.8)).nonzero().T
        place = len(rows) // 2
        height, width = cutout.mask.shape
        top, left = (
            int(min(max(0, each[place] - SIDE // 2), max(0, most - SIDE)))
            for each, most in ((rows, height), (columns, width))
        )
        truth = torch.lerp(cutout.new, cutout.colours, cutout.mask[..., None])
        for column, picture in enumerate((*found["composite, fringed"][2].split(height), truth)):
            part = Image.fromarray(to_8bit(picture[top : top + SIDE, left : left + SIDE].contiguous().numpy()))
            sheet.paste(
                part.resize((side, side), Image.Resampling.NEAREST), (column * (side + 4), 20 + row * (side + 4))
            )
    return sheet


def main(arguments: list[str] | None = None) -> None:
    """Measures, prints a table and draws some rims."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="photographs with masks")
    parser.add_argument("--split", default="quote", help="photographs: train, choose or quote (default: %(default)s)")
    parser.add_argument("--count", type=int, default=100, help="cut-outs (default: %(default)s)")
    parser.add_argument("--sheet", type=Path, metavar="OUT.png", help="draw some rims")
    args = parser.parse_args(arguments)
    chosen = list(cutouts(Photographs(args.photos, args.split), args.count))
    ours = [measure(each, our_cutout, our_composite) for each in chosen]
    theirs = pymatting()
    other = [measure(each, theirs, None) for each in chosen] if theirs is not None else []
    print(f"{len(chosen)} cut-outs; error on the rim, of 255")
    print(f"{'':22}{'untreated':>10}{'defringe':>10}" + ("PyMatting".rjust(10) if other else ""))
    for case in ours[0]:
        row = [np.mean([each[case][0] for each in ours]), np.mean([each[case][1] for each in ours])]
        row += [np.mean([each[case][1] for each in other])] if other and case in other[0] else []
        print(f"{case:22}" + "".join(f"{each:10.1f}" for each in row))
    if args.sheet:
        sheet = draw(list(zip(chosen, ours))[:SHOWN])
        write_whole(args.sheet, lambda file: sheet.save(file, format="PNG"))


if __name__ == "__main__":
    main()
