"""Writes harmonization pairs made from photographs, in the layout of iHarmony4."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from ...files.atomic import write_whole
from ...files.training_images import PictureError, save_image
from .file_jobs import for_each
from .photos import Photographs

SUBSET = "Photographs"
LARGEST = 16384  # pixels
MOST_PAIRS = 10_000_000
LISTS = {"train": "train", "val": "test"}  # the splits of photographs, as iHarmony4 calls them


def synthesize(
    photographs: str | Path,
    out: str | Path,
    pairs: int,
    seed: int = 0,
    *,
    size: int | None = None,
    split: str | None = None,
    workers: int | None = None,
) -> list[tuple[str, PictureError]]:
    """Make a data set of composites by recolouring the objects in photographs.

    Photographs for training fill the train list, those for validation the test list. Each
    photograph serves once before any serves twice, and each of its masks in turn. The same
    photographs and seed give the same bytes; a pair that is already there is not made again,
    so an interrupted run goes on where it was and a larger `pairs` adds to a finished one.

    Args:
        photographs: folder with `images/` and `masks/`, see `photos`.
        out: the folder to write.
        pairs: how many composites.
        seed: decides masks, colours and order.
        size: pictures become `size`x`size`; None keeps the photographs' own size.
        split: "train" or "val" for the photographs of one split; None for both.
        workers: how many pairs at a time; None for one a core.

    Returns:
        The pairs not made because a photograph or mask is broken, and the errors.

    Raises:
        ValueError: for a wrong argument or layout, or when `out` holds something else.
    """
    if not 1 <= pairs <= MOST_PAIRS:
        raise ValueError(f"The number of pairs must be at least 1 and at most {MOST_PAIRS:,}, not {pairs}.")
    if seed < 0:
        raise ValueError(f"The seed must be at least 0, not {seed}.")
    if size is not None and not 8 <= size <= LARGEST:
        raise ValueError(f"The size must be 8 to {LARGEST} pixels, not {size}.")
    out = Path(out)
    if out.resolve() == Path(photographs).resolve():
        raise ValueError(f"{out}: these are the photographs; the composites need a folder of their own.")
    sources = _open_splits(photographs, split)
    _claim(out, {"seed": seed, "size": size, "photographs": _digest(sources.values())})
    total = sum(len(source) for source in sources.values())
    failures, left = [], pairs
    for number, (name, source) in enumerate(sources.items(), start=1):
        # Every list gets at least one pair where there are enough.
        count = left if number == len(sources) else max(1, min(left - 1, round(pairs * len(source) / total)))
        left -= count
        jobs = _plan(source, count, [seed, number])
        make = partial(_make, source=source, folder=out / SUBSET, size=size)
        broken = for_each(make, jobs, f"Composites, {LISTS[name]} list", workers)
        failures += [(job.name, error) for job, error in broken]
        _write_lists(out, LISTS[name], [job.name for job in jobs], {job.name for job, _ in broken})
    return failures


def _open_splits(root: str | Path, split: str | None) -> dict[str, Photographs]:
    if split is not None:
        return {split: Photographs(root, split)}
    sources = {"train": Photographs(root, "train")}
    try:
        sources["val"] = Photographs(root, "val")
    except ValueError:  # too few photographs to hold some back
        pass
    return sources


def _claim(out: Path, settings: dict) -> None:
    """Keep pairs of different settings out of one folder."""
    marker = out / "synthesis.json"
    if marker.is_file():
        if json.loads(marker.read_text(encoding="utf-8")) != settings:
            raise ValueError(f"{out}: holds composites made with other settings, see {marker.name}.")
    elif (out / SUBSET).exists():
        raise ValueError(f"{out}: already has a subset {SUBSET} that was not made here.")
    else:
        write_whole(marker, lambda file: file.write(json.dumps(settings, indent=2).encode() + b"\n"))


def _digest(sources: Iterable[Photographs]) -> str:
    """Tells one collection of photographs and masks from another, by their names."""
    names = [
        [picture.name, [mask.name for mask in masks]]
        for source in sources
        for picture, masks in zip(source.pictures, source.masks, strict=True)
    ]
    return hashlib.sha256(json.dumps(names).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class _Job:
    picture: str  # name of the photograph
    mask: int
    repetition: int  # how often photograph and mask were used before
    index: int  # of the photograph among those with masks
    seed: tuple[int, ...]

    @property
    def name(self) -> str:
        return f"{self.picture}_{self.mask + 1}_{self.repetition + 1}"


def _plan(source: Photographs, count: int, seed: list[int]) -> list[_Job]:
    """The pairs to make; the first ones do not depend on `count`."""
    order = np.random.default_rng(seed).permutation(len(source))
    jobs = []
    for number in range(count):
        index = int(order[number % len(order)])
        photo = source.with_masks[index]
        repetition, mask = divmod(number // len(order), len(source.masks[photo]))
        picture = source.pictures[photo].stem
        jobs.append(_Job(picture, mask, repetition, index, (*seed, number)))
    return jobs


def _make(job: _Job, source: Photographs, folder: Path, size: int | None) -> None:
    real = folder / "real_images" / f"{job.picture}.jpg"
    mask = folder / "masks" / f"{job.picture}_{job.mask + 1}.png"
    composite = folder / "composite_images" / f"{job.name}.jpg"
    if composite.is_file():  # it is written last
        return
    sample = source.whole(job.index, np.random.default_rng(job.seed), size, job.mask)
    # what the pairs of a photograph share may be written by several at once: the same bytes, whole each time
    if not real.is_file():
        save_image(Image.fromarray(sample.real), real)
    if not mask.is_file():
        save_image(Image.fromarray(sample.mask), mask)
    save_image(Image.fromarray(sample.composite), composite)


def _write_lists(out: Path, split: str, names: list[str], broken: set[str]) -> None:
    lines = [f"{SUBSET}/composite_images/{name}.jpg\n" for name in names if name not in broken]
    text = "".join(lines).encode("utf-8", "surrogateescape")
    for path in (out / f"IHD_{split}.txt", out / SUBSET / f"{SUBSET}_{split}.txt"):
        if lines:
            write_whole(path, lambda file: file.write(text))
