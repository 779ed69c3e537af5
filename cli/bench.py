"""`harmonize bench`: speed and memory on this machine; a few minutes."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("--networks", nargs="+", default=["hdnet-lite", "hdnet"], metavar="NAME", help="presets")
    parser.add_argument(
        "--sizes", nargs="*", type=int, default=[256, 512, 1024], metavar="N", help="the network at N x N"
    )
    parser.add_argument(
        "--native", nargs="*", type=int, default=[2048], metavar="N", help="the first network at N x N, once"
    )
    parser.add_argument(
        "--pictures", nargs="*", type=int, default=[4096, 8192], metavar="N", help="pictures N x N worked on at 256"
    )
    parser.add_argument("--frames", type=int, default=24, metavar="N", help="frames of film in 1080p; 0 to leave out")
    parser.add_argument(
        "--training", type=int, default=256, metavar="N", help="training steps at N x N; 0 to leave out"
    )
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="rounds, of which the median is given")
    parser.add_argument("--threads", type=int, metavar="N", help="of the processor (default: torch's choice)")
    parser.add_argument("--report", type=Path, metavar="OUT.json", help="also write all figures as JSON")
    parser.add_argument("--plot", type=Path, metavar="OUT.png", help="also draw time against size; needs matplotlib")


def run(args: argparse.Namespace) -> int:
    """Measures and prints table after table."""
    from ..benchmarks.bench import run as bench

    return bench(args)
