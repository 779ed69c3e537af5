"""What several commands share: argument types, common options, the harmonizer they describe."""

from __future__ import annotations

import argparse
import logging
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files.text import printable
from ..weights.catalogue import DEFAULT

if TYPE_CHECKING:
    from torch import Tensor

MOST = 1_000_000
SHARED = "shared"  # an exposure


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of the commands that harmonize."""
    parser.add_argument(
        "--weights",
        metavar="W",
        default=DEFAULT,
        help="a name of 'harmonize weights list', a file or hub:owner/repo[/file][@revision] (default: %(default)s)",
    )
    parser.add_argument(
        "--resolution",
        metavar="N|native",
        type=resolution,
        default=256,
        help="colours are judged on about N x N pixels (64 to 4096), or on every pixel (native, slower); the output "
        "has its full size and texture either way (default: %(default)s)",
    )
    parser.add_argument(
        "--strength",
        metavar="S",
        type=strength,
        default=1.0,
        help="0 changes nothing, 1 makes the change, 2 twice the change (default: %(default)s)",
    )
    for part, meaning in {"lightness": "lightness", "colour": "hue and chroma"}.items():
        parser.add_argument(
            f"--{part}",
            metavar="P",
            type=share,
            default=1.0,
            help=f"make this part of the change of {meaning}, 0 to 1; 0 keeps it as it is (default: %(default)s)",
        )
    parser.add_argument(
        "--feather", metavar="PIXELS", type=float, default=0.0, help="soften the mask's edge by this many (default: 0)"
    )
    parser.add_argument(
        "--grow",
        metavar="PIXELS",
        type=int,
        default=0,
        help="grow the mask by this many before it is softened; negative shrinks it (default: 0)",
    )
    parser.add_argument(
        "--blend-grow",
        metavar="PIXELS",
        type=int,
        default=0,
        help="the same for blending only, after the object was judged (default: 0)",
    )
    parser.add_argument(
        "--blend-feather", metavar="PIXELS", type=float, default=0.0, help="soften the mask for blending only"
    )
    parser.add_argument(
        "--foreground",
        choices=("auto", "pasted", "edited"),
        default="auto",
        help="edited: inpainted or recoloured in its place, fitted across the edge of the mask; pasted: an object from "
        "elsewhere, always changed; auto: sees which it is, and leaves alone what seems to fit (default: %(default)s)",
    )
    parser.add_argument(
        "--defringe",
        action="store_true",
        help="first take the colour of an old background out of the rim of a cut-out, as its mask has it",
    )
    parser.add_argument("--invert-mask", action="store_true", help="for masks that are black where the foreground is")
    parser.add_argument(
        "--precision",
        choices=("auto", "float32", "float16", "bfloat16"),
        default="auto",
        help="number format of the network; auto is bfloat16 where the processor has it, else float32",
    )
    parser.add_argument("--device", metavar="D", help="such as cpu or cuda (default: cuda where there is one)")


def add_light_arguments(parser: argparse.ArgumentParser, of_several: bool = False) -> None:
    """Declares what scene-linear pictures are asked for; several may share an exposure that is found."""
    parser.add_argument(
        "--encoding",
        choices=("auto", "display", "linear"),
        default="auto",
        help="linear: values are light, which OpenEXR and Radiance HDR hold; a display rendering is judged. display: "
        "sRGB or the file's profile. auto: by the format, a TIFF in floating point by its brightest value",
    )
    parser.add_argument(
        "--exposure",
        metavar="EV",
        type=exposure_or_shared if of_several else float,
        help="of scene-linear pictures: judge them as a viewer shows them at this exposure, in stops"
        + ("; shared: at one that is found for all of them, as frames of a shot" if of_several else "")
        + " (default: found in the background)",
    )


def light_options(args: argparse.Namespace, path: Path) -> dict[str, Any]:
    """What the harmonizer is to be told of the values of a file, as its format and the options have it."""
    from ..files.floating import LIGHT

    encoding, suffix = args.encoding, path.suffix.lower()
    if encoding == "auto" and suffix not in (".tif", ".tiff"):
        encoding = "linear" if suffix in LIGHT else "display"
    return {"encoding": encoding, "exposure": args.exposure}


def exposure_or_shared(text: str) -> float | str:
    """A number of stops, or "shared"."""
    if text == SHARED:
        return text
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"a number of stops or 'shared' expected, not {text!r}") from None


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Declares `--workers`."""
    parser.add_argument("--workers", type=count, metavar="N", help="jobs at a time (default: one a core)")


