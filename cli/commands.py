"""The commands `harmonize image`, `folder` and `demo`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from ..hdnet.harmonize.decision import Decision


def add_image_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of `harmonize image`."""
    parser.epilog = (
        "The mask is white where the foreground is; an alpha channel serves as a mask too. Pictures may have up to 128 "
        "megapixels. Outside the mask every "
        "pixel stays as it is; PNG, TIFF, BMP and WebP (lossless here) keep that exactly, JPEG and AVIF nearly."
    )
    parser.add_argument("composite", metavar="COMPOSITE", type=Path, help="the picture with its pasted foreground")
    parser.add_argument("mask", metavar="MASK", type=Path, help="white = the foreground to change")
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        type=Path,
        required=True,
        help="the file to write, in the format of its extension",
    )
    parser.add_argument(
        "--background", metavar="F", type=Path, help="paste the foreground onto this picture of the same size first"
    )
    parser.add_argument(
        "--reference-mask",
        metavar="F",
        type=Path,
        help="white = the part that the foreground shall match (default: all the rest)",
    )
    parser.add_argument("--overwrite", action="store_true", help="OUT may be one of the files given")
    _add_common_arguments(parser)


def add_folder_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of `harmonize folder`."""
    parser.epilog = (
        "The mask of NAME.jpg is MASKS/NAME.png (or any other format), or, as in iHarmony4, that of NAME_K_J.jpg is "
        "NAME_K.png. A broken file does not stop the others; they are listed at the end and the exit code is 1."
    )
    parser.add_argument("composites", metavar="COMPOSITES", type=Path, help="folder of pictures")
    parser.add_argument("masks", metavar="MASKS", type=Path, help="folder of masks, white = the foreground to change")
    parser.add_argument("-o", "--output", metavar="OUT", type=Path, required=True, help="folder to write into")
    _add_common_arguments(parser)


def add_demo_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of `harmonize demo`."""
    parser.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        type=Path,
        default=Path("harmonize-demo"),
        help="folder to write before.png, mask.png, after.png and side_by_side.png into (default: %(default)s)",
    )
    _add_common_arguments(parser)


def _add_common_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--weights",
        metavar="W",
        default="hdnet-lite",
        help="a name of 'harmonize weights list', a file or hub:owner/repo[/file][@revision] (default: %(default)s)",
    )
    parser.add_argument(
        "--resolution",
        metavar="N|native",
        type=_resolution,
        default=256,
        help="colours are judged on about N x N pixels (64 to 4096), or on every pixel (native, slower); the output "
        "has its full size and texture either way (default: %(default)s)",
    )
    parser.add_argument(
        "--strength",
        metavar="S",
        type=_strength,
        default=1.0,
        help="0 changes nothing, 1 makes the change, 2 twice the change (default: %(default)s)",
    )
    parser.add_argument(
        "--feather", metavar="PIXELS", type=float, default=0.0, help="soften the mask's edge by this many (default: 0)"
    )
    parser.add_argument(
        "--foreground",
        choices=("auto", "pasted", "edited"),
        default="auto",
        help="edited: inpainted or recoloured in its place, fitted across the edge of the mask; pasted: an object from "
        "elsewhere, always changed; auto: sees which it is, and leaves alone what seems to fit (default: %(default)s)",
    )
    parser.add_argument("--invert-mask", action="store_true", help="for masks that are black where the foreground is")
    parser.add_argument(
        "--precision",
        choices=("auto", "float32", "float16", "bfloat16"),
        default="auto",
        help="number format of the network; auto is bfloat16 where the processor has it, else float32",
    )
    parser.add_argument("--device", metavar="D", help="such as cpu or cuda (default: cuda where there is one)")


