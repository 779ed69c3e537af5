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

from ...files.storage import Folder
from ...files.training_images import PictureError, encoded
from .file_jobs import ForEach, for_each
from .photos import Photographs
from .remote_photos import open_photographs

SUBSET = "Photographs"
MARKER = "synthesis.json"  # in the folder of pairs: what they were made with
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
    each: ForEach | None = None,
) -> list[tuple[str, PictureError]]:
    """Make a data set of composites by recolouring the objects in photographs.

    Photographs for training fill the train list, those for validation the test list. Each
    photograph serves once before any serves twice, and each of its masks in turn. The same
    photographs and seed give the same bytes; a pair that is already there is not made again,
    so an interrupted run goes on where it was and a larger `pairs` adds to a finished one.

    Args:
        photographs: folder with `images/` and `masks/`, see `photos`; or its address, see `files.storage`.
        out: the folder to write, or its address.
        pairs: how many composites.
        seed: decides masks, colours and order.
        size: pictures become `size`x`size`; None keeps the photographs' own size.
        split: "train" or "val" for the photographs of one split; None for both.
        workers: how many pairs at a time; None for one a core.
        each: runs a function on many items elsewhere, in place of `for_each`.

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
    target = Folder(out)
    if target.is_same_as(Folder(photographs)):
        raise ValueError(f"{out}: these are the photographs; the composites need a folder of their own.")
    sources = _open_splits(photographs, split)
    _claim(target, {"seed": seed, "size": size, "photographs": _digest(sources.values())})
    total = sum(len(source) for source in sources.values())
    failures, left = [], pairs
    for number, (name, source) in enumerate(sources.items(), start=1):
        # Every list gets at least one pair where there are enough.
        count = left if number == len(sources) else max(1, min(left - 1, round(pairs * len(source) / total)))
        left -= count
        jobs = _plan(source, count, [seed, number])
        make = partial(_make, source=source, folder=target / SUBSET, size=size)
        broken = (each or partial(for_each, workers=workers))(make, jobs, f"Composites, {LISTS[name]} list")
        failures += [(job.name, error) for job, error in broken]
        _write_lists(target, LISTS[name], [job.name for job in jobs], {job.name for job, _ in broken})
    return failures


def _open_splits(root: str | Path, split: str | None) -> dict[str, Photographs]:
    if split is not None:
        return {split: open_photographs(root, split)}
    sources = {"train": open_photographs(root, "train")}
    try:
        sources["val"] = open_photographs(root, "val")
    except ValueError:  # too few photographs to hold some back
        pass
    return sources


def _claim(out: Folder, settings: dict) -> None:
    """Keep pairs of different settings out of one folder."""
    before = out.read(MARKER)
    if before is not None:
        if json.loads(before) != settings:
            raise ValueError(f"{out}: holds composites made with other settings, see {MARKER}.")
    elif (out / SUBSET).exists():
        raise ValueError(f"{out}: already has a subset {SUBSET} that was not made here.")
    else:
        out.write(MARKER, json.dumps(settings, indent=2).encode() + b"\n")


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


def _make(job: _Job, source: Photographs, folder: Folder, size: int | None) -> None:
    if (folder / "composite_images").has(f"{job.name}.jpg"):  # it is written last
        return
    sample = source.whole(job.index, np.random.default_rng(job.seed), size, job.mask)
    # what the pairs of a photograph share may be written by several at once: the same bytes, whole each time
    for kind, name, pixels in (
        ("real_images", f"{job.picture}.jpg", sample.real),
        ("masks", f"{job.picture}_{job.mask + 1}.png", sample.mask),
        ("composite_images", f"{job.name}.jpg", sample.composite),
    ):
        files = folder / kind
        if not files.has(name):
            files.write(name, encoded(Image.fromarray(pixels), name))


def _write_lists(out: Folder, split: str, names: list[str], broken: set[str]) -> None:
    lines = [f"{SUBSET}/composite_images/{name}.jpg\n" for name in names if name not in broken]
    text = "".join(lines).encode("utf-8", "surrogateescape")
    if lines:
        out.write(f"IHD_{split}.txt", text)
        (out / SUBSET).write(f"{SUBSET}_{split}.txt", text)
