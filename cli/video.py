"""`harmonize video`: a film."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files.text import printable
from .arguments import add_common_arguments

if TYPE_CHECKING:
    from ..files.video import MaskedFrame

PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of `harmonize video`."""
    parser.epilog = (
        "The mask is a film, a folder of pictures, one picture, or COMPOSITE itself for its alpha; white is the "
        "foreground. Sound and subtitles are copied where the container of OUT holds them. Needs the extra 'video'."
    )
    parser.add_argument("composite", metavar="COMPOSITE", type=Path, help="the film with its pasted foreground")
    parser.add_argument("mask", metavar="MASK", type=Path, help="white = the foreground to change")
    parser.add_argument("-o", "--output", metavar="OUT", type=Path, required=True, help="the film to write")
    parser.add_argument("--codec", choices=("h264", "hevc", "vp9", "prores", "ffv1"), help="default: the film's own")
    parser.add_argument("--crf", type=int, default=16, help="of h264 and hevc, 0 is lossless (default: %(default)s)")
    parser.add_argument("--preset", choices=PRESETS, default="fast", help="of h264 and hevc (default: %(default)s)")
    add_common_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Harmonizes a film."""
    from tqdm import tqdm

    from ..files.video import Film, masked_frames, write_film
    from ..hdnet import Harmonizer
    from ..hdnet.harmonize.film import FilmHarmonizer
    from ..hdnet.network.device import choose_device
    from ..weights import load_network

    if (args.grow, args.feather, args.blend_grow, args.blend_feather, args.lightness, args.colour) != (
        0,
        0,
        0,
        0,
        1,
        1,
    ):
        raise ValueError("Of a film, the mask is taken as it is and the change as a whole; change the mask itself.")
    given = (args.composite, args.mask)
    if args.output.exists() and any(each.exists() and each.samefile(args.output) for each in given):
        raise ValueError(f"{args.output}: this would overwrite a file given; name another.")
    if not args.mask.exists():
        raise ValueError(f"{args.mask}: there is no such file or folder.")
    film = Film(args.composite)
    network = load_network(args.weights, device=choose_device(args.device), precision=args.precision)
    harmonize = FilmHarmonizer(Harmonizer(network), args.resolution, args.strength, args.foreground)
    done = 0
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        with tqdm(total=film.count, unit="frame", disable=None) as bar:

            def frames(aside: Callable[[Any], None]) -> Iterator[MaskedFrame]:
                nonlocal done
                for frame in harmonize(masked_frames(film, args.mask, args.invert_mask, aside)):
                    done += 1
                    bar.update()
                    yield frame

            write_film(args.output, film, frames, args.codec, args.crf, args.preset)
    finally:
        signal.signal(signal.SIGTERM, before)
        film.close()
    print(f"{printable(args.output)}: {done} frames, {harmonize.shots} shots")
    return 0


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
