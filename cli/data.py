"""The commands `harmonize synthesize` and `harmonize prepare`."""

from __future__ import annotations

import argparse
import sys


def add_synthesize_arguments(parser: argparse.ArgumentParser) -> None:
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
    _add_workers(parser)


def run_synthesize(args: argparse.Namespace) -> int:
    from ..training.synthesis.synthesize import synthesize

    failures = synthesize(
        args.photos,
        args.out,
        args.pairs,
        args.seed,
        size=args.size,
        split=args.split,
        workers=args.workers,
    )
    return _report(failures, "pair", "not made")


def add_prepare_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Write a resized copy of a data set in the layout of iHarmony4."
    parser.add_argument("root", metavar="ROOT", help="folder with SUBSET/composite_images and so on")
    parser.add_argument("out", metavar="OUT", help="folder to write; an interrupted run goes on")
    parser.add_argument("--size", type=int, required=True, metavar="N", help="side of the pictures in pixels")
    parser.add_argument(
        "--format",
        choices=("png", "jpg"),
        default="png",
        help="png keeps every pixel (default); jpg is about four times smaller",
    )
    _add_workers(parser)


def run_prepare(args: argparse.Namespace) -> int:
    from ..training.data.prepare import prepare

    failures = prepare(args.root, args.out, args.size, extension=args.format, workers=args.workers)
    return _report(failures, "picture", "not copied")


def _add_workers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workers", type=_count, metavar="N", help="jobs at a time (default: one a core)")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number of at least 1 expected, not '{text}'")
    return int(text)


def _report(failures: list, what: str, fate: str) -> int:
    """List what failed on stderr; the exit code."""
    if not failures:
        return 0
    plural = "s" if len(failures) > 1 else ""
    print(f"{len(failures)} {what}{plural} {fate}:", file=sys.stderr)
    for _, error in failures:
        print(f"  {error}", file=sys.stderr)
    return 1
