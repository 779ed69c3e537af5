"""`harmonize image`: one picture."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from .arguments import add_common_arguments, harmonizer_of

if TYPE_CHECKING:
    from ..hdnet.harmonize.decision import Decision


def add_arguments(parser: argparse.ArgumentParser) -> None:
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
    add_common_arguments(parser)


def run(args: argparse.Namespace) -> int:
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
    harmonize = harmonizer_of(args)
    decisions: dict[int, Decision] = {}
    result = harmonize(picture, mask, background=background, reference_mask=reference, decided=decisions.__setitem__)
    save_picture(result, args.output, info)
    print(f"{args.output}: {decisions[0]}")
    return 0


def _check_not_an_input(args: argparse.Namespace) -> None:
    given = [args.composite, args.mask, args.background, args.reference_mask]
    if not args.overwrite and args.output.resolve() in [path.resolve() for path in given if path]:
        raise ValueError(f"{args.output}: this would overwrite a file given; name another, or add --overwrite.")