def harmonizer_of(args: argparse.Namespace) -> Callable[..., Tensor]:
    """The harmonizer with the options of the command line."""
    import torch

    from ..hdnet import Harmonizer
    from ..hdnet.network.device import choose_device
    from ..weights import load_network

    harmonizer = Harmonizer(load_network(args.weights, device=choose_device(args.device), precision=args.precision))

    def harmonize(picture: Tensor, mask: Tensor, **others: Any) -> Tensor:
        mask = 1 - mask if args.invert_mask else mask
        given = picture
        if others.get("background") is None:
            picture, others["reference_mask"] = without_hidden_colours(picture, mask, others.get("reference_mask"))
        result = harmonizer(
            picture,
            mask,
            resolution=args.resolution,
            strength=args.strength,
            lightness=args.lightness,
            colour=args.colour,
            feather=args.feather,
            grow=args.grow,
            blend_grow=args.blend_grow,
            blend_feather=args.blend_feather,
            foreground=args.foreground,
            defringe=args.defringe,
            **others,
        )
        if picture is not given:
            result = torch.where(given[..., 3:] > 0, result, given)
        return result

    return harmonize


def without_hidden_colours(picture: Tensor, mask: Tensor, reference: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """A picture and its reference such that the colours of transparent pixels, which nobody sees, say nothing.

    Args:
        picture: ``[1, H, W, 3 or 4]``.
        mask: ``[1, h, w]``, 1 = foreground.
        reference: ``[1, h, w]``, 1 = may serve as reference; None for all that is not foreground.

    Raises:
        ValueError: Nothing is to be seen outside the foreground.
    """
    from ..hdnet.harmonize.masks import fit_mask

    if picture.shape[-1] < 4 or picture[..., 3].min() > 0:
        return picture, reference
    seen = picture[..., 3] > 0
    if (seen * (1 - fit_mask(mask, picture.shape[1:3]))).max() < 0.5:
        raise ValueError(
            "All that lies outside the mask is transparent, so there is nothing to match; give a picture to paste onto."
        )
    filled = picture.clone()
    filled[..., :3][~seen] = picture[..., :3][seen].mean(0)
    return filled, seen.float() if reference is None else seen * fit_mask(reference, picture.shape[1:3])


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Lets the library's warnings name the file in place of a number in the batch."""

    def name_it(record: logging.LogRecord) -> bool:
        record.msg, record.args = re.sub("(?i)image 0", lambda _: path.name, record.getMessage()), ()
        return True

    from ..hdnet import harmonize

    library = logging.getLogger(harmonize.__name__)
    library.addFilter(name_it)
    try:
        yield
    finally:
        library.removeFilter(name_it)


def resolution(text: str) -> int | str:
    """A working resolution, see :mod:`..hdnet.harmonize.options`."""
    from ..hdnet.harmonize.options import check_resolution

    try:
        return check_resolution(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def share(text: str) -> float:
    """A part of a whole, 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must be a number in 0..1, not {text!r}")
    return value


def strength(text: str) -> float:
    """A strength, see :mod:`..hdnet.harmonize.options`."""
    from ..hdnet.harmonize.options import check_strength

    try:
        return check_strength(float(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"The strength must be a number in 0..2, not {text!r}.") from None


def count(text: str) -> int:
    """A whole number of 1 or more."""
    if not text.isdecimal() or not 1 <= int(text) <= MOST:
        raise argparse.ArgumentTypeError(f"a whole number of 1 to {MOST} expected, not '{text}'")
    return int(text)


def report_failures(failures: list, what: str, fate: str) -> int:
    """List what failed on stderr; the exit code."""
    if not failures:
        return 0
    plural = "s" if len(failures) > 1 else ""
    print(f"{len(failures)} {what}{plural} {fate}:", file=sys.stderr)
    for _, error in failures:
        print(f"  {printable(error)}", file=sys.stderr)
    return 1
