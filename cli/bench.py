"""`harmonize bench`: speed and memory on this machine; a few minutes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

MOST = 65536


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.epilog = (
        "With the defaults this takes five to ten minutes. A part is left out by an option without values, or 0: "
        "'--native --pictures --frames 0 --training 0' measures the networks alone, in two minutes."
    )
    parser.add_argument("--networks", nargs="+", default=["hdnet-lite", "hdnet"], metavar="NAME", help="presets")
    parser.add_argument(
        "--sizes", nargs="*", type=_number, default=[256, 512, 1024], metavar="N", help="the network at N x N"
    )
    parser.add_argument(
        "--native", nargs="*", type=_number, default=[2048], metavar="N", help="the first network at N x N, once"
    )
    parser.add_argument(
        "--pictures", nargs="*", type=_number, default=[4096, 8192], metavar="N", help="pictures N x N worked on at 256"
    )
    parser.add_argument(
        "--frames", type=_number, default=24, metavar="N", help="frames of film in 1080p; 0 to leave out"
    )
    parser.add_argument(
        "--training", type=_number, default=256, metavar="N", help="training steps at N x N; 0 to leave out"
    )
    parser.add_argument("--repeats", type=_number, default=5, metavar="N", help="rounds, of which the median is given")
    parser.add_argument("--device", metavar="D", help="such as cpu or cuda (default: cuda where there is one)")
    parser.add_argument("--threads", type=_number, metavar="N", help="of the processor (default: torch's choice)")
    parser.add_argument("--report", type=Path, metavar="OUT.json", help="also write all figures as JSON")
    parser.add_argument("--plot", type=Path, metavar="OUT.png", help="also draw time against size; needs matplotlib")


def run(args: argparse.Namespace) -> int:
    """Measures and prints table after table."""
    from ..hdnet import HDNetConfig

    for name in args.networks:
        HDNetConfig.preset(name)  # an unknown name, and what cannot be written, are told before the work
    for path in (args.report, args.plot):
        if path and not path.absolute().parent.is_dir():
            raise ValueError(f"{path}: the folder {path.parent} does not exist; make it first.")
    if args.plot:
        import matplotlib  # noqa: F401
    print("This takes five to ten minutes with the defaults; --help says how to leave parts out.", file=sys.stderr)
    from ..benchmarks.bench import run as bench

    return bench(args)


def _number(text: str) -> int:
    if not text.isdecimal() or int(text) > MOST:
        raise argparse.ArgumentTypeError(f"a whole number of at most {MOST} expected, not '{text}'")
    return int(text)
