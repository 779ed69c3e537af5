"""Draws the first picture of the README: the demo's astronaut as other cameras would have seen her, before and after.

`python -m harmonize_composite.benchmarks.paste_picture OUT.jpg` changes the pasted foreground, two stops too dark and
through haze, and harmonizes both with all defaults.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..training.evaluation.metrics import fmse, to_8bit
from ..training.synthesis.camera import Camera

EXAMPLES = Path(__file__).parents[1] / "example_workflows"
GREY = np.array([0.5, 0.47, 0.43], np.float32)  # of the haze, linear light
SAME = Camera(0, np.ones(3, np.float32), contrast=1, saturation=1, haze=0, veil=GREY, gradient=0, direction=0)
CAMERAS = {"two stops too dark": replace(SAME, exposure=-2.0), "through haze": replace(SAME, haze=0.25)}
COLUMNS = slice(0, 440)  # of the picture, around the foreground
SIZE = (320, 372)  # of a panel


def main(arguments: list[str] | None = None) -> None:
    """Draws it and prints the foreground's error before and after."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", metavar="OUT.jpg", type=Path)
    out = parser.parse_args(arguments).out
    panels = []
    for name, camera in CAMERAS.items():
        before, after, errors = harmonized(camera)
        print(f"{name}: {errors[0]:.0f} before, {errors[1]:.0f} after")
        panels += [(name, before), ("harmonized", after)]
    draw(panels).save(out, quality=84)


def harmonized(camera: Camera) -> tuple[np.ndarray, np.ndarray, tuple[float, float]]:
    """The demo's truth with its foreground seen by a camera, and harmonized: uint8 `[H,W,3]`, and their fMSE."""
    import torch

    from ..files.pictures import read_mask, read_picture
    from ..hdnet import Harmonizer
    from ..weights import load_network

    real = read_picture(EXAMPLES / "harmonize_demo_truth.jpg")[0][0, ..., :3]
    mask = read_mask(EXAMPLES / "harmonize_demo_mask.png")
    seen = torch.from_numpy(camera(real.flatten(0, 1).numpy()).clip(0, 1)).view_as(real)
    composite = torch.lerp(real, seen, mask[0, ..., None])
    result = Harmonizer(load_network())(composite[None], mask)[0]
    truth, before, after = (to_8bit(each.numpy()) for each in (real, composite, result))
    inside = mask[0].numpy() > 0.5
    return before, after, (fmse(before, truth, inside), fmse(after, truth, inside))


def draw(panels: list[tuple[str, np.ndarray]]) -> Image.Image:
    """Panels side by side, each with its title."""
    gap, height = 4, SIZE[1] + 24
    sheet = Image.new("RGB", ((SIZE[0] + gap) * len(panels) - gap, height), "white")
    for number, (title, pixels) in enumerate(panels):
        left = number * (SIZE[0] + gap)
        ImageDraw.Draw(sheet).text((left + 6, 4), title, "black", ImageFont.load_default(15))
        sheet.paste(Image.fromarray(pixels[:, COLUMNS]).resize(SIZE, Image.Resampling.LANCZOS), (left, 24))
    return sheet


if __name__ == "__main__":
    main()