def run_image(args: argparse.Namespace) -> int:
    """Harmonizes one picture."""
    from dataclasses import replace

    from ..files.pictures import check_output, check_same_shape, read_mask, read_picture, save_picture, to_profile_of

    check_output(args.output)
    _check_not_an_input(args)
    picture, info = read_picture(args.composite)
    mask = read_mask(args.mask)
    check_same_shape(picture, args.composite, mask, args.mask)
    background = reference = None
    if args.background:
        background, below = read_picture(args.background)
        picture = to_profile_of(picture, info, below)
        # outside the mask the file holds the background's values, and so what its file says of them
        info = replace(
            info,
            icc_profile=below.icc_profile,
            chunks=below.chunks,
            bits=max(info.bits, below.bits),
            grey=info.grey and below.grey,
        )
    if args.reference_mask:
        reference = read_mask(args.reference_mask)
        check_same_shape(picture, args.composite, reference, args.reference_mask)
    harmonize = _harmonizer(args)
    decisions: dict[int, Decision] = {}
    result = harmonize(picture, mask, background=background, reference_mask=reference, decided=decisions.__setitem__)
    save_picture(result, args.output, info)
    print(f"{args.output}: {decisions[0]}")
    return 0


def _check_not_an_input(args: argparse.Namespace) -> None:
    given = [args.composite, args.mask, args.background, args.reference_mask]
    if not args.overwrite and args.output.resolve() in [path.resolve() for path in given if path]:
        raise ValueError(f"{args.output}: this would overwrite a file given; name another, or add --overwrite.")


def run_folder(args: argparse.Namespace) -> int:
    """Harmonizes a folder and lists what failed."""
    from tqdm import tqdm

    from .folder_jobs import check_folders, find_jobs, harmonize_folder

    check_folders(args.composites, args.masks, args.output)
    jobs = find_jobs(args.composites, args.masks, args.output)
    harmonize = _harmonizer(args)
    args.output.mkdir(parents=True, exist_ok=True)
    failures = []
    with tqdm(total=len(jobs), unit="picture", disable=None) as bar:
        for job, error in harmonize_folder(jobs, harmonize):
            bar.update()
            if error is not None:
                failures.append(f"  {job.composite.name}: {' '.join(str(error).split())}")
    print(f"{len(jobs) - len(failures)} of {len(jobs)} pictures written to {args.output}")
    if failures:
        print(f"harmonize: {len(failures)} of {len(jobs)} pictures failed:", *failures, sep="\n", file=sys.stderr)
    return 1 if failures else 0


def run_demo(args: argparse.Namespace) -> int:
    """Harmonizes the shipped composite and writes before, mask, after and all side by side."""
    import torch

    from ..files.pictures import read_mask, read_picture, save_picture

    examples = Path(__file__).parent.parent / "example_workflows"
    before, info = read_picture(examples / "harmonize_demo_composite.png")
    mask = read_mask(examples / "harmonize_demo_mask.png")
    after = _harmonizer(args)(before, mask)
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
        print(path)
    return 0


def _harmonizer(args: argparse.Namespace) -> Callable[..., Tensor]:
    """The harmonizer with the options of the command line."""
    from ..hdnet import Harmonizer
    from ..weights import load_network

    harmonizer = Harmonizer(load_network(args.weights, device=_device(args.device), precision=args.precision))

    def harmonize(picture: Tensor, mask: Tensor, **others: Tensor | None) -> Tensor:
        return harmonizer(
            picture,
            1 - mask if args.invert_mask else mask,
            resolution=args.resolution,
            strength=args.strength,
            feather=args.feather,
            foreground=args.foreground,
            **others,
        )

    return harmonize


def _device(name: str | None) -> str:
    import torch

    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f"The device {name!r} cannot be used here: {str(error).partition('. ')[0]}.") from error
    return name


def _resolution(text: str) -> int | str:
    if text == "native" or (text.isdecimal() and 64 <= int(text) <= 4096):
        return text if text == "native" else int(text)
    raise argparse.ArgumentTypeError(f"must be 64 to 4096 pixels, or native, not {text!r}")


def _strength(text: str) -> float:
    try:
        strength = float(text)
    except ValueError:
        strength = -1
    if not 0 <= strength <= 2:
        raise argparse.ArgumentTypeError(f"must be a number in 0..2, not {text!r}")
    return strength
