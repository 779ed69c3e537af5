"""Quality against time: weights beside classical colour transfer, on the validation composites of photographs.

    python -m harmonize_composite.benchmarks.quality PHOTOS --weights hdnet-lite hdnet --plot quality.png

Needs the extra `train`, and matplotlib for `--plot`.
"""

import argparse
import platform
import statistics
import time
from pathlib import Path

from tqdm import tqdm

from ..files.atomic import write_whole
from ..training.data.photos import Photographs
from ..training.evaluation.baselines import BASELINES
from ..training.evaluation.cases import validation_cases
from ..training.evaluation.evaluate import Harmonize, Score, by_network, evaluate
from ..training.evaluation.metrics import average, worse_fraction


def main(arguments: list[str] | None = None) -> None:
    """Measures, prints a table and draws the plot."""
    parser = argparse.ArgumentParser(description="Quality and time of weights and of classical colour transfer.")
    parser.add_argument("photos", metavar="PHOTOS", type=Path, help="folder with images/ and masks/")
    parser.add_argument("--weights", nargs="+", default=["hdnet-lite"], help="names or files (default: hdnet-lite)")
    parser.add_argument("--size", type=int, default=256, help="squares of this many pixels (default: 256)")
    parser.add_argument("--count", type=int, default=160, help="number of composites (default: 160)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--plot", type=Path, metavar="OUT.png", help="draw PSNR against time")
    args = parser.parse_args(arguments)

    import torch

    from ..hdnet import Harmonizer
    from ..weights import load_network

    networks = {Path(w).stem: by_network(Harmonizer(load_network(w, device=args.device))) for w in args.weights}
    cases = validation_cases(Photographs(args.photos, "val"), args.count, args.size)
    rows = compare(cases, BASELINES | networks)

    print(f"{len(cases)} composites, {args.size}×{args.size}, real-background")
    print(f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"{'':12}{'ms':>8}{'PSNR':>8}{'MSE':>9}{'fMSE':>9}{'SSIM':>8}{'worse':>8}")
    for name, row in rows.items():
        quality = row["quality"]
        print(
            f"{name:12}{1000 * row['seconds']:8.1f}{quality.psnr:8.2f}{quality.mse:9.2f}"
            f"{quality.fmse:9.2f}{quality.ssim:8.4f}{row['worse']:8.1%}"
        )
    if args.plot:
        draw(rows, args.plot, f"{len(cases)} composites of photographs, {args.size}×{args.size}")


def compare(cases: list, methods: dict[str, Harmonize]) -> dict[str, dict]:
    """Runs every method on every case, one after the other in one thread.

    Returns:
        For each method, and for "composite", the untouched input: `quality` (mean `Metrics`), `worse` (share of
        pictures whose fMSE rose) and `seconds` (median time a picture).
    """
    times = {"composite": [0.0]} | {name: [] for name in methods}

    def timed(name: str, harmonize: Harmonize) -> Harmonize:
        def run(composite, foreground):
            start = time.perf_counter()
            result = harmonize(composite, foreground)
            times[name].append(time.perf_counter() - start)
            return result

        return run

    timed_methods = {name: timed(name, harmonize) for name, harmonize in methods.items()}
    scores, failures = evaluate(
        cases, timed_methods, workers=1, progress=lambda r: tqdm(r, total=len(cases), disable=None)
    )
    if not scores:
        raise SystemExit(f"no composite could be made: {failures[0].reason}")
    return {name: _row(scores, name) | {"seconds": statistics.median(times[name])} for name in times}


def _row(scores: list[Score], name: str) -> dict:
    before, after = ([score.metrics[method] for score in scores] for method in ("composite", name))
    return {"quality": average(after), "worse": worse_fraction(before, after)}


def draw(rows: dict[str, dict], path: Path, title: str) -> None:
    """Draws PSNR against the time a picture takes as PNG; the untouched composite is a line."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.subplots()
    untouched = rows["composite"]["quality"].psnr
    axes.axhline(untouched, color="grey", linestyle="--", linewidth=1)
    axes.text(0.01, untouched, "composite, untouched", transform=axes.get_yaxis_transform(), va="bottom", color="grey")
    for name, row in rows.items():
        if name == "composite":
            continue
        point = (1000 * row["seconds"], row["quality"].psnr)
        axes.plot(*point, "s" if name in BASELINES else "o", label=name)
    axes.set(xscale="log", xlabel="milliseconds a picture", ylabel="PSNR (dB), higher is better", title=title)
    axes.margins(x=0.25, y=0.12)
    axes.grid(alpha=0.3)
    axes.legend()
    write_whole(path, lambda file: figure.savefig(file, format="png", dpi=150))


if __name__ == "__main__":
    main()
