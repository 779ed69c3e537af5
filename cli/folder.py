"""`harmonize folder`: all pictures of a folder."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..files.storage import is_address
from ..files.text import printable
from . import editable
from .arguments import SHARED, add_common_arguments, add_light_arguments, count, harmonizer_of, light_options, named
from .cluster import add_ray_arguments, check_local

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from ..hdnet.harmonize.lut import LutFit
    from .folder_jobs import Job

    RunJob = Callable[[Job, Tensor, Tensor | None], Tensor]


LOOKED_AT = 24  # pictures, to find a shared exposure


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of `harmonize folder`."""
    parser.epilog = (
        "The mask of NAME.jpg is MASKS/NAME.png or MASKS/NAME_mask.png (or any other format); as in iHarmony4, that "
        "of NAME_K_J.jpg is NAME_K.png. COMPOSITES and MASKS may be one folder, with masks named NAME_mask. A broken "
        "file does not stop the others; they are listed at the end and the exit code is 1. Pictures may have up to 128 "
        "megapixels."
    )
    parser.add_argument("composites", metavar="COMPOSITES", type=place, help="folder of pictures")
    parser.add_argument(
        "masks",
        metavar="MASKS",
        type=place,
        nargs="?",
        help="folder of masks, white = the part to change; may be left out with --guides",
    )
    parser.add_argument("-o", "--output", metavar="OUT", type=place, required=True, help="folder to write into")
    editable.add_lut_arguments(parser, editable.OF_A_SHOT)
    parser.add_argument(
        "--guides",
        metavar="DIR",
        type=Path,
        help="folder of guides, named like the pictures: light and colours are taken from them in place of the network",
    )
    add_light_arguments(parser, of_several=True)
    add_common_arguments(parser)
    add_ray_arguments(parser)
    parser.add_argument(
        "--workers", type=count, metavar="N", help="with --ray: how many (default: one a GPU, or what the cores allow)"
    )
    parser.add_argument("--threads", type=count, metavar="N", help="with --ray: of each worker (default: 1)")


def place(text: str) -> Path | str:
    """A path, or an address as it is."""
    return text if is_address(text) else Path(text)


def run(args: argparse.Namespace) -> int:
    """Harmonizes a folder and lists what failed."""
    from tqdm import tqdm
    from tqdm.contrib.logging import logging_redirect_tqdm

    from .folder_jobs import check_folders, find_jobs, harmonize_folder, read_job, report_failed, write_job

    if args.ray:
        from .folder_cluster import run_on_cluster

        return run_on_cluster(args)
    check_local(args, ("workers", "threads"), (args.composites, args.masks, args.output))
    if args.masks is None and args.guides is None:
        raise ValueError("Give a folder of MASKS, or --guides to take the light from.")
    if args.guides and args.lut:
        raise ValueError("--lut writes what the network changed; leave --guides or --lut out.")
    check_folders(args.composites, args.masks or args.composites, args.output)
    jobs = find_jobs(args.composites, args.masks, args.output)
    if args.lut and any(light_options(args, job.composite)["encoding"] == "linear" for job in jobs):
        raise ValueError("--lut is for colours in 0..1, which scene-linear pictures leave; leave it out.")
    if args.exposure == SHARED:
        args.exposure = _shared_exposure(args, jobs)
    fit = _lut_fit(args)
    run_job = _by_guides(args) if args.guides else _by_network(args)
    args.output.mkdir(parents=True, exist_ok=True)

    def harmonize_job(job: Job, picture: Tensor, mask: Tensor | None) -> Tensor:
        with named(job.composite):
            result = run_job(job, picture, mask)
        if fit is not None and mask is not None:
            fit.add(picture[0], result[0], editable.mask_in_use(args, picture, mask)[0])
        return result

    failures = []
    with logging_redirect_tqdm(), tqdm(total=len(jobs), unit="picture", disable=None) as bar:
        for job, error in harmonize_folder(jobs, harmonize_job, read_job, write_job):
            bar.update()
            if error is not None:
                failures.append(f"  {printable(f'{job.composite.name}: {error}')}")
    print(f"{len(jobs) - len(failures)} of {len(jobs)} pictures written to {printable(args.output)}")
    if fit is not None:
        print(editable.save_lut(fit, args.lut, args.composites.name))
    return report_failed(failures, len(jobs))


def _shared_exposure(args: argparse.Namespace, jobs: list[Job]) -> float | None:
    """The mean exposure, in stops, found for pictures from all over the folder; None where none is scene-linear."""
    import math

    from ..hdnet.harmonize.masks import fit_mask
    from ..hdnet.harmonize.scene_linear import background_exposure
    from .folder_jobs import read_job

    args.exposure = None
    found = []
    linear = [job for job in jobs if light_options(args, job.composite)["encoding"] == "linear"]
    for job in linear[:: math.ceil(len(linear) / LOOKED_AT) or 1]:
        try:
            picture, mask, _ = read_job(job)
        except (OSError, ValueError):  # told when its turn comes
            continue
        if mask is not None:
            mask = fit_mask(1 - mask if args.invert_mask else mask, (picture.shape[1], picture.shape[2]))[0]
            found.append(math.log2(background_exposure(picture[0], mask)))
    return sum(found) / len(found) if found else None


def _lut_fit(args: argparse.Namespace) -> LutFit | None:
    if not args.lut:
        return None
    from ..files.cube import check_cube
    from ..hdnet.harmonize.lut import LutFit

    check_cube(args.lut)
    return LutFit(args.lut_size)


def _by_network(args: argparse.Namespace) -> RunJob:
    harmonize = harmonizer_of(args)
    return lambda job, picture, mask: harmonize(picture, mask, **light_options(args, job.composite))


def _by_guides(args: argparse.Namespace) -> RunJob:
    from ..files.names import Masks, pictures_in
    from ..files.pictures import EXTENSIONS, read_picture
    from ..hdnet.harmonize.scene_linear import is_scene_linear
    from .guided import light_transfer_of

    if not args.guides.is_dir():
        raise ValueError(f"{args.guides}: there is no such folder.")
    if args.output.resolve() == args.guides.resolve():
        raise ValueError(f"{args.output}: this would overwrite the guides; name another folder to write into.")
    guides, transfer = Masks(pictures_in(args.guides, EXTENSIONS)), light_transfer_of(args)

    def run_job(job: Job, picture: Tensor, mask: Tensor | None) -> Tensor:
        path = guides.of(job.composite)
        if path is None:
            raise ValueError("it has no guide.")
        guide, info = read_picture(path)
        if info.is_light or is_scene_linear(**light_options(args, job.composite), image=picture):
            raise ValueError("--guides is for pictures in 0..1, not for scene-linear ones.")
        return transfer(picture, guide, mask)

    return run_job
