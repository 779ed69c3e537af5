"""`harmonize video`: a film."""

from __future__ import annotations

import argparse
import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files.text import printable
from .arguments import add_common_arguments

if TYPE_CHECKING:
    from ..files.video import Film
    from ..files.video_frames import MaskedFrame
    from ..hdnet.harmonize.anchors import Anchor

PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")
CODECS = ("h264", "hevc", "vp9", "prores", "ffv1", "qtrle", "png")
READ_AHEAD = 4  # frames
NOT_OF_FILMS = {"grow": 0, "feather": 0, "blend_grow": 0, "blend_feather": 0, "lightness": 1, "colour": 1}
NOT_OF_FILMS["defringe"] = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of `harmonize video`."""
    parser.epilog = (
        "The mask is a film, a folder of pictures, one picture, or COMPOSITE itself for its alpha; white is the "
        "foreground. A film of masks is matched by time, pictures one a frame. Sound and subtitles are copied where "
        "the container of OUT holds them. Needs the extra 'video'."
    )
    parser.add_argument("composite", metavar="COMPOSITE", type=Path, help="the film with its pasted foreground")
    parser.add_argument("mask", metavar="MASK", type=Path, help="white = the foreground to change")
    parser.add_argument("-o", "--output", metavar="OUT", type=Path, required=True, help="the film to write")
    parser.add_argument(
        "--background",
        metavar="F",
        type=Path,
        help="a film or a picture of the same size to paste the foreground onto; a shift of tones that COMPOSITE shows "
        "against it outside the mask, as after inpainting, is taken back inside",
    )
    parser.add_argument(
        "--anchor",
        metavar="T[-T]",
        type=anchor,
        action="append",
        default=[],
        help="a frame or a range, such as 12.5, 1:05 or 3-4.5 (seconds, minutes), whose change holds for the whole of "
        "its shot; may be given for several shots",
    )
    parser.add_argument("--codec", choices=CODECS, help="default: the film's own")
    parser.add_argument("--crf", type=int, default=16, help="of h264 and hevc, 0 is lossless (default: %(default)s)")
    parser.add_argument(
        "--preset",
        choices=PRESETS,
        default="fast",
        help="of h264 and hevc; encoding takes most of the time: h264 with veryfast and --crf 14 comes near the "
        "quality of fast and --crf 16, encoded in half the time into files a fifth larger (default: %(default)s)",
    )
    add_common_arguments(parser)


def anchor(text: str) -> Anchor:
    """An anchor, see :mod:`..hdnet.harmonize.anchors`."""
    from ..hdnet.harmonize.anchors import Anchor

    try:
        return Anchor.read(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def run(args: argparse.Namespace) -> int:
    """Harmonizes a film."""
    from tqdm import tqdm

    from ..files.ahead import ahead, cores_left
    from ..files.video import Film
    from ..files.video_frames import masked_frames
    from ..files.video_output import write_film
    from ..hdnet import Harmonizer
    from ..hdnet.harmonize.film import FilmHarmonizer
    from ..hdnet.network.device import choose_device
    from ..weights import load_network

    _check(args)
    film = Film(args.composite)
    mask = None if args.mask.samefile(args.composite) else args.mask
    network = load_network(args.weights, device=choose_device(args.device), precision=args.precision)
    harmonize = FilmHarmonizer(Harmonizer(network), args.resolution, args.strength, args.foreground)

    def frames_of(opened: Film, aside: Callable[[Any], None] | None = None) -> Iterator[MaskedFrame]:
        return ahead(masked_frames(opened, mask, args.invert_mask, args.background, aside), READ_AHEAD)

    done = 0
    with _stopped_by_signal(), _said_once(), cores_left():
        if args.anchor:
            seen = Film(args.composite)
            harmonize.anchor(frames_of(seen), args.anchor)
            seen.close()
        with tqdm(total=film.length, unit="frame", disable=None) as bar:

            def frames(aside: Callable[[Any], None]) -> Iterator[MaskedFrame]:
                nonlocal done
                for frame in harmonize(frames_of(film, aside)):
                    done += 1
                    bar.update()
                    yield frame

            write_film(args.output, film, frames, args.codec, args.crf, args.preset)
    film.close()
    print(f"{printable(args.output)}: {done} frames, {harmonize.shots} shot{'s' * (harmonize.shots != 1)}")
    return 0


def _check(args: argparse.Namespace) -> None:
    from ..files.floating import LIGHT

    if any(getattr(args, name) != value for name, value in NOT_OF_FILMS.items()):
        raise ValueError("Of a film, the mask is taken as it is and the change as a whole; change the mask itself.")
    given = [each for each in (args.composite, args.mask, args.background) if each]
    for each in given:
        if not each.exists():
            raise ValueError(f"{each}: there is no such file or folder.")
    if args.composite.is_dir():
        raise ValueError(
            f"{args.composite}: this is a folder; harmonize a sequence of pictures with 'harmonize folder'."
        )
    for each in (args.composite, args.background, args.output):
        if each and each.suffix.lower() in LIGHT:
            raise ValueError(f"{each}: films hold no scene-linear light; harmonize its frames with 'harmonize folder'.")
    if args.output.exists() and any(each.samefile(args.output) for each in given):
        raise ValueError(f"{args.output}: this would overwrite a file given; name another.")


@contextmanager
def _stopped_by_signal() -> Iterator[None]:
    """Lets SIGTERM do what Ctrl-C does, so that no part of a file stays."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _said_once() -> Iterator[None]:
    """Lets a warning that is true of every frame be said once."""
    said: set[str] = set()

    def is_new(record: logging.LogRecord) -> bool:
        if (text := record.getMessage()) in said:
            return False
        said.add(text)
        return True

    handlers = logging.root.handlers
    for each in handlers:
        each.addFilter(is_new)
    try:
        yield
    finally:
        for each in handlers:
            each.removeFilter(is_new)
