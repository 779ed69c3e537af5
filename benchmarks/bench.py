"""`harmonize bench`: time and memory of the network, of large pictures, of film, of start-up and of training.

The weights are random and the masks a centred quarter of the picture; neither changes the time. The columns:

* `ours`: this package's network, float32; `auto`: in the precision that `auto` chooses.
* `plain`: the same network written plainly, see :mod:`.plain`.
* `floor`: its convolutions and nothing else.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .measure import Seconds, alternate, in_own_process, machine, timed

if TYPE_CHECKING:
    from torch import Tensor

    from ..hdnet import HDNet

PLAIN_LIMIT = 1024  # above, the plain network's similarity of all positions takes more than 17 GB
FILM = (1080, 1920)


def run(args: argparse.Namespace) -> int:
    """Measures and prints table after table."""
    import torch

    from ..files.atomic import write_whole
    from ..hdnet.network.device import choose_device

    if args.threads:
        torch.set_num_threads(args.threads)
    args.device = choose_device(args.device)
    report: dict[str, Any] = {"machine": machine(args.device), "repeats": args.repeats}
    memory = "of a process of its own" if args.device == "cpu" else "on the device"
    print(f"{report['machine']}\nseconds: median (fastest-slowest) of {args.repeats}; GB: peak {memory}\n")
    if args.sizes:
        report["network"] = _networks(args)
    if args.native:
        report["native"] = _natives(args)
    if args.pictures:
        report["pictures"] = _pictures(args)
    if args.frames:
        report["film"] = _film(args)
    if args.training:
        report["training"] = _training(args)
    report["startup"] = _startup()
    if args.report:
        text = json.dumps(report, indent=1, default=vars)
        write_whole(args.report, lambda file: file.write(text.encode()))
    if args.plot and args.sizes:
        draw(report["network"], args.plot, report["machine"])
    return 0


def make_network(preset: str, device: str = "cpu") -> HDNet:
    """A network with random weights, for inference."""
    import torch

    from ..hdnet import HDNet, HDNetConfig

    torch.manual_seed(0)
    return HDNet(HDNetConfig.preset(preset)).eval().requires_grad_(False).to(device)


def make_composite(height: int, width: int, count: int = 1, device: str = "cpu") -> tuple[Tensor, Tensor]:
    """Noise ``[count, 3, H, W]`` in -1..1 and a mask ``[count, 1, H, W]`` of the quarter in the middle."""
    import torch

    mask = torch.zeros(count, 1, height, width)
    mask[..., height // 4 : height - height // 4, width // 4 : width - width // 4] = 1
    return (torch.rand(count, 3, height, width) * 2 - 1).to(device), mask.to(device)


def _networks(args: argparse.Namespace) -> list[dict]:
    import torch

    from ..hdnet.network.precision import choose_dtype
    from .plain import convolutions_alone, plain_network

    auto = choose_dtype("auto", args.device)
    print(f"network, batch 1; auto is {str(auto).removeprefix('torch.')}")
    print(
        f"{'':12}{'':>6}{'ours':>22}{'auto':>22}{'plain':>22}{'floor':>22}{'ours/floor':>11}{'plain/auto':>11}{'GB':>6}"
    )
    rows = []
    for preset in args.networks:
        network, fast = make_network(preset, args.device), make_network(preset, args.device).to(auto)
        for size in args.sizes:
            composite, mask = make_composite(size, size, device=args.device)
            jobs: dict[str, Callable[[], object]] = {
                "ours": partial(network, composite, mask),
                "auto": partial(fast, composite.to(auto), mask.to(auto)),
                "floor": convolutions_alone(network, size),
            }
            if size <= PLAIN_LIMIT:
                jobs["plain"] = partial(plain_network, network, composite, mask)
            with torch.inference_mode():
                seconds = alternate(jobs, args.repeats, args.device)
            _, memory = in_own_process(forward_once, preset, size, torch.get_num_threads(), args.device)
            rows.append({"network": preset, "size": size, "gigabytes": memory, **seconds})
            plain = seconds.get("plain", Seconds(*[float("nan")] * 3))
            print(
                f"{preset:12}{size:6}{seconds['ours']!s:>22}{seconds['auto']!s:>22}{plain!s:>22}{seconds['floor']!s:>22}"
                f"{seconds['ours'].median / seconds['floor'].median:11.2f}"
                f"{plain.median / seconds['auto'].median:11.2f}{memory:6.2f}"
            )
    return rows


def _natives(args: argparse.Namespace) -> list[dict]:
    import torch

    print("\nnative, all pixels through the network")
    rows = []
    for size in args.native:
        seconds, memory = in_own_process(forward_once, args.networks[0], size, torch.get_num_threads(), args.device)
        rows.append({"network": args.networks[0], "size": size, "seconds": seconds, "gigabytes": memory})
        print(f"{args.networks[0]:12}{size:6}{seconds:8.2f} s{memory:7.2f} GB")
    return rows


def forward_once(preset: str, size: int, threads: int, device: str = "cpu") -> float:
    """Seconds of a network's first run at ``size``."""
    import torch

    torch.set_num_threads(threads)
    network, inputs = make_network(preset, device), make_composite(size, size, device=device)
    with torch.inference_mode():
        return timed(partial(network, *inputs), device)


