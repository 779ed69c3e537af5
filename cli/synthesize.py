"""`harmonize synthesize`."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from functools import partial

from .arguments import add_workers, report_failures
from .cluster import add_ray_arguments, check_local, connected, for_each_on


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
    add_ray_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Runs it; 1 where something failed."""
    from ..training.data.synthesize import synthesize

    if not args.ray:
        check_local(args, (), (args.photos, args.out))
    with ExitStack() as stack:
        each = None
        if args.ray:
            each = partial(for_each_on, stack.enter_context(connected(args.ray, args.workers)))
        failures = synthesize(
            args.photos,
            args.out,
            args.pairs,
            args.seed,
            size=args.size,
            split=args.split,
            workers=args.workers,
            each=each,
        )
    return report_failures(failures, "pair", "not made")
