"""One picture of the best, median and worst cases of an evaluation, for a person to look at."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ...files.atomic import write_whole
from .evaluate import Case, Harmonize, Protocol, Score, harmonized, input_picture
from .metrics import standing_out
from .report import NETWORK

CELL = 256
GAP = 8
LINE = 20
COLUMNS = ("before", "mask", "after", "real", "worst edge, before", "after")
EDGE = 64  # pixels of the worst edge, which are enlarged
PAPER, INK = (250, 250, 250), (20, 20, 20)


def write_contact_sheet(
    path: str | Path,
    cases: list[Case],
    scores: list[Score],
    harmonize: Harmonize,
    protocol: Protocol,
    *,
    rows_each: int = 4,
) -> None:
    """Writes a PNG, a row a case: before, mask, after, real, and the worst edge enlarged, under their figures.

    The cases are ranked by how far their fMSE fell; those shown are harmonized once more.

    Args:
        path: Of the PNG to write.
        cases: All that were evaluated, names without double.
        scores: What `evaluate` returned for them.
        harmonize: The method that is shown; its scores are those named "network".
        protocol: That of the evaluation.
        rows_each: How many best, how many median, how many worst cases.

    Raises:
        ValueError: If there is no score.
    """
    by_name = {case.name: case for case in cases}
    rows = []
    for kind, score in best_median_worst(scores, rows_each):
        sample = by_name[score.name].load()
        before = input_picture(sample, protocol)
        after = harmonized(before, sample.foreground, harmonize)
        mask = np.repeat(sample.mask[..., None], 3, axis=-1)
        edge = worst_edge(before, after, sample.mask)
        enlarged = [picture[edge].repeat(CELL // EDGE, 0).repeat(CELL // EDGE, 1) for picture in (before, after)]
        rows.append((_caption(kind, score), [before, mask, after, sample.real, *enlarged]))
    sheet = _draw(rows)
    write_whole(path, lambda file: sheet.save(file, format="PNG"))


def best_median_worst(scores: list[Score], each: int) -> list[tuple[str, Score]]:
    """Up to `each` of the best, of the median and of the worst cases, in this order, none twice."""
    if not scores:
        raise ValueError("no pair could be judged, so there is nothing to show")
    ranked = sorted(scores, key=_fmse_change)
    each = max(1, min(each, len(ranked) // 3))
    middle = (len(ranked) - each) // 2
    chosen = {"best": ranked[:each], "median": ranked[middle : middle + each], "worst": ranked[-each:]}
    if len(ranked) < 3:
        chosen = {"best": ranked[:1], "worst": ranked[1:]}
    return [(kind, score) for kind, group in chosen.items() for score in group]


def worst_edge(before: np.ndarray, after: np.ndarray, mask: np.ndarray) -> tuple[slice, slice]:
    """The part of a picture, `EDGE` pixels square, in whose middle a change made the mask's edge stand out most."""
    grown, near = standing_out(before, after, mask)
    place = np.unravel_index(np.argmax(np.where(near, grown, np.int16(-999))), grown.shape)
    rows, columns = (
        slice(start := max(0, min(int(middle) - EDGE // 2, side - EDGE)), start + EDGE)
        for middle, side in zip(place, grown.shape)
    )
    return rows, columns


def _fmse_change(score: Score) -> float:
    return score.metrics[NETWORK].fmse - score.metrics["composite"].fmse


def _caption(kind: str, score: Score) -> str:
    before, after = score.metrics["composite"], score.metrics[NETWORK]
    return (
        f"{kind}: {score.name}    foreground {score.foreground_ratio:.1%}    "
        f"fMSE {before.fmse:.1f} to {after.fmse:.1f}    PSNR {before.psnr:.2f} to {after.psnr:.2f} dB"
    )


def _draw(rows: list[tuple[str, list[np.ndarray]]]) -> Image.Image:
    step = CELL + GAP
    sheet = Image.new("RGB", (GAP + len(COLUMNS) * step, LINE + len(rows) * (step + LINE)), PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=13)
    for column, title in enumerate(COLUMNS):
        draw.text((GAP + column * step, 3), title, INK, font)
    for row, (caption, pictures) in enumerate(rows):
        top = LINE + row * (step + LINE)
        draw.text((GAP, top + 2), caption, INK, font)
        for column, picture in enumerate(pictures):
            thumbnail = Image.fromarray(picture)
            thumbnail.thumbnail((CELL, CELL), Image.Resampling.LANCZOS)
            sheet.paste(thumbnail, (GAP + column * step, top + LINE))
    return sheet