def _pictures(args: argparse.Namespace) -> list[dict]:
    import torch

    print("\nlarge pictures, worked on at 256 × 256")
    rows = []
    for size in args.pictures:
        (whole, network), memory = in_own_process(
            harmonize_large, args.networks[0], size, args.repeats, torch.get_num_threads(), args.device
        )
        rows.append({"network": args.networks[0], "size": size, "whole": whole, "alone": network, "gigabytes": memory})
        ratio = whole.median / network.median
        print(
            f"{args.networks[0]:12}{size:6}{whole!s:>22} s, {ratio:5.1f} times the plain network at 256"
            f" ({network} s){memory:7.2f} GB"
        )
    return rows


def harmonize_large(preset: str, size: int, repeats: int, threads: int, device: str = "cpu") -> tuple[Seconds, Seconds]:
    """A square picture, which lies on the processor, through the harmonizer; the plain network at 256 beside it."""
    import torch

    from ..hdnet import Harmonizer
    from .plain import plain_network

    torch.set_num_threads(threads)
    network = make_network(preset, device)
    harmonizer = Harmonizer(network)
    image, mask = torch.rand(1, size, size, 3), torch.zeros(1, size, size)
    mask[:, size // 4 : size - size // 4, size // 4 : size - size // 4] = 1
    small = make_composite(256, 256, device=device)
    jobs = {"whole": partial(harmonizer, image, mask), "alone": partial(plain_network, network, *small)}
    with torch.inference_mode():
        seconds = alternate(jobs, repeats, device)
    return seconds["whole"], seconds["alone"]


def _film(args: argparse.Namespace) -> dict:
    import torch

    from ..hdnet import Harmonizer
    from .plain import plain_network

    network = make_network(args.networks[0], args.device)
    harmonizer = Harmonizer(network)
    frames = torch.rand(args.frames, *FILM, 3)
    mask = make_composite(*FILM)[1][:, 0]
    composite = frames[:1].permute(0, 3, 1, 2) * 2 - 1
    jobs = {
        "all": partial(harmonizer, frames, mask, consistency="smooth"),
        "plain": partial(plain_network, network, composite.to(args.device), mask[:, None].to(args.device)),
    }
    with torch.inference_mode():
        seconds = alternate(jobs, 1, args.device)
    ours, plain = args.frames / seconds["all"].median, 1 / seconds["plain"].median
    print(f"\nfilm, {args.frames} frames in 1080p: {ours:.1f} frames/s, the plain network on every pixel {plain:.2f}")
    return {"frames": args.frames, "ours": ours, "plain": plain}


def _training(args: argparse.Namespace) -> list[dict]:
    from .plain import plain_network

    print(f"\ntraining step at {args.training} × {args.training}, batch 4, forward and backward, float32")
    rows = []
    for preset in args.networks:
        network = make_network(preset, args.device).requires_grad_(True)
        composite, mask = make_composite(args.training, args.training, 4, args.device)
        seconds = alternate(
            {
                "ours": partial(_step, network, network, composite, mask),
                "plain": partial(_step, network, partial(plain_network, network), composite, mask),
            },
            args.repeats,
            args.device,
        )
        rows.append({"network": preset, **seconds})
        ratio = seconds["plain"].median / seconds["ours"].median
        print(f"{preset:12}{seconds['ours']!s:>22}  plain {seconds['plain']!s:>22}  {ratio:.2f} times faster")
    return rows


def _step(network: HDNet, forward: Callable[..., Tensor], composite: Tensor, mask: Tensor) -> None:
    network.zero_grad()
    (forward(composite, mask) * mask).square().mean().backward()


def _startup() -> float:
    seconds, _ = in_own_process(load_shipped)
    print(f"\nloading the shipped weights, after torch: {seconds:.3f} s")
    return seconds


def load_shipped() -> float:
    """Seconds to load the shipped weights once torch is there."""
    import torch  # noqa: F401

    from ..weights import load_network

    return timed(load_network)


def draw(rows: list[dict], path: Path, title: str) -> None:
    """Draws time against size, both logarithmic, as PNG."""
    from matplotlib.figure import Figure

    from ..files.atomic import write_whole

    names = list(dict.fromkeys(row["network"] for row in rows))
    figure = Figure(figsize=(4.2 * len(names), 3.8), layout="constrained")
    figure.suptitle(title, fontsize=8)
    for name, axes in zip(names, figure.subplots(1, len(names), sharey=True, squeeze=False)[0]):
        mine = [row for row in rows if row["network"] == name]
        for column, style in (("plain", "s-"), ("ours", "o-"), ("auto", "o--"), ("floor", "k:")):
            known = [row for row in mine if column in row]
            axes.plot([row["size"] for row in known], [row[column].median for row in known], style, label=column)
        axes.set(xscale="log", yscale="log", xlabel="side in pixels", title=name)
        axes.set_xticks([row["size"] for row in mine], [str(row["size"]) for row in mine])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("seconds a picture")
    figure.axes[0].legend()
    write_whole(path, lambda file: figure.savefig(file, format="png", dpi=150))
