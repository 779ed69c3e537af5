"""`harmonize demo`: before and after, on a picture that comes with the pack."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..files.text import printable
from .arguments import add_common_arguments, harmonizer_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of `harmonize demo`."""
    parser.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        type=Path,
        default=Path("harmonize-demo"),
        help="folder to write before.png, mask.png, after.png and side_by_side.png into (default: %(default)s)",
    )
    add_common_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Harmonizes the shipped composite and writes before, mask, after and all side by side."""
    import torch

    from ..files.pictures import read_mask, read_picture, save_picture

    examples = Path(__file__).parents[1] / "example_workflows"
    before, info = read_picture(examples / "harmonize_demo_composite.png")
    mask = read_mask(examples / "harmonize_demo_mask.png")
    after = harmonizer_of(args)(before, mask)
    pictures = {
        "before": before,
        "mask": mask,
        "after": after,
        "side_by_side": torch.cat((before, mask[..., None].expand_as(before), after), 2),
    }
    args.output.mkdir(parents=True, exist_ok=True)
    for name, picture in pictures.items():
        path = args.output / f"{name}.png"
        save_picture(picture, path, info)
        print(printable(path))
    return 0
