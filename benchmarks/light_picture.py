"""Draws the picture of Transfer Light for the README: image, guide, frequency separation and transfer side by side.

`python -m harmonize_composite.benchmarks.light_picture OUT.jpg` takes scikit-image's portrait of Eileen Collins (NASA,
public domain), relights it, and makes a guide of that as generative editors do: the face another one, everything soft,
grainy and moved a little. Frequency separation gets the radius that is best against the truth.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..training.evaluation.guided import damaged
from ..training.evaluation.guided_report import RADII, frequency_separation
from ..training.evaluation.metrics import psnr, to_8bit
from ..training.synthesis.camera import to_linear, to_srgb

SEED = 3  # of the guide's faults
AMBIENT = (0.10, 0.12, 0.20)  # linear light, the picture's own being 1
LAMPS = (
    ((0.2, 0.0), 0.5, (1.25, 0.75, 0.35)),
    ((0.3, 1.1), 0.35, (0.1, 0.25, 0.7)),
)  # place down and across, reach, light
FACE, TURN, RADIUS = (224, 112), 0.9, 110  # column and row, strength and pixels of the swirl that makes another face
SIDE, DETAIL, ENLARGED = 290, 97, (176, 62)  # pixels of a column, of what is enlarged, and its left and upper corner
TITLES = ("image", "guide, as an editor gives it", "frequency separation", "Transfer Light")


def main(arguments: list[str] | None = None) -> None:
    """Draws it and prints the PSNR of both ways."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", metavar="OUT.jpg", type=Path)
    out = parser.parse_args(arguments).out
    image, guide, truth = scene()
    ways = relight(image, guide, truth)
    for name, picture in zip(TITLES[2:], ways):
        print(f"{name}: {psnr(picture, truth):.1f} dB")
    draw([image, to_8bit(guide), *ways]).save(out, quality=80)


def scene() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The image, uint8 `[512,512,3]`; its guide, float32 of the same size in 0..1; and the truth, uint8."""
    import cv2
    from skimage.data import astronaut
    from skimage.transform import swirl

    rng = np.random.default_rng(SEED)
    image = astronaut()
    relit = by_lamps(image.astype(np.float32) / 255)
    other = np.stack([swirl(plane, FACE, TURN, RADIUS) for plane in np.moveaxis(relit, -1, 0)], -1).astype(np.float32)
    guide = cv2.resize(damaged(other, rng), image.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    return image, guide.clip(0, 1), to_8bit(relit)


def by_lamps(image: np.ndarray) -> np.ndarray:
    """A picture float32 `[H,W,3]` in 0..1 under two lamps, a warm one from the left and a blue one from the right."""
    height, width = image.shape[:2]
    y, x = np.mgrid[0:height, 0:width] / np.array([height, width])[:, None, None]
    light = np.broadcast_to(AMBIENT, image.shape)
    for (down, across), reach, colour in LAMPS:
        spot = np.exp(-((y - down) ** 2 + (x - across) ** 2) / (2 * reach**2))
        light = light + spot[..., None] * np.array(colour)
    return to_srgb(to_linear(image) * light).clip(0, 1).astype(np.float32)


def relight(image: np.ndarray, guide: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The image in the guide's light, by frequency separation at its best radius and by transfer of light."""
    import torch

    from ..hdnet import LightTransfer

    own = image.astype(np.float32) / 255
    separated = [to_8bit(frequency_separation(own, guide, radius)) for radius in RADII]
    ours = LightTransfer()(torch.from_numpy(own)[None], torch.from_numpy(guide)[None])
    return max(separated, key=lambda each: psnr(each, truth)), to_8bit(ours[0].numpy())


def draw(pictures: list[np.ndarray]) -> Image.Image:
    """A column for each picture: its title, all of it, and the face enlarged."""
    sheet = Image.new("RGB", (SIDE * len(pictures), 2 * SIDE + 24), "white")
    left, top = ENLARGED
    for number, (title, pixels) in enumerate(zip(TITLES, pictures)):
        picture = Image.fromarray(pixels)
        ImageDraw.Draw(sheet).text((number * SIDE + 6, 4), title, "black", ImageFont.load_default(15))
        sheet.paste(picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS), (number * SIDE, 24))
        detail = picture.crop((left, top, left + DETAIL, top + DETAIL)).resize((SIDE, SIDE), Image.Resampling.NEAREST)
        sheet.paste(detail, (number * SIDE, SIDE + 24))
    return sheet


if __name__ == "__main__":
    main()
