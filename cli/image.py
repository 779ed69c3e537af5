"""`harmonize image`: one picture."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..files.text import printable
from . import editable
from .arguments import add_common_arguments, add_light_arguments, harmonizer_of, light_options, named

if TYPE_CHECKING:
    from torch import Tensor

    from ..hdnet.harmonize.decision import Decision
    from ..hdnet.harmonize.guide.comparison import Comparison

OPAQUE = (".jpg", ".jpeg", ".bmp", ".hdr")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of `harmonize image`."""
    parser.epilog = (
        "The mask is white where the foreground is; an alpha channel serves as a mask too, and so do the files of "
        "labelling tools, where all but class 0 is foreground. Outside the mask every pixel stays as it is; PNG, TIFF, "
        "BMP and WebP (lossless here) keep that exactly, JPEG and AVIF nearly. PNG and TIFF keep 16 bits a channel; "
        "with the extra 'hdr', OpenEXR, Radiance HDR and TIFF keep floating point, and values above 1. Pictures "
        "may have up to 128 megapixels, which take 6 GB of memory."
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
        "--more-masks",
        metavar="F",
        type=Path,
        nargs="+",
        default=[],
        help="masks of further objects of the picture; each is matched by itself, the others part of its background",
    )
    parser.add_argument("--together", action="store_true", help="match the objects of all masks as one")
    parser.add_argument(
        "--foreground-out",
        metavar="F",
        type=Path,
        help="also write the harmonized foreground alone, with straight alpha, 16 bits where the picture has them: "
        "laid over COMPOSITE, or over the --background, it gives OUT",
    )
    editable.add_lut_arguments(parser, editable.OF_A_PICTURE)
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
    add_light_arguments(parser)
    add_common_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Harmonizes one picture."""
    for line in harmonize_files(args):
        print(line)
    return 0


def harmonize_files(args: argparse.Namespace) -> Iterator[str]:
    """Harmonizes one picture and writes what was asked for; yields a line on each file once it is there.

    Args:
        args: As the options of :func:`add_arguments` give them.

    Raises:
        ValueError: Something given cannot be used; the message says what and what to do.
    """
    from ..files.cube import check_cube
    from ..files.pictures import check_output, check_range, join, read_mask_of, read_picture, save_picture
    from ..hdnet.harmonize.objects import how_taken

    check_output(args.output)
    if args.mask is None and args.guide is None:
        raise ValueError("Give a MASK, or a --guide to take the light from.")
    if args.guide is None and (args.added_mask or args.changed):
        raise ValueError("--added-mask and --changed go with --guide.")
    others = (args.background, args.reference_mask, args.more_masks, args.foreground_out, args.lut)
    if args.guide is not None and any(others):
        raise ValueError(
            "--guide does not go with --background, --reference-mask, --more-masks, --foreground-out and --lut."
        )
    if args.foreground_out:
        check_output(args.foreground_out)
        if args.foreground_out.suffix.lower() in OPAQUE:
            raise ValueError(f"{args.foreground_out}: this format has no alpha; write the foreground as PNG or TIFF.")
    if args.lut:
        check_cube(args.lut)
    _check_not_an_input(args)
    if args.guide is not None:
        yield from _by_guide(args)
        return
    picture, info = read_picture(args.composite)
    mask = read_mask_of(picture, args.composite, args.mask)
    if args.mask.samefile(args.composite) and (picture.shape[-1] < 4 or picture[..., 3].min() == picture[..., 3].max()):
        raise ValueError(f"{args.mask}: without transparency a picture is not its own mask; give a mask.")
    if args.more_masks:
        mask = _objects(args, picture, mask)
    background = reference = None
    if args.background:
        background, below = read_picture(args.background)
        picture, background, info = join(picture, info, background, below)
    check_range(args.output, info)
    if args.foreground_out:
        check_range(args.foreground_out, info)
    if args.lut and info.is_light:
        raise ValueError("--lut is for colours in 0..1, which scene-linear pictures leave; take --foreground-out.")
    if args.reference_mask:
        reference = read_mask_of(picture, args.composite, args.reference_mask)
        if not reference.any():
            raise ValueError(f"{args.reference_mask}: this reference mask is black; it must be white somewhere.")
    harmonize = harmonizer_of(args)
    decisions: dict[int, Decision] = {}
    objects = "together" if args.together else "each" if len(mask) > 1 else "images"
    with named(args.composite):
        result = harmonize(
            picture,
            mask,
            background=background,
            reference_mask=reference,
            objects=objects,
            decided=decisions.__setitem__,
            **light_options(args, args.composite),
        )
    save_picture(result, args.output, info)
    if taken := how_taken(objects, len(mask)):
        print(f"{printable(args.output)}: {taken}")
    for index in sorted(decisions):
        which = f" (object {index + 1})" if len(decisions) > 1 else ""
        yield f"{printable(args.output)}{which}: {decisions[index]}"
    if args.lut or args.foreground_out:
        mask = editable.mask_in_use(args, picture, mask, background)
    if args.foreground_out:
        from ..hdnet.harmonize.layer import foreground_layer

        beneath = picture if background is None else background
        save_picture(foreground_layer(result, beneath, mask), args.foreground_out, info)
        yield f"{printable(args.foreground_out)}: the foreground alone"
    if args.lut:
        from ..hdnet.harmonize.lut import LutFit

        fit = LutFit(args.lut_size).add(picture[0], result[0], mask[0])
        yield editable.save_lut(fit, args.lut, args.composite.stem)


def _objects(args: argparse.Namespace, picture: Tensor, mask: Tensor) -> Tensor:
    """The masks of all objects at the picture's size, `[M, H, W]`."""
    import torch

    from ..files.pictures import read_mask_of
    from ..hdnet.harmonize.masks import fit_mask

    masks = [mask, *(read_mask_of(picture, args.composite, path) for path in args.more_masks)]
    return torch.cat([fit_mask(each, (picture.shape[1], picture.shape[2])) for each in masks])


def _by_guide(args: argparse.Namespace) -> Iterator[str]:
    from ..files.pictures import check_output, check_range, read_mask_of, read_picture, save_picture
    from .guided import light_transfer_of

    if args.changed:
        check_output(args.changed)
    picture, info = read_picture(args.composite)
    guide, other = read_picture(args.guide)
    if info.is_light or other.is_light:
        raise ValueError("--guide is for pictures in 0..1, not for scene-linear ones.")
    check_range(args.output, info)
    given = (args.mask, args.added_mask)
    mask, added = (read_mask_of(picture, args.composite, path) if path else None for path in given)
    transfer = light_transfer_of(args)
    seen: dict[int, Comparison] = {}
    result = transfer(picture, guide, mask, added=added, compared=seen.__setitem__)
    save_picture(result, args.output, info)
    if args.changed:
        changed = seen[0].difference((picture.shape[1], picture.shape[2])) if seen else 0 * picture[0, ..., 0]
        save_picture(changed[None], args.changed)
    yield f"{printable(args.output)}: in the light of {printable(args.guide.name)}"


def _check_not_an_input(args: argparse.Namespace) -> None:
    given = [args.composite, args.mask, args.background, args.reference_mask]
    given += [args.guide, args.added_mask, *args.more_masks]
    for output in (args.output, args.foreground_out, args.lut, args.changed):
        if args.overwrite or not output or not output.exists():
            continue
        if any(path and path.exists() and path.samefile(output) for path in given):
            raise ValueError(f"{output}: this would overwrite a file given; name another, or add --overwrite.")
