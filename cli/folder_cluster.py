"""`harmonize folder --ray`: the pictures of a folder on many machines."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ..files.errors import PictureError
from ..files.names import is_side_file
from ..files.pictures import EXTENSIONS, PictureInfo, save_picture
from ..files.storage import Folder
from ..files.text import printable
from .arguments import SHARED, harmonizer_of, light_options, named
from .cluster import Work, batches, connected, on_cluster
from .folder_jobs import MASK_EXTENSIONS, Job, harmonize_folder, read_job, report_failed, with_masks

if TYPE_CHECKING:
    from torch import Tensor

SETTINGS = ".harmonize.json"  # in the folder of results: what they were made with
OPTIONS = ["weights", "resolution", "strength", "lightness", "colour", "feather", "grow", "blend_grow"]
OPTIONS += ["blend_feather", "foreground", "invert_mask", "precision", "encoding", "exposure"]


@dataclass(frozen=True)
class Task:
    """A picture by its names in three folders; `size` in bytes."""

    composite: str
    mask: str | None
    size: int


@dataclass(frozen=True)
class Places:
    """Where pictures, masks and results are."""

    composites: Folder
    masks: Folder
    output: Folder


def run_on_cluster(args: argparse.Namespace) -> int:
    """Harmonizes a folder on a cluster, goes on where a run was stopped, and lists what failed."""
    from tqdm import tqdm

    if args.lut or args.guides or args.masks is None:
        raise ValueError("On a cluster, the network harmonizes each picture by its mask; leave --lut and --guides out.")
    if args.exposure == SHARED:
        raise ValueError("On a cluster, no exposure is found for all pictures; give --exposure a number of stops.")
    places = Places(*(Folder(each) for each in (args.composites, args.masks, args.output)))
    tasks = find_tasks(places)
    failures: dict[str, str] = {}
    start = partial(start_worker, args, places)
    wants_gpu = args.device is None or args.device.startswith("cuda")
    with connected(args.ray, args.workers, args.threads or 1, wants_gpu) as cluster:
        done = _done_before(places.output, {name: getattr(args, name) for name in OPTIONS})
        left = [task for task in tasks if task.composite not in done]
        with tqdm(total=len(left), unit="picture", disable=None) as bar:
            for task, error in on_cluster(cluster, start, batches(left, lambda task: task.size)):
                bar.update()
                if error is not None:
                    failures[task.composite] = f"  {printable(f'{task.composite}: {error}')}"
    there = f", {len(tasks) - len(left)} of them before" if len(left) < len(tasks) else ""
    print(f"{len(tasks) - len(failures)} of {len(tasks)} pictures written to {printable(str(places.output))}{there}")
    return report_failed([failures[name] for name in sorted(failures)], len(tasks))


def find_tasks(places: Places) -> list[Task]:
    """Finds the mask of each picture, as :func:`.folder_jobs.find_jobs` does.

    Raises:
        ValueError: A folder is missing or has no pictures, no picture has a mask, or results would overwrite pictures.
    """
    for folder in (places.composites, places.masks):
        if not folder.exists():
            raise ValueError(f"{folder}: there is no such folder.")
        if places.output.is_same_as(folder):
            raise ValueError(f"{places.output}: this would overwrite the pictures given; name another folder.")
    sizes = places.composites.files()
    pictures = _named_like(sizes, EXTENSIONS)
    masks = None
    if not places.composites.is_same_as(places.masks):
        masks = _named_like(places.masks.files(), MASK_EXTENSIONS)
    pairs = with_masks(pictures, masks, str(places.composites), str(places.masks))
    return [Task(path.name, None if mask is None else mask.name, sizes[path.name]) for path, mask in pairs]


def _named_like(names: Sequence[str] | dict[str, int], extensions: Sequence[str] | dict) -> list[Path]:
    paths = map(Path, names)
    return [each for each in paths if each.suffix.lower() in extensions and not is_side_file(each.name)]


def _done_before(output: Folder, settings: dict) -> set[str]:
    """Names of the results that an earlier run with these settings has written; each is whole."""
    text = json.dumps(settings, indent=1)
    before = output.read(SETTINGS)
    if before is None:
        output.write(SETTINGS, text.encode())
        return set()
    if before.decode("utf-8", "replace") != text:
        raise ValueError(
            f"{output}: holds pictures made with other options, see {SETTINGS}; name another folder, or empty this one."
        )
    return set(output.files())


def start_worker(args: argparse.Namespace, places: Places) -> Work[Task]:
    """Loads the network; what is returned harmonizes batches of pictures."""
    import torch

    torch.set_num_threads(args.threads or 1)
    harmonize = harmonizer_of(args)

    def harmonize_task(task: Task, picture: Tensor, mask: Tensor | None) -> Tensor:
        with named(Path(task.composite)):
            return harmonize(picture, mask, **light_options(args, Path(task.composite)))

    def work(batch: Sequence[Task]) -> Iterator[tuple[Task, Exception | None]]:
        with TemporaryDirectory(prefix="harmonize-") as folder:
            aside = Path(folder)

            def read(task: Task) -> tuple[Tensor, Tensor | None, PictureInfo]:
                composite = places.composites.fetched(task.composite, aside / "composites")
                mask = None if task.mask is None else places.masks.fetched(task.mask, aside / "masks")
                return read_job(Job(composite, mask, composite))

            def write(task: Task, result: Tensor, info: PictureInfo) -> None:
                path = places.output.place_for(task.composite, aside / "output")
                save_picture(result, path, info)
                places.output.send(path)

            for task, error in harmonize_folder(batch, harmonize_task, read, write):
                yield task, None if error is None else PictureError(_as_its_reader_knows_it(error, aside, places))

    return work


def _as_its_reader_knows_it(error: BaseException, aside: Path, places: Places) -> str:
    """An error's sentence, with addresses in place of copies."""
    text = f"{error.filename}: {error.strerror}." if isinstance(error, OSError) and error.filename else str(error)
    for name in ("composites", "masks", "output"):
        folder: Folder = getattr(places, name)
        text = text.replace(str(folder.path or aside / name), folder.address.rstrip("/"))
    return text or type(error).__name__
