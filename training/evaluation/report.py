"""What an evaluation says: a JSON report, a table of every picture, and tables to read in a terminal."""

import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...files.atomic import write_whole
from .evaluate import Failure, Score
from .metrics import Metrics, average, worse_fraction

FOREGROUND_RATIOS = {"0-5%": (0.0, 0.05), "5-15%": (0.05, 0.15), "15-100%": (0.15, math.inf)}
"""The paper's classes of foreground size: at least the first share of the picture, less than the second."""

STRATA = {"below 200": (0, 200), "200 to 1000": (200, 1000), "above 1000": (1000, math.inf)}
"""How far off a composite was, by its fMSE."""

COLUMNS = {"mse": "MSE", "psnr": "PSNR", "fmse": "fMSE", "ssim": "SSIM"}

NETWORK = "network"
"""Name under which the network's own metrics are kept in a `Score`."""


def summarise(
    scores: list[Score],
    failures: list[Failure],
    *,
    weights: str,
    protocol: str,
    size: int | str,
    resolution: int | str,
) -> dict:
    """The report as plain values for JSON; a mean over no pictures is None.

    Returns:
        `weights`, `protocol`, `size`, `resolution`, `n`; `subsets`, `average`, `foreground_ratio` and
        `worse_fraction` of the network; under `composite` the average of the untouched input together with its
        `subsets` and `foreground_ratio`; under `baselines`, if any were measured, the same and `worse_fraction`
        for each; under `strata`, for each method, figures by how far off the composites were; `failed` with the
        name and reason of each pair that could not be judged.
    """
    methods = list(scores[0].metrics) if scores else ["composite", NETWORK]
    report: dict[str, Any] = {
        "weights": weights,
        "protocol": protocol,
        "size": size,
        "resolution": resolution,
        "n": len(scores),
    }
    network = _method(scores, NETWORK)
    report["subsets"] = network.pop("subsets")
    report["foreground_ratio"] = network.pop("foreground_ratio")
    worse = network.pop("worse_fraction")
    report["average"] = network
    report["composite"] = _method(scores, "composite")
    del report["composite"]["worse_fraction"]
    report["worse_fraction"] = worse
    if baselines := [name for name in methods if name not in ("composite", NETWORK)]:
        report["baselines"] = {name: _method(scores, name) for name in baselines}
    report["strata"] = {name: _strata(scores, name) for name in methods if name != "composite"}
    if scores and scores[0].speckle:
        report["speckle"] = {name: _speckle(scores, name) for name in scores[0].speckle}
    report["failed"] = [{"name": failure.name, "reason": failure.reason} for failure in failures]
    return report


def averages(scores: list[Metrics]) -> dict:
    """`n` and the mean of each measure, as plain values for JSON."""
    return {"n": len(scores)} | {name: _finite(value) for name, value in average(scores)._asdict().items()}


def write_json(path: str | Path, report: dict) -> None:
    """Writes the report, whole or not at all."""
    text = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_whole(path, lambda file: file.write(text.encode("utf-8", "surrogateescape")))


def write_csv(path: str | Path, scores: list[Score]) -> None:
    """Writes a row for each picture, with every measure of every method."""
    methods = list(scores[0].metrics) if scores else ["composite", NETWORK]
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    columns = [f"{method}_{measure}" for method in methods for measure in Metrics._fields]
    writer.writerow(["name", "subset", "width", "height", "foreground_ratio", *columns])
    for score in scores:
        values = [f"{value:.6g}" for method in methods for value in score.metrics[method]]
        writer.writerow([score.name, score.subset, score.width, score.height, f"{score.foreground_ratio:.6g}", *values])
    write_whole(path, lambda file: file.write(text.getvalue().encode("utf-8", "surrogateescape")))


def tables(report: dict) -> str:
    """The report as aligned text, laid out like the paper's tables."""
    size = report["size"] if report["size"] == "full" else f"{report['size']}×{report['size']}"
    count = "1 pair" if report["n"] == 1 else f"{report['n']} pairs"
    title = f"{report['weights']}, {count}, {size}, {report['protocol']}"
    if kind := report.get("kind"):
        title = f"{kind} ({report['split']}): {title}"
    if error := report.get("mask_error"):
        title += f", masks {'grown' if error > 0 else 'shrunk'} by {abs(error)} px"

    label = Path(report["weights"]).stem
    network = {key: report[key] for key in ("subsets", "foreground_ratio", "worse_fraction")} | report["average"]
    rows = {"composite": report["composite"], **report.get("baselines", {}), label: network}

    parts = [title, _overall_table(rows)]
    if len(report["subsets"]) > 1:
        parts.append(_group_table("subset", "subsets", rows, ("mse", "psnr")))
    parts.append(_group_table("foreground ratio", "foreground_ratio", rows, ("mse", "fmse")))
    parts.append(_strata_table(report))
    if found := report.get("speckle"):
        cells = (
            f"{label if name == NETWORK else name} {1000 * each['mean']:.2f}, {1000 * each['worst']:.1f}"
            for name, each in found.items()
        )
        parts.append("speckle on edges, per mille, mean and worst: " + "; ".join(cells))
    if idle := report.get("harmonious"):
        changes = ", ".join(f"{name} {_cell(measure, idle[measure])}" for measure, name in COLUMNS.items())
        parts.append(f"change to {idle['n']} pictures that are harmonious already: {changes}")
    return "\n\n".join(parts)


