"""A camera for each picture of a batch: :mod:`.camera` in torch, where composites are made by the hundred on a GPU.

Colours are float `[B, 3, H, W]`, sRGB in 0..1; masks are boolean `[B, 1, H, W]`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .camera import LUMINANCE, MAX_LOST, MAX_STOPS, MIDDLE_GREY, MIN_CHANGE

TRIES = 4  # fewer than one picture has: each costs the whole batch


def to_linear(colours: Tensor) -> Tensor:
    """SRGB in 0..1 to linear light."""
    return torch.where(colours <= 0.04045, colours / 12.92, ((colours.clamp(min=0) + 0.055) / 1.055) ** 2.4)


def to_srgb(light: Tensor) -> Tensor:
    """Linear light to sRGB; may leave 0..1."""
    return torch.where(light <= 0.0031308, light * 12.92, 1.055 * light.clamp(min=1e-8) ** (1 / 2.4) - 0.055)


@dataclass(frozen=True)
class Cameras:
    """A camera and a light for each picture: attributes as of `Camera`, `gains` and `veil` `[B, 3]`, others `[B]`."""

    exposure: Tensor
    gains: Tensor
    contrast: Tensor
    saturation: Tensor
    haze: Tensor
    veil: Tensor
    gradient: Tensor
    direction: Tensor

    @staticmethod
    def random(boldness: Tensor, generator: torch.Generator) -> Cameras:
        """Draws cameras as `Camera.random` does.

        Args:
            boldness: `[B]`, scales every deviation.
            generator: On the same device; decides everything.
        """

        def normal(deviation: Tensor | float) -> Tensor:
            return torch.randn(boldness.shape, generator=generator, device=boldness.device) * deviation

        def uniform(*channels: int) -> Tensor:
            return torch.rand(*boldness.shape, *channels, generator=generator, device=boldness.device)

        mild = boldness.clamp(max=1.6)
        warm, green = normal(0.13 * boldness), normal(0.045 * boldness)
        return Cameras(
            exposure=normal(0.75 * boldness).clamp(-MAX_STOPS, MAX_STOPS),
            gains=torch.stack((warm - green / 2, green, -warm - green / 2), 1).exp(),
            contrast=normal(0.18 * mild).exp(),
            saturation=normal(0.22 * mild).exp(),
            haze=uniform() * 0.06 * boldness * (uniform() < 0.3),
            veil=0.4 + 0.6 * uniform(3),
            gradient=normal(0.6 * boldness) * (uniform() < 0.3),
            direction=2 * math.pi * uniform(),
        )

    def __call__(self, colours: Tensor, places: Tensor | None = None) -> Tensor:
        """The colours as these cameras see them; may leave 0..1.

        Args:
            colours: `[B, 3, H, W]`.
            places: `[B, 2, H, W]`, see `places_in`; None leaves the gradients out.
        """
        stops = _planes(self.exposure)
        if places is not None:
            direction = torch.stack((self.direction.sin(), self.direction.cos()), 1)
            along = (places * _planes(direction)).sum(1, keepdim=True)
            stops = stops + _planes(self.gradient) / 2 * along
        light = to_linear(colours) * (_planes(self.gains) * torch.exp2(stops))
        light = MIDDLE_GREY * (light / MIDDLE_GREY) ** _planes(self.contrast)
        red, green, blue = (weight * light[:, i : i + 1] for i, weight in enumerate(LUMINANCE.tolist()))
        luminance = red + green + blue
        light = luminance + _planes(self.saturation) * (light - luminance)
        haze = _planes(self.haze)
        return to_srgb((1 - haze) * light + haze * _planes(self.veil))


def change_cameras(colours: Tensor, mask: Tensor, boldness: Tensor, generator: torch.Generator) -> Tensor:
    """Colours of objects as other cameras saw them in another light, 0..1; see `camera.change_camera`.

    Args:
        colours: `[B, 3, H, W]`.
        mask: Boolean `[B, 1, H, W]`, where the objects are.
        boldness: `[B]`, of the first of the tries; each is a little milder than the one before.
        generator: Decides everything.

    Returns:
        `[B, 3, H, W]`, meaningful inside the masks; where nothing plausible was found, `colours` as they are.
    """
    places, changed = places_in(mask), colours
    found = torch.zeros_like(boldness, dtype=torch.bool)
    for attempt in range(TRIES):
        seen = Cameras.random(boldness * (1 - attempt / (2 * TRIES)), generator)(colours, places)
        fits = lost(colours, seen, mask) <= MAX_LOST
        seen = seen.clamp(0, 1)
        fits &= _mean_inside((seen - colours).square().mean(1, keepdim=True), mask).sqrt() >= MIN_CHANGE
        changed = torch.where(_planes(fits & ~found), seen, changed)
        found |= fits
    return changed


def lost(before: Tensor, after: Tensor, mask: Tensor) -> Tensor:
    """Share `[B]` of the mask's colours that a change drives into pure black or white; see `camera.lost`."""
    bright = ((after > 1) & (before < 0.98)).any(1, keepdim=True)
    dark = (after < 0.012).all(1, keepdim=True) & (before > 0.04).any(1, keepdim=True)
    return _mean_inside((bright | dark).float(), mask)


def places_in(mask: Tensor) -> Tensor:
    """Coordinates over the bounding boxes of masks, down and across, `[B, 2, H, W]` in -1..1 there."""
    down, across = (_places_along(mask.flatten(1, 2).any(axis)) for axis in (2, 1))
    return torch.stack(torch.broadcast_tensors(down[:, :, None], across[:, None, :]), 1)


def _places_along(occupied: Tensor) -> Tensor:
    """Coordinates `[B, N]`, -1..1 from the first to the last that is occupied, boolean `[B, N]`."""
    steps = torch.arange(occupied.shape[1], device=occupied.device, dtype=torch.float32)
    low = torch.where(occupied, steps, math.inf).amin(1, keepdim=True).clamp(max=len(steps))
    high = torch.where(occupied, steps, -1).amax(1, keepdim=True)
    return 2 * (steps - low) / (high - low).clamp(min=1) - 1


def _mean_inside(values: Tensor, mask: Tensor) -> Tensor:
    """Mean `[B]` of values `[B, 1, H, W]` inside a mask; 0 of an empty one."""
    return (values * mask).sum((1, 2, 3)) / mask.sum((1, 2, 3)).clamp(min=1)


def _planes(values: Tensor) -> Tensor:
    """`[B]` or `[B, C]` to `[B, C, 1, 1]`."""
    return values.reshape(len(values), -1, 1, 1)
