"""`harmonize train`: trains weights, from nothing or from others."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from ..training.loop.options import describe, load_options

EXAMPLES = """\
examples:
  harmonize train --data PHOTOS --out runs/mine
  harmonize train --init hdnet-lite --data PHOTOS --out runs/tuned \\
    --set steps=2000 'stages=[{size=256, batch=8}]' learning_rate=5e-5
  harmonize train --config paper --data iHarmony4 --out runs/paper
  harmonize train --resume runs/mine
  accelerate launch --multi_gpu --num_processes 4 -m harmonize_composite.cli train --data iHarmony4 --out runs/four

options to --set, with their values in --config ours (those of stages: share, size, batch, rate):
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of the command."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES + describe().replace("%", "%%")
    parser.add_argument(
        "--data",
        metavar="ROOT",
        help="photographs with masks (images/ and masks/), from which composites are made on the way; or pairs in "
        "iHarmony4's layout",
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--out", metavar="DIR", type=Path, help="new folder for weights, checkpoint and TensorBoard")
    where.add_argument("--resume", metavar="DIR", type=Path, help="go on with the run in this folder")
    parser.add_argument(
        "--init",
        metavar="W",
        help="begin from weights: a name of 'harmonize weights list', a file or hub:owner/repo[/file][@revision]",
    )
    parser.add_argument("--config", metavar="C", help="paper, ours, gpu or a TOML file (default: ours)")
    parser.add_argument(
        "--set", metavar="KEY=VALUE", nargs="+", action="extend", default=[], help="change options, see below"
    )


def run(args: argparse.Namespace) -> int:
    """Trains.

    Returns:
        0, or 130 when interrupted; the run can then be resumed.

    Raises:
        ValueError, OSError: If an option or the data is wrong.
    """
    if args.resume and (args.config or args.init):
        raise ValueError("A run goes on with its own --config and --init; with --resume, leave them out.")
    config = args.config or "ours"
    if args.resume:
        config = str(args.resume / "options.toml")
        if not Path(config).is_file():
            raise ValueError(f"{args.resume}: there is no run in this folder.")
    known = {"init": args.init} if args.init else {}
    if args.data:
        known["data"] = str(Path(args.data).absolute())  # a resumption may come from another folder
    options = load_options(config, args.set, **known)
    if args.out and options.data and args.out.resolve() == Path(options.data).resolve():
        raise ValueError(f"{args.out}: this is the data; the run needs a folder of its own.")
    if not options.data:
        raise ValueError("Say what to train on: --data ROOT, photographs with masks or pairs in iHarmony4's layout.")

    from accelerate import PartialState
    from tqdm.contrib.logging import logging_redirect_tqdm

    from ..training.loop.train import train

    logging.getLogger(__package__.rpartition(".")[0]).setLevel(logging.INFO)
    folder = args.resume or args.out
    with logging_redirect_tqdm():
        complete = train(options, folder, resume=bool(args.resume))
    if PartialState().is_main_process:
        done = f"Done: {folder / 'weights.safetensors'}"
        print(done if complete else f"Interrupted; go on with: harmonize train --resume {folder}")
    return 0 if complete else 130
