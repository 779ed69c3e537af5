"""`harmonize image`: one picture."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..files.text import printable
from .arguments import add_common_arguments, harmonizer_of, named

if TYPE_CHECKING:
    from ..hdnet.harmonize.decision import Decision
    from ..hdnet.harmonize.guide.comparison import Comparison


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of `harmonize image`."""
    parser.epilog = (
        "The mask is white where the foreground is; an alpha channel serves as a mask too, and so do the files of "
        "labelling tools, where all but class 0 is foreground. Outside the mask every pixel stays as it is; PNG, TIFF, "
        "BMP and WebP (lossless here) keep that exactly, JPEG and AVIF nearly. PNG and TIFF keep 16 bits a channel. "
        "Pictures may have up to 128 megapixels, which take 6 GB of memory."
    )
    parser.add_argument("composite", metavar="COMPOSITE", type=Path, help="the picture with its pasted foreground")
    parser.add_argument(
        "mask", metavar="MASK", type=Path, nargs="?", help="white = the part to change; may be left out with --guide"
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        type=Path,
        required=True,
        help="the file to write, in the format of its extension",
    )
    parser.add_argument(
        "--background",
        metavar="F",
        type=Path,
        help="paste the foreground onto this picture of the same size first; the result has its colour profile",
    )
    parser.add_argument(
        "--reference-mask",
        metavar="F",
        type=Path,
        help="white = the part that the foreground shall match (default: all the rest)",
    )
    parser.add_argument(
        "--guide",
        metavar="F",
        type=Path,
        help="take light and colours from this picture of the same scene, such as one that a generative editor made of "
        "COMPOSITE, in place of the network; of any size, it may be moved and zoomed by some percent",
    )
    parser.add_argument(
        "--added-mask",
        metavar="F",
        type=Path,
        help="with --guide: white = where what the guide added counts as well, such as a cast shadow",
    )
    parser.add_argument(
        "--changed",
        metavar="OUT",
        type=Path,
        help="with --guide: also write a mask of what the guide changed beside the light",
    )
    parser.add_argument("--overwrite", action="store_true", help="OUT may be one of the files given")
    add_common_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Harmonizes one picture."""
    from ..files.pictures import check_output, check_same_shape, join, read_mask, read_picture, save_picture

    check_output(args.output)
    if args.mask is None and args.guide is None:
        raise ValueError("Give a MASK, or a --guide to take the light from.")
    if args.guide is None and (args.added_mask or args.changed):
        raise ValueError("--added-mask and --changed go with --guide.")
    if args.guide is not None and (args.background or args.reference_mask):
        raise ValueError("--guide takes the place of --background and --reference-mask; leave them out.")
    _check_not_an_input(args)
    if args.guide is not None:
        return _by_guide(args)
    picture, info = read_picture(args.composite)
    mask = read_mask(args.mask)
    if args.mask.samefile(args.composite) and (picture.shape[-1] < 4 or picture[..., 3].min() == picture[..., 3].max()):
        raise ValueError(f"{args.mask}: without transparency a picture is not its own mask; give a mask.")
    check_same_shape(picture, args.composite, mask, args.mask)
    background = reference = None
    if args.background:
        background, below = read_picture(args.background)
        picture, background, info = join(picture, info, background, below)
    if args.reference_mask:
        reference = read_mask(args.reference_mask)
        check_same_shape(picture, args.composite, reference, args.reference_mask)
        if not reference.any():
            raise ValueError(f"{args.reference_mask}: this reference mask is black; it must be white somewhere.")
    harmonize = harmonizer_of(args)
    decisions: dict[int, Decision] = {}
    with named(args.composite):
        result = harmonize(
            picture, mask, background=background, reference_mask=reference, decided=decisions.__setitem__
        )
    save_picture(result, args.output, info)
    print(f"{printable(args.output)}: {decisions[0]}")
    return 0


def _by_guide(args: argparse.Namespace) -> int:
    from ..files.pictures import check_output, read_picture, save_picture
    from .guided import light_transfer_of, read_mask_of

    if args.changed:
        check_output(args.changed)
    picture, info = read_picture(args.composite)
    guide, _ = read_picture(args.guide)
    mask, added = (read_mask_of(path, picture, args.composite) for path in (args.mask, args.added_mask))
    transfer = light_transfer_of(args)
    seen: dict[int, Comparison] = {}
    result = transfer(picture, guide, mask, added=added, compared=seen.__setitem__)
    save_picture(result, args.output, info)
    if args.changed:
        changed = seen[0].difference((picture.shape[1], picture.shape[2])) if seen else 0 * picture[0, ..., 0]
        save_picture(changed[None], args.changed)
    print(f"{printable(args.output)}: in the light of {printable(args.guide.name)}")
    return 0


def _check_not_an_input(args: argparse.Namespace) -> None:
    given = [args.composite, args.mask, args.background, args.reference_mask, args.guide, args.added_mask]
    if args.overwrite or not args.output.exists():
        return
    if any(path and path.exists() and path.samefile(args.output) for path in given):
        raise ValueError(f"{args.output}: this would overwrite a file given; name another, or add --overwrite.")
