"""What `harmonize` writes beside a picture for work to go on: the change as a table, the foreground as a layer."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..files.text import printable

if TYPE_CHECKING:
    from torch import Tensor

    from ..hdnet.harmonize.lut import LutFit

OF_A_PICTURE = "also write the change as one LUT, to apply it to the foreground in another program"
OF_A_SHOT = "also write one LUT for the foregrounds of all pictures, as of a shot"


def add_lut_arguments(parser: argparse.ArgumentParser, meaning: str) -> None:
    """Declares `--lut` and `--lut-size`."""
    parser.add_argument("--lut", metavar="F.cube", type=Path, help=meaning)
    parser.add_argument(
        "--lut-size", type=int, choices=(33, 65), default=33, help="points along a side of the LUT (default: 33)"
    )


def mask_in_use(args: argparse.Namespace, picture: Tensor, mask: Tensor, background: Tensor | None = None) -> Tensor:
    """The mask `[1, H, W]` with which a picture is changed, as all options have it; of several objects all in one."""
    import torch

    from ..hdnet.harmonize.inputs import check_frames, shaped
    from ..hdnet.harmonize.masks import shape_mask

    frames = check_frames(picture, 1 - mask if args.invert_mask else mask, background, any_range=True)
    frames = shaped(frames, args.grow, args.feather)
    masks = torch.stack([frames.mask_of(index) for index in range(len(frames.mask))])
    return shape_mask(masks, args.blend_grow, args.blend_feather).amax(0, keepdim=True)


def save_lut(fit: LutFit, path: Path, title: str) -> str:
    """Writes the table; returns a line that says so."""
    from ..files.cube import save_cube

    save_cube(fit.table(), path, title)
    return f"{printable(path)}: for the foreground, in the picture's own colour space"
