"""Speed of `harmonize video`: frames a second of all its work, and what reading and encoding alone would take.

The film is made from the composite that comes with the pack: enlarged, panned, with grain, encoded as a camera would.

    python -m harmonize_composite.benchmarks.film [--presets fast veryfast] [--frames 150] [--size 1920 1080]
"""

from __future__ import annotations

import argparse
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from .measure import in_own_process, machine

EXAMPLES = Path(__file__).parents[1] / "example_workflows"
RATE = 25
READ_AHEAD = 4  # frames, as the command does
GRAIN = 1.5 / 255  # standard deviation
CAMERA = {"crf": "17", "preset": "medium"}


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", nargs="+", default=["fast", "veryfast"], help="of x264")
    parser.add_argument("--crf", default="16")
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--size", nargs=2, type=int, default=(1920, 1080), metavar=("W", "H"))
    args = parser.parse_args()
    print(f"{machine()}, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        covered = make_film(folder, args.frames, *args.size)
        megabits = (folder / "film.mp4").stat().st_size * 8e-6 * RATE / args.frames
        print(f"{args.frames} frames of {args.size[0]}x{args.size[1]}, {megabits:.1f} Mbit/s, mask {covered:.0%}")
        print(f"{'':32}{'frames/s':>10}{'CPU ms a frame':>16}{'GB':>6}")
        for preset in args.presets:
            jobs = {"read": read, f"read and encode, {preset}": encode, f"harmonize video, {preset}": harmonize}
            for label, job in jobs.items():
                (wall, cpu), memory = in_own_process(partial(timed, job), folder, preset, args.crf)
                print(f"{label:32}{args.frames / wall:10.1f}{1000 * cpu / args.frames:16.1f}{memory:6.2f}")


def make_film(folder: Path, frames: int, width: int, height: int) -> float:
    """Writes film.mp4 and mask.mp4 and says what share of the frames the mask covers."""
    import av
    import torch
    from torch.nn import functional as F

    from ..files.pictures import read_mask, read_picture

    picture, _ = read_picture(EXAMPLES / "harmonize_demo_composite.png")
    mask = read_mask(EXAMPLES / "harmonize_demo_mask.png")
    planes = torch.cat((picture[..., :3].permute(0, 3, 1, 2), mask[:, None]), 1)
    scale = 1.2 * max(height / planes.shape[2], width / planes.shape[3])
    planes = F.interpolate(planes, scale_factor=scale, mode="bicubic")[0].clamp(0, 1)
    down, across = planes.shape[1] - height, planes.shape[2] - width
    random = torch.Generator().manual_seed(0)
    covered = 0.0
    films = {name: av.open(str(folder / f"{name}.mp4"), "w") for name in ("film", "mask")}
    streams = {name: film.add_stream("libx264", rate=RATE, options=CAMERA) for name, film in films.items()}
    for stream in streams.values():
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    for number in range(frames):
        seconds = number / RATE
        top, left = (
            round(room * (0.5 + 0.48 * math.sin(speed * seconds))) for room, speed in ((down, 0.7), (across, 0.9))
        )
        seen = planes[:, top : top + height, left : left + width]
        covered += float((seen[3] > 0).float().mean()) / frames
        grain = GRAIN * torch.randn(height, width, 1, generator=random)
        shown = {"film": seen[:3].permute(1, 2, 0) + grain, "mask": seen[3:].expand(3, -1, -1).permute(1, 2, 0)}
        for name, values in shown.items():
            samples = values.mul(255).round().clamp(0, 255).byte().numpy()
            frame = av.VideoFrame.from_ndarray(samples, "rgb24").reformat(format="yuv420p", dst_colorspace="ITU709")
            films[name].mux(streams[name].encode(frame))
    for name, film in films.items():
        film.mux(streams[name].encode(None))
        film.close()
    return covered


def timed(job: Callable[[Path, str, str], None], folder: Path, preset: str, crf: str) -> tuple[float, float]:
    """Seconds by the clock and of all cores, imports left out."""
    from ..files import video_output  # noqa: F401
    from ..hdnet.harmonize import film  # noqa: F401
    from ..weights import load_network

    load_network()
    wall, cpu = time.perf_counter(), time.process_time()
    job(folder, preset, crf)
    return time.perf_counter() - wall, time.process_time() - cpu


def read(folder: Path, preset: str, crf: str) -> None:
    """Decodes film and masks."""
    from ..files.video import Film
    from ..files.video_frames import masked_frames

    for _ in masked_frames(Film(folder / "film.mp4"), folder / "mask.mp4"):
        pass


def encode(folder: Path, preset: str, crf: str) -> None:
    """Decodes film and masks beside it and encodes the frames as they are."""
    _write(folder, preset, crf, lambda frames: frames)


def harmonize(folder: Path, preset: str, crf: str) -> None:
    """As `harmonize video` does it; every frame is changed."""
    from ..hdnet import Harmonizer
    from ..hdnet.harmonize.film import FilmHarmonizer
    from ..weights import load_network

    _write(folder, preset, crf, FilmHarmonizer(Harmonizer(load_network(precision="auto")), foreground="pasted"))


def _write(folder: Path, preset: str, crf: str, work: Callable[[Iterator[Any]], Iterator[Any]]) -> None:
    from ..files.ahead import ahead, cores_left
    from ..files.video import Film
    from ..files.video_frames import masked_frames
    from ..files.video_output import write_film

    film = Film(folder / "film.mp4")

    def frames(aside: Callable[[Any], None]) -> Iterator[Any]:
        return work(ahead(masked_frames(film, folder / "mask.mp4", aside=aside), READ_AHEAD))

    with cores_left():
        write_film(folder / "out.mp4", film, frames, crf=int(crf), preset=preset)


if __name__ == "__main__":
    main()
