"""Oklab, a perceptual space of colours, and a change of colours taken apart into lightness and colour.

Björn Ottosson, "A perceptual color space for image processing" (2020), with the matrices of 2021.
"""

from __future__ import annotations

from numbers import Real

import torch
from torch import Tensor

LMS_OF_RGB = torch.tensor(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ],
    dtype=torch.float64,
)
OKLAB_OF_LMS = torch.tensor(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ],
    dtype=torch.float64,
)
TOLERANCE = 1e-4  # beyond the gamut; clamping that much is not to be seen
HALVINGS = 12  # of the chroma's interval
CHUNK = 1 << 18  # pixels at a time


def oklab_of_srgb(colours: Tensor) -> Tensor:
    """Oklab's L, a and b of sRGB colours ``[..., 3]``; below 0 the transfer function is mirrored."""
    size = colours.abs()
    light = torch.where(size <= 0.04045, size / 12.92, ((size + 0.055) / 1.055) ** 2.4).copysign(colours)
    cones = light @ LMS_OF_RGB.to(light).T
    return cones.abs().pow(1 / 3).copysign(cones) @ OKLAB_OF_LMS.to(light).T


def srgb_of_oklab(colours: Tensor) -> Tensor:
    """The sRGB colours ``[..., 3]`` of Oklab's, outside 0..1 where sRGB has none."""
    cones = colours @ torch.linalg.inv(OKLAB_OF_LMS).to(colours).T
    light = cones**3 @ torch.linalg.inv(LMS_OF_RGB).to(colours).T
    size = light.abs()
    return torch.where(size <= 0.0031308, size * 12.92, 1.055 * size ** (1 / 2.4) - 0.055).copysign(light)


def check_parts(lightness: float, colour: float) -> None:
    """Raises ValueError, in one sentence, where a part of a change is out of range."""
    for name, value in {"lightness": lightness, "colour": colour}.items():
        if not isinstance(value, Real) or not 0 <= value <= 1:
            raise ValueError(f"The {name} must be a number in 0..1, not {value!r}.")


def keep_parts(picture: Tensor, before: Tensor, lightness: float, colour: float, ceiling: float = 1.0) -> None:
    """Leaves of a picture's change only so much of its lightness and colour, in place.

    Args:
        picture: ``[H, W, 3 or more]`` after the change.
        before: ``[H, W, 3]``.
        lightness: See :func:`mix_change`.
        colour: See :func:`mix_change`.
        ceiling: See :func:`mix_change`.
    """
    rows, columns = (picture[..., :3] != before).any(-1).nonzero().T
    for row, column in zip(rows.split(CHUNK), columns.split(CHUNK)):
        picture[row, column, :3] = mix_change(before[row, column], picture[row, column, :3], lightness, colour, ceiling)


def mix_change(before: Tensor, after: Tensor, lightness: float, colour: float, ceiling: float = 1.0) -> Tensor:
    """Makes so much of a change of lightness, and so much of one of colour.

    Oklab's L goes the part ``lightness`` of its way and a, b the part ``colour``. Where that leaves sRGB, chroma is
    reduced until it does not; lightness and hue stay.

    Args:
        before: ``[N, 3]`` sRGB.
        after: ``[N, 3]``.
        lightness: 0..1; 0 keeps L.
        colour: 0..1; 0 keeps a and b.
        ceiling: The brightest value of the colours' range, or infinity.

    Returns:
        ``[N, 3]``.
    """
    share = before.new_tensor((lightness, colour, colour))
    mixed = torch.lerp(oklab_of_srgb(before), oklab_of_srgb(after), share)
    lowest, highest = before.amin(1, keepdim=True).clamp(max=0), before.amax(1, keepdim=True).clamp(min=ceiling)
    result = srgb_of_oklab(mixed)
    outside = ((result < lowest - TOLERANCE) | (result > highest + TOLERANCE)).any(1)
    if outside.any():
        result[outside] = _with_less_chroma(mixed[outside], lowest[outside], highest[outside])
    result = result.clamp(lowest, highest)
    return result


def _with_less_chroma(colours: Tensor, lowest: Tensor, highest: Tensor) -> Tensor:
    """Reduces the chroma of Oklab ``[N, 3]`` by bisection until its sRGB, which is returned, lies in the range."""
    fits, exceeds = colours.new_zeros(len(colours), 1), colours.new_ones(len(colours), 1)
    for _ in range(HALVINGS):
        middle = (fits + exceeds) / 2
        result = srgb_of_oklab(torch.cat((colours[:, :1], middle * colours[:, 1:]), 1))
        inside = ((result >= lowest - TOLERANCE) & (result <= highest + TOLERANCE)).all(1, keepdim=True)
        fits, exceeds = torch.where(inside, middle, fits), torch.where(inside, exceeds, middle)
    return srgb_of_oklab(torch.cat((colours[:, :1], fits * colours[:, 1:]), 1))
