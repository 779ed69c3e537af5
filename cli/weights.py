"""`harmonize weights`: list, inspect, convert, export, calibrate, combine, fetch, package."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from ..files.text import printable
from ..weights.errors import WeightsError

SOURCE = "a .safetensors file, hub:owner/repo[/file][@revision], or a name of 'harmonize weights list'"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the sub-commands."""
    commands = parser.add_subparsers(dest="weights_command", required=True, metavar="COMMAND")

    def command(name: str, summary: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")

    command("list", "list the weights known by name")

    inspect = command("inspect", "say what a file holds: network, figures, licence, sha256")
    inspect.add_argument("file", metavar="FILE", help=SOURCE)

    convert = command("convert", "turn a checkpoint of the published code, of up to 2 GB, into a safetensors file")
    convert.add_argument("input", metavar="IN.pth", type=Path, help="the checkpoint; no code in it is run")
    convert.add_argument("output", metavar="OUT.safetensors", type=Path, help="the file to write")
    convert.add_argument(
        "--local-dynamics",
        choices=("published", "paper"),
        default="published",
        help="how the checkpoint was trained: by that code as it is, or by the paper's equations (default: published)",
    )
    convert.add_argument(
        "--neighbours", type=int, default=1, metavar="K", help="K of the local dynamics, 1 to 9 (default: 1)"
    )
    convert.add_argument("--learned-mask", action="store_true", help="the variant with a learned guide (HDNet*)")
    convert.add_argument("--note", metavar="TEXT", help="where the checkpoint comes from, kept in the file")

    export = command("export", "write a checkpoint for the published code")
    export.add_argument("input", metavar="IN", help=SOURCE)
    export.add_argument("output", metavar="OUT.pth", type=Path, help="the file to write")

    calibrate = command("calibrate", "find out when to trust weights, on your photographs, and write it into the file")
    calibrate.add_argument("file", metavar="FILE", type=Path, help="a .safetensors file of your own; written anew")
    calibrate.add_argument("photos", metavar="PHOTOS", type=Path, help="photographs: images/ and masks/")
    calibrate.add_argument("--count", type=int, default=176, help="composites of each kind (default: %(default)s)")
    calibrate.add_argument(
        "--second-look",
        type=_scale_or_never,
        metavar="SCALE",
        help="have the network judge the mirrored composite too, so many times as large, 1 to 2, and 0 for never: more "
        "time, fewer errors (default: what the weights say; 1.25 in those of the pack)",
    )

    combine = command("combine", "give weights a second opinion: other ones judge the mirror image of every composite")
    combine.add_argument("first", metavar="FIRST", help=SOURCE)
    combine.add_argument("second", metavar="SECOND", help="the ones that are asked too; as FIRST")
    combine.add_argument("output", metavar="OUT.safetensors", type=Path, help="the file to write; then calibrate it")
    combine.add_argument(
        "--second-look",
        type=_scale,
        default=1.25,
        metavar="SCALE",
        help="how much larger the mirror image is, 1 to 2 (default: %(default)s)",
    )

    fetch = command("fetch", "download from the Hugging Face Hub and say where the file is")
    fetch.add_argument("name", metavar="NAME", help="hub:owner/repo[/file][@revision], or a known name")
    fetch.add_argument("--folder", type=Path, metavar="DIR", help="where to keep it (default: the Hub's cache)")

    package = command("package", "write what a Hub repository needs: weights, configuration, model card")
    package.add_argument("file", metavar="FILE", help=SOURCE)
    package.add_argument("folder", metavar="DIR", type=Path, help="a new or empty folder to write into")


def run(args: argparse.Namespace) -> int:
    """Runs a sub-command and prints what it did.

    Raises:
        WeightsError: What was asked for cannot be done; the message says why.
    """
    return globals()[f"_{args.weights_command}"](args)


def _list(args: argparse.Namespace) -> int:
    from ..weights.catalogue import CATALOGUE
    from ..weights.files import read_metadata

    for entry in CATALOGUE.values():
        print(f"{entry.name}  ({entry.path.stat().st_size / 1e6:.1f} MB, {entry.licence}, {entry.path})")
        metadata = read_metadata(entry.path)
        for key in ("title", "figures"):
            if key in metadata:
                print(f"  {printable(metadata[key])}")
    return 0


def _inspect(args: argparse.Namespace) -> int:
    from ..files.atomic import sha256_of
    from ..weights.files import CARD_KEYS, read_metadata, read_network
    from ..weights.load import locate

    path = locate(args.file)
    network, metadata = read_network(path), read_metadata(path)
    config = network.config
    print(printable(path))
    total, other = (
        sum(p.numel() for p in each.parameters()) if each else 0 for each in (network, network.second_opinion)
    )
    print(f"  network         HDNet, {total - other:,} parameters")
    if other:
        print(f"  second opinion  HDNet, {other:,} parameters")
    print(f"  base channels   {config.base_channels}")
    print(f"  input channels  {config.in_channels}")
    print(f"  local dynamics  {config.local_dynamics or 'none'}, {config.neighbours} neighbour(s)")
    print(f"  global dynamics {config.global_dynamics or 'none'}")
    for key in CARD_KEYS:
        if key in metadata:
            print(f"  {key.replace('_', ' '):<15} {printable(metadata[key])}")
    print(f"  sha256          {sha256_of(path)}")
    return 0


def _convert(args: argparse.Namespace) -> int:
    from ..weights.authors import read_published
    from ..weights.files import save_network

    _check_extension(args.output, ".safetensors")
    network = read_published(args.input, args.local_dynamics, args.neighbours, args.learned_mask)
    save_network(network, args.output, {"source": args.note or f"converted from {args.input.name}"})
    print(f"Wrote {printable(args.output)}")
    return 0


def _export(args: argparse.Namespace) -> int:
    from ..weights.authors import write_published
    from ..weights.load import load_network

    _check_extension(args.output, ".pth")
    write_published(load_network(args.input), args.output)
    print(f"Wrote {printable(args.output)}")
    return 0


def _combine(args: argparse.Namespace) -> int:
    from ..weights.combine import combine
    from ..weights.load import locate

    _check_extension(args.output, ".safetensors")
    combine(locate(args.first), locate(args.second), args.output, args.second_look)
    print(f"Wrote {printable(args.output)}; 'harmonize weights calibrate' finds out when to trust it.")
    return 0


def _calibrate(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from ..training.evaluation.calibrate import calibrate

    _check_extension(args.file, ".safetensors")
    progress = partial(tqdm, unit="pair", disable=None)
    rule, said = calibrate(args.file, args.photos, args.count, progress, args.second_look)
    print(f"low {rule.low:g}, high {rule.high:g}, strength {rule.strength:g}: {said}")
    return 0


def _scale(text: str) -> float:
    """An argument's type: the scale of a second look."""
    from ..weights.files import second_look_scale

    try:
        return second_look_scale(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _scale_or_never(text: str) -> float:
    """An argument's type: the same, or 0."""
    try:
        never = float(text) == 0
    except ValueError:
        never = False
    return 0.0 if never else _scale(text)


def _check_extension(path: Path, extension: str) -> None:
    if path.suffix.lower() != extension:
        raise WeightsError(f"{path}: the name must end in {extension}.")


def _fetch(args: argparse.Namespace) -> int:
    from ..weights.load import locate

    print(printable(locate(args.name, args.folder)))
    return 0


def _package(args: argparse.Namespace) -> int:
    from ..weights.load import locate
    from ..weights.packaging import package

    for path in package(locate(args.file), args.folder):
        print(f"Wrote {printable(path)}")
    return 0
