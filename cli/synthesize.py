"""`harmonize synthesize`."""

from __future__ import annotations

import argparse

from .arguments import add_workers, report_failures


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of the command."""
    parser.description = (
        "Make composites with ground truth by recolouring the objects in photographs, "
        "written in the layout of iHarmony4."
    )
    parser.add_argument("photos", metavar="PHOTOS", help="folder with images/ and masks/")
    parser.add_argument("out", metavar="OUT", help="folder to write; an interrupted run goes on")
    parser.add_argument("--pairs", type=int, required=True, metavar="N", help="number of composites")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="same seed, same bytes (0)")
    parser.add_argument("--size", type=int, metavar="N", help="resize to NxN (default: as they are)")
    parser.add_argument(
        "--split",
        choices=("train", "val"),
        help="only photographs for training (train list) or validation (test list)",
    )
    add_workers(parser)


def run(args: argparse.Namespace) -> int:
    """Runs it; 1 where something failed."""
    from ..training.data.synthesize import synthesize

    failures = synthesize(
        args.photos,
        args.out,
        args.pairs,
        args.seed,
        size=args.size,
        split=args.split,
        workers=args.workers,
    )
    return report_failures(failures, "pair", "not made")
