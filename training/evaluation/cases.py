"""The pairs an evaluation runs on: iHarmony4's test lists, or validation composites of photographs."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from ..data.iharmony4 import find_pairs
from ..data.photos import Photographs, validation_index, validation_sample
from ..sample import Sample
from .evaluate import Case
from .in_use import COUNT, cases_in_use

VALIDATION_PAIRS = 160


def find_cases(
    root: str | Path, size: int | None = 256, limit: int | None = None, kind: str = "", split: str = "choose"
) -> list[Case]:
    """The cases that a folder offers.

    Args:
        root: In the layout of iHarmony4, for the pairs of its test lists; or photographs with `images/` and
            `masks/`, for composites of the validation split, the same on every call.
        size: Of the square that pictures are resized to; None keeps their own size.
        limit: At most this many pairs; the first of each subset, evenly. Of photographs, the number of composites.
        kind: Of the composites of photographs, as they are in use, see `in_use`; "" for those of training.
        split: Of the photographs: "choose", by which weights are chosen, or "quote", for figures to quote.

    Raises:
        ValueError: If the folder is laid out in neither way, or files are missing (all are named at once).
    """
    root = Path(root)
    if not root.is_dir():
        raise ValueError(f"{root}: no such folder.")
    if (root / "images").is_dir() and (root / "masks").is_dir():
        if kind:
            return cases_in_use(Photographs(root, split), kind, limit or COUNT)
        return validation_cases(Photographs(root, split), limit or VALIDATION_PAIRS, size)
    if kind:
        raise ValueError(f"{root}: --kind makes composites of photographs, which need images/ and masks/.")
    cases = [Case(pair.name, pair.subset, partial(pair.load, size)) for pair in find_pairs(root, "test")]
    return _first(cases, limit) if limit else cases


def validation_cases(photographs: Photographs, count: int = VALIDATION_PAIRS, size: int | None = 256) -> list[Case]:
    """The composites of `photos.validation_set`, each made when its turn comes."""

    def case(position: int) -> Case:
        picture = photographs.pictures[photographs.with_masks[validation_index(photographs, position)]].stem
        return Case(f"{position} {picture}", "photographs", partial(validation_sample, photographs, position, size))

    return [case(position) for position in range(count)]


def already_harmonious(case: Case) -> Case:
    """The case with the real picture as its composite: what is changed there is harm."""

    def load() -> Sample:
        sample = case.load()
        return replace(sample, composite=sample.real)

    return Case(case.name, case.subset, load)


def with_mask_error(case: Case, pixels: int) -> Case:
    """The case with its mask grown by `pixels`, or shrunk where negative, as masks of segmenters and brushes are.

    Near a precise mask the rim betrays the answer: pixels of the object just outside it kept their true colour.
    """

    def load() -> Sample:
        sample = case.load()
        grow = ImageFilter.MaxFilter if pixels > 0 else ImageFilter.MinFilter
        return replace(sample, mask=np.asarray(Image.fromarray(sample.mask).filter(grow(2 * abs(pixels) + 1))))

    return Case(case.name, case.subset, load) if pixels else case


def _first(cases: list[Case], limit: int) -> list[Case]:
    """The first `limit` cases when subsets take turns, in the order they came."""
    turns: dict[str, int] = {}
    ranked = []
    for position, case in enumerate(cases):
        turns[case.subset] = turns.get(case.subset, 0) + 1
        ranked.append((turns[case.subset], position))
    return [cases[position] for _, position in sorted(sorted(ranked)[:limit], key=lambda turn: turn[1])]
