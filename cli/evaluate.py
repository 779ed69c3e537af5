"""`harmonize evaluate`: how well weights harmonize pairs whose truth is known."""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from ..files.text import printable
from ..weights.catalogue import DEFAULT
from .arguments import count, resolution, strength

PROTOCOLS = ("real-background", "composite-background")
KINDS = ("camera", "pasted", "inpainted", "recoloured", "guided")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of the command."""
    parser.description = (
        "Judge weights on pairs of composite and real picture: MSE, PSNR, foreground MSE and SSIM for each subset "
        "and each size of the foreground, beside the untouched composite."
    )
    parser.add_argument(
        "root",
        metavar="ROOT",
        type=Path,
        help="an iHarmony4 folder, whose test lists are used; or photographs with masks (images/ and masks/), of "
        "whose validation split fixed composites are made",
    )
    parser.add_argument("--weights", default=DEFAULT, help="name, file or hub:owner/repo (default: %(default)s)")
    parser.add_argument(
        "--size",
        type=_size,
        default=256,
        metavar="256|1024|2048|full",
        help="squares of this many pixels, on which the network runs directly as in the paper; or 'full': the "
        "pictures as they are, harmonized at --resolution (default: %(default)s)",
    )
    parser.add_argument(
        "--resolution",
        type=resolution,
        metavar="N|native",
        help="working resolution, as in 'harmonize image' (default: native for squares, 256 for 'full')",
    )
    parser.add_argument(
        "--protocol",
        choices=PROTOCOLS,
        default=PROTOCOLS[0],
        help="whose background input and output carry: the real picture's, as in the paper, or the composite's own, "
        "as in use (default: %(default)s)",
    )
    parser.add_argument(
        "--kind",
        choices=KINDS,
        help="judge as in use: composites of photographs at full size, without traces of the object beside the mask "
        "(camera: another camera and light; pasted: another object's colours), inpainted regions, or recoloured in "
        "place; guided: photographs in the light of damaged guides, without a network, with --split, --limit "
        "and --report; implies --size full, the protocol composite-background and --harmonious",
    )
    parser.add_argument(
        "--split",
        choices=("choose", "quote"),
        default="choose",
        help="of the photographs held out: those to choose weights by, or those kept back for figures to quote "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--strength", type=strength, default=1.0, metavar="S", help="as in 'harmonize image', 0 to 2 (default: 1)"
    )
    parser.add_argument(
        "--foreground",
        choices=("auto", "pasted", "edited"),
        help="as in 'harmonize image' (default: auto; on squares pasted, the network alone)",
    )
    parser.add_argument("--report", type=Path, metavar="OUT.json", help="write the figures as JSON")
    parser.add_argument("--csv", type=Path, metavar="OUT.csv", help="write the figures of every picture")
    parser.add_argument("--sheet", type=_png, metavar="OUT.png", help="draw the best, median and worst cases")
    parser.add_argument(
        "--baselines", action="store_true", help="also judge Reinhard, MKL, histogram matching and the seam fit"
    )
    parser.add_argument(
        "--harmonious", action="store_true", help="also measure how much the real pictures, which fit, are changed"
    )
    parser.add_argument(
        "--mask-error",
        type=int,
        default=0,
        metavar="PIXELS",
        help="grow every mask by this, or shrink it where negative, as masks in use are never exact; goes with the "
        "protocol composite-background",
    )
    parser.add_argument("--limit", type=count, metavar="N", help="only N pairs (of photographs: 160)")
    parser.add_argument("--device", help="such as cpu or cuda (default: cuda where there is one)")
    parser.add_argument("--workers", type=count, default=2, metavar="N", help="threads (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Evaluates and prints the tables.

    Returns:
        0, or 1 when a pair could not be judged; the others still were.

    Raises:
        ValueError, OSError: If an argument or the data set is wrong as a whole.
    """
    if args.kind == "guided":
        return _guided(args)
    from tqdm import tqdm

    from ..hdnet import Harmonizer
    from ..hdnet.network.device import choose_device
    from ..training.evaluation.baselines import BASELINES
    from ..training.evaluation.cases import already_harmonious, find_cases, with_mask_error
    from ..training.evaluation.contact_sheet import write_contact_sheet
    from ..training.evaluation.evaluate import by_network, evaluate
    from ..training.evaluation.report import NETWORK, averages, summarise, tables, write_csv, write_json
    from ..weights import load_network

    if args.kind:
        args.size, args.protocol, args.harmonious = "full", "composite-background", True
    resolution = args.resolution or (256 if args.size == "full" else "native")
    cases = find_cases(args.root, None if args.size == "full" else args.size, args.limit, args.kind or "", args.split)
    cases = [with_mask_error(case, args.mask_error) for case in cases]
    network = load_network(args.weights, device=choose_device(args.device))
    # the paper's protocol judges the network alone
    foreground = args.foreground or ("auto" if args.size == "full" else "pasted")
    harmonize = by_network(Harmonizer(network), resolution, foreground=foreground, strength=args.strength)
    methods = {NETWORK: harmonize} | (BASELINES if args.baselines else {})

    def progress(results: Iterable) -> Iterable:
        return tqdm(results, total=len(cases), unit="pair", disable=None)

    scores, failures = evaluate(
        cases, methods, args.protocol, edges=args.size == "full", workers=args.workers, progress=progress
    )
    report = summarise(
        scores, failures, weights=args.weights, protocol=args.protocol, size=args.size, resolution=resolution
    )
    if args.kind:
        report |= {"kind": args.kind, "split": args.split}
    if args.mask_error:
        report["mask_error"] = args.mask_error
    if args.harmonious:
        untouched, _ = evaluate(
            [already_harmonious(case) for case in cases], {NETWORK: harmonize}, workers=args.workers, progress=progress
        )
        report["harmonious"] = averages([score.metrics[NETWORK] for score in untouched])
    if args.report:
        write_json(args.report, report)
    if args.csv:
        write_csv(args.csv, scores)
    if args.sheet and scores:
        write_contact_sheet(args.sheet, cases, scores, harmonize, args.protocol)
    if scores:
        print(tables(report))
    if failures:
        print(f"{len(failures)} of {len(cases)} pairs could not be judged:", file=sys.stderr)
        for failure in failures:
            print(f"  {printable(f'{failure.name}: {failure.reason}')}", file=sys.stderr)
    return 1 if failures else 0


def _guided(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from ..training.data.photos import Photographs
    from ..training.evaluation.guided import guided_cases
    from ..training.evaluation.guided_report import evaluate_guided, guided_table, summarise_guided
    from ..training.evaluation.report import write_json

    cases = guided_cases(Photographs(args.root, args.split), args.limit or 24)
    report = summarise_guided(
        evaluate_guided(cases, lambda each: tqdm(each, total=len(cases), unit="picture", disable=None))
    )
    if args.report:
        write_json(args.report, report)
    print(guided_table(report))
    return 0


def _size(text: str) -> int | str:
    if text == "full":
        return text
    return _multiple(text, "256, 1024, 2048 or full")


def _multiple(text: str, wanted: str) -> int:
    if not text.isdecimal() or not 32 <= int(text) <= 16384:
        raise argparse.ArgumentTypeError(f"{wanted} expected, not '{text}'")
    return int(text)


def _png(text: str) -> Path:
    if Path(text).suffix.lower() != ".png":
        raise argparse.ArgumentTypeError(f"a file that ends in .png expected, not '{text}'")
    return Path(text)
