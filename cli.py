"""The command `harmonize`."""

from __future__ import annotations

import argparse
import importlib
import logging
import re
import sys
from pathlib import Path

EXAMPLES = """\
examples:
  harmonize demo -o demo
  harmonize image composite.jpg mask.png -o harmonized.png
  harmonize image pasted.png pasted.png -o out.png --background photo.jpg   (the mask is the alpha channel)
  harmonize folder composites/ masks/ -o harmonized/ --resolution 512
  harmonize weights list

A mask is white where the foreground is, the part to change.
"""

# Commands that live beside what they command: name, help, module, its two functions.
ELSEWHERE = (
    ("weights", "list, inspect, convert, fetch and package weights", ".weights.command", "add_arguments", "run"),
    ("evaluate", "judge weights on pairs", ".training.evaluate_command", "add_arguments", "run"),
    ("train", "train or fine-tune a network", ".training.train_command", "add_arguments", "run"),
    (
        "synthesize",
        "make pairs from photographs with masks",
        ".training.data_command",
        "add_synthesize_arguments",
        "run_synthesize",
    ),
    ("prepare", "write a resized copy of iHarmony4", ".training.data_command", "add_prepare_arguments", "run_prepare"),
    ("bench", "measure time and memory on this machine", ".benchmarks.bench", "add_arguments", "run"),
)

MAX_STRETCH = 1.05  # how far the proportions of a mask may differ from its picture's


class UserError(ValueError):
    """Something to put right in what was typed; the message is shown as it is."""


def main(arguments: list[str] | None = None) -> int:
    """Runs the command and returns its exit code: 0, 1 for a failure at work, 2 for bad input, 130 for Ctrl-C."""
    arguments = sys.argv[1:] if arguments is None else arguments
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    args = _parser(arguments).parse_args(arguments)
    try:
        return args.run(args)
    except KeyboardInterrupt:
        print("harmonize: interrupted", file=sys.stderr)
        return 130
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("harmonize_composite"):
            raise
        print(f"harmonize: {error.name} is missing; pip install 'harmonize-composite[train]'", file=sys.stderr)
        return 1
    except (ValueError, FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError) as error:
        print(f"harmonize: {_one_line(error)}", file=sys.stderr)
        return 2
    except (OSError, RuntimeError, MemoryError) as error:
        print(f"harmonize: {_one_line(error)}", file=sys.stderr)
        return 1