def _method(scores: list[Score], method: str) -> dict:
    """Averages of one method: over everything, by subset and by foreground ratio."""
    subsets: dict[str, list[Metrics]] = {score.subset: [] for score in scores}
    ratios: dict[str, list[Metrics]] = {name: [] for name in FOREGROUND_RATIOS}
    for score in scores:
        subsets[score.subset].append(score.metrics[method])
        for name, (low, high) in FOREGROUND_RATIOS.items():
            if low <= score.foreground_ratio < high:
                ratios[name].append(score.metrics[method])
    before = [score.metrics["composite"] for score in scores]
    after = [score.metrics[method] for score in scores]
    return {
        **averages(after),
        "worse_fraction": _finite(worse_fraction(before, after)),
        "subsets": {name: averages(group) for name, group in subsets.items()},
        "foreground_ratio": {name: averages(group) for name, group in ratios.items()},
    }


def _speckle(scores: list[Score], method: str) -> dict[str, float]:
    values = [score.speckle[method] for score in scores]
    return {"mean": math.fsum(values) / len(values), "worst": max(values)}


def _strata(scores: list[Score], method: str) -> dict[str, dict]:
    """For all pictures, and by how far off they were: n, fMSE before and after, share made worse and of the change."""
    groups = {"all": (0, math.inf)} | STRATA
    return {
        name: _stratum([s for s in scores if low <= s.metrics["composite"].fmse < high], method)
        for name, (low, high) in groups.items()
    }


def _stratum(scores: list[Score], method: str) -> dict:
    before, after = ([score.metrics[name] for score in scores] for name in ("composite", method))
    was = average(before).fmse
    agreement = math.fsum(score.agreement[method] for score in scores) / len(scores) if scores else math.nan
    return {
        "n": len(scores),
        "before": _finite(was),
        "after": _finite(average(after).fmse),
        "worse_fraction": _finite(worse_fraction(before, after)),
        "share_of_change": _finite(agreement / was) if was else None,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None  # JSON has no NaN


def _overall_table(rows: dict[str, dict]) -> str:
    header = ["", *COLUMNS.values(), "fMSE change", "made worse"]
    before = rows["composite"]["fmse"]
    body = []
    for name, values in rows.items():
        change = worse = None
        if name != "composite" and before:
            change = f"{values['fmse'] / before - 1:+.1%}"
        if values.get("worse_fraction") is not None:
            worse = f"{values['worse_fraction']:.1%}"
        cells = [_cell(measure, values[measure]) for measure in COLUMNS]
        body.append([name, *cells, change or "–", worse or "–"])
    return _align([header, *body])


def _group_table(title: str, key: str, rows: dict[str, dict], measures: tuple[str, ...]) -> str:
    """A row for each method; for each group of pictures a block of the measures side by side."""
    blocks = [[title, "", *rows]]
    for group, composite in rows["composite"][key].items():
        body = [[_cell(measure, values[key][group][measure]) for measure in measures] for values in rows.values()]
        lines = _align([["", *row] for row in ([COLUMNS[measure] for measure in measures], *body)]).splitlines()
        blocks.append([f"{group} ({composite['n']})", *lines])
    return _align(list(zip(*blocks, strict=True)))


def _strata_table(report: dict) -> str:
    """How much of the error each method takes away, and of how many pictures it adds, by how far off they were."""
    first = next(iter(report["strata"].values()))
    header = ["composite's fMSE", *(f"{name} ({group['n']})" for name, group in first.items())]
    rows = [header]
    for method, groups in report["strata"].items():
        name = Path(report["weights"]).stem if method == NETWORK else method
        rows.append([name, *(_stratum_cell(group) for group in groups.values())])
    return _align(rows) + "\nchange of fMSE / made worse / share of the true change made"


def _stratum_cell(group: dict) -> str:
    if not group["n"] or not group["before"]:
        return "–"
    change = group["after"] / group["before"] - 1
    return f"{change:+.1%} / {group['worse_fraction']:.0%} / {group['share_of_change']:.2f}"


def _cell(measure: str, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.4f}" if measure == "ssim" else f"{value:.2f}"


def _align(rows: Sequence[Sequence[str]]) -> str:
    """Text columns: the first flush left, the others flush right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
