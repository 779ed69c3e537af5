"""`harmonize prepare`."""

from __future__ import annotations

import argparse

from .arguments import add_workers, report_failures


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of the command."""
    parser.description = (
        "Write a smaller copy of a data set: pairs in the layout of iHarmony4 as squares, photographs with their "
        "proportions."
    )
    parser.add_argument(
        "root", metavar="ROOT", help="folder with SUBSET/composite_images and so on, or with images/ and masks/"
    )
    parser.add_argument("out", metavar="OUT", help="folder to write; an interrupted run goes on")
    parser.add_argument(
        "--size", type=int, required=True, metavar="N", help="side in pixels; of photographs the shorter"
    )
    parser.add_argument(
        "--format",
        choices=("png", "jpg"),
        default="png",
        help="png keeps every pixel (default); jpg is about four times smaller",
    )
    add_workers(parser)


def run(args: argparse.Namespace) -> int:
    """Runs it; 1 where something failed."""
    from ..training.data.prepare import prepare

    failures = prepare(args.root, args.out, args.size, extension=args.format, workers=args.workers)
    return report_failures(failures, "picture", "not copied")