def _parser(arguments: list[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="harmonize",
        description="Make a pasted or inpainted object match its background.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    image = commands.add_parser("image", help="harmonize one picture", description="Harmonize one picture.")
    image.add_argument("composite", metavar="COMPOSITE", type=Path, help="the picture with the pasted object")
    image.add_argument(
        "mask", metavar="MASK", type=Path, help="white where the object is; an alpha channel is used where there is one"
    )
    image.add_argument(
        "-o", "--output", metavar="OUT", type=Path, required=True, help="the result; its extension decides the format"
    )
    image.add_argument("--background", metavar="F", type=Path, help="paste the picture onto this one by the mask, first")
    image.add_argument("--reference-mask", metavar="F", type=Path, help="white where the background may serve as reference")
    _add_common(image)
    image.set_defaults(run=_image)

    folder = commands.add_parser(
        "folder",
        help="harmonize a folder of pictures",
        description="Harmonize a folder. The mask of NAME.jpg is NAME.png in the other folder, or, as in iHarmony4, "
        "that of NAME_K_J.jpg is NAME_K.png. A broken file is reported at the end and the rest goes on.",
    )
    folder.add_argument("composites", metavar="COMPOSITES", type=Path, help="folder of pictures")
    folder.add_argument("masks", metavar="MASKS", type=Path, help="folder of masks")
    folder.add_argument("-o", "--output", metavar="OUT", type=Path, required=True, help="folder for the results")
    folder.add_argument("--format", metavar="EXT", help="png, jpg, webp …; by default the input's own")
    _add_common(folder)
    folder.set_defaults(run=_folder)

    demo = commands.add_parser(
        "demo", help="harmonize the picture that comes with the pack", description="Before, mask, after, side by side."
    )
    demo.add_argument("-o", "--output", metavar="DIR", type=Path, required=True, help="folder for the four pictures")
    _add_common(demo)
    demo.set_defaults(run=_demo)

    chosen = next((word for word in arguments if not word.startswith("-")), None)
    for name, help_, module, add, run in ELSEWHERE:
        command = commands.add_parser(name, help=help_)
        if name == chosen:  # the others' modules need not be read
            found = importlib.import_module(module, __package__)
            getattr(found, add)(command)
            command.set_defaults(run=getattr(found, run))
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--weights", metavar="W", default="hdnet-lite", help="name, .safetensors file or hub:owner/repo (default: %(default)s)"
    )
    parser.add_argument(
        "--resolution",
        metavar="N|native",
        default="256",
        help="the network works on about N×N pixels, and its change of colour is applied at full size; "
        "'native' runs it at full size (default: %(default)s)",
    )
    parser.add_argument("--strength", metavar="S", type=float, default=1.0, help="0 to 1 (default: %(default)s)")
    parser.add_argument("--device", metavar="D", default="auto", help="auto, cpu, cuda, mps … (default: %(default)s)")


def _image(args: argparse.Namespace) -> int:
    from .pictures import check_output, read_mask, read_picture, save_picture

    check_output(args.output)
    picture, mask = read_picture(args.composite), read_mask(args.mask)
    _check_proportions(args.composite, picture.pixels, args.mask, mask)
    background = reference = None
    if args.background:
        background = read_picture(args.background).pixels
        if background.shape[1:3] != picture.pixels.shape[1:3]:
            raise UserError(
                f"{args.background} is {_size(background)} pixels but {args.composite} {_size(picture.pixels)}; "
                "give both the same size."
            )
    if args.reference_mask:
        reference = read_mask(args.reference_mask)
        _check_proportions(args.composite, picture.pixels, args.reference_mask, reference)
    result = _harmonizer(args)(picture.pixels, mask, background=background, reference_mask=reference)
    save_picture(result, args.output, picture.metadata)
    print(args.output)
    return 0


def _folder(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from .pictures import EXTENSIONS, check_output, read_mask, read_picture, save_picture

    pairs, failures = _pairs(args.composites, args.masks, EXTENSIONS)
    harmonize = _harmonizer(args)
    args.output.mkdir(parents=True, exist_ok=True)

    def read(composite: Path, mask: Path):
        extension = f".{args.format.lstrip('.')}" if args.format else composite.suffix
        output = check_output(args.output / f"{composite.stem}{extension}")
        picture, foreground = read_picture(composite), read_mask(mask)
        _check_proportions(composite, picture.pixels, mask, foreground)
        return picture, foreground, output

    def work(item):
        picture, foreground, output = item
        return harmonize(picture.pixels, foreground), output, picture.metadata

    def write(item):
        pixels, output, metadata = item
        save_picture(pixels, output, metadata)

    missing, broken = len(failures), 0
    with tqdm(total=len(pairs), unit="picture", disable=None) as bar:
        for pair, error in _pipeline(pairs, read, work, write):
            if error is not None:
                broken += 1
                failures.append(f"{pair[0]}: {_one_line(error)}")
            bar.update()
    print(f"{len(pairs) - broken} of {len(pairs) + missing} pictures harmonized, in {args.output}")
    for failure in failures:
        print(f"harmonize: {failure}", file=sys.stderr)
    return 1 if failures else 0


def _pipeline(items, read, work, write, ahead: int = 2):
    """Reads ahead and writes behind in threads of their own; yields (item, error or None) in order.

    At most ``ahead`` pictures wait at either end, so memory does not grow with the folder.
    """
    from collections import deque
    from concurrent.futures import ThreadPoolExecutor

    def settle(item, future):
        try:
            future.result()
            return item, None
        except (ValueError, OSError, RuntimeError, MemoryError) as error:
            return item, error

    items = iter(items)
    reading, writing = deque(), deque()
    with ThreadPoolExecutor(2) as readers, ThreadPoolExecutor(1) as writer:
        try:
            while True:
                while len(reading) < ahead and (item := next(items, None)) is not None:
                    reading.append((item, readers.submit(read, *item)))
                if not reading:
                    break
                item, future = reading.popleft()
                try:
                    result = work(future.result())
                except (ValueError, OSError, RuntimeError, MemoryError) as error:
                    yield item, error
                    continue
                writing.append((item, writer.submit(write, result)))
                if len(writing) > ahead:
                    yield settle(*writing.popleft())
            while writing:
                yield settle(*writing.popleft())
        finally:  # on Ctrl-C, what has begun is finished and the rest dropped
            for _, future in reading:
                future.cancel()


def _pairs(composites: Path, masks: Path, extensions: tuple[str, ...]) -> tuple[list[tuple[Path, Path]], list[str]]:
    """Pictures with their masks, and a line for every picture that has none."""
    for folder in (composites, masks):
        if not folder.is_dir():
            raise UserError(f"{folder}: there is no such folder.")
    known = {path.stem: path for path in sorted(masks.iterdir()) if path.suffix.lower() in extensions}
    pairs, failures = [], []
    for path in sorted(composites.iterdir()):
        if path.suffix.lower() not in extensions:
            continue
        mask = known.get(path.stem) or known.get(re.sub(r"_[^_]+$", "", path.stem))
        if mask:
            pairs.append((path, mask))
        else:
            failures.append(f"{path}: there is no mask of this name in {masks}.")
    if not pairs and not failures:
        raise UserError(f"{composites}: there are no pictures in this folder.")
    return pairs, failures


def _demo(args: argparse.Namespace) -> int:
    import torch

    from .pictures import read_mask, read_picture, save_picture

    here = Path(__file__).parent / "example_workflows"
    picture = read_picture(here / "harmonize_demo_composite.png").pixels[..., :3]
    mask = read_mask(here / "harmonize_demo_mask.png")
    args.output.mkdir(parents=True, exist_ok=True)
    result = _harmonizer(args)(picture, mask)
    mask_picture = mask[..., None].expand(-1, -1, -1, 3)
    for name, pixels in (
        ("before", picture),
        ("mask", mask_picture),
        ("after", result),
        ("side_by_side", torch.cat((picture, mask_picture, result), dim=2)),
    ):
        path = args.output / f"{name}.png"
        save_picture(pixels, path)
        print(path)
    return 0


def _harmonizer(args: argparse.Namespace):
    """The harmonizer with the options of the command, as a function of tensors."""
    if args.resolution != "native" and not args.resolution.isdigit():
        raise UserError(f"--resolution must be a number of pixels or 'native', not {args.resolution!r}.")
    from functools import partial

    from .hdnet import Harmonizer
    from .hdnet.harmonizer import check_options
    from .weights import load_network

    check_options(args.resolution, args.strength, "per_frame")
    network = load_network(args.weights, device=_device(args.device))
    return partial(Harmonizer(network), resolution=args.resolution, strength=args.strength)


def _device(name: str) -> str:
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UserError(f"--device {name}: this machine has no such device.") from error
    return name


def _check_proportions(path: Path, picture, mask_path: Path, mask) -> None:
    stretch = (picture.shape[2] / picture.shape[1]) / (mask.shape[2] / mask.shape[1])
    nearly = 1 / min(mask.shape[1:])  # rounding of a small mask
    if not 1 / (MAX_STRETCH + nearly) <= stretch <= MAX_STRETCH + nearly:
        raise UserError(
            f"{mask_path} is {_size(mask)} pixels but {path} {_size(picture)}; these do not belong together, "
            "for a mask may be scaled but not stretched."
        )


def _size(pixels) -> str:
    return f"{pixels.shape[2]}×{pixels.shape[1]}"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
