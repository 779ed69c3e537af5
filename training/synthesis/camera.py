"""What differs between two photographs of one thing: camera and light.

A pasted object was seen by another camera under another light. Unlike the statistics of another object, which may turn
a navy suit green, such a change leaves the object plausible, and the scene says how to undo it. All of it happens in
linear light (sRGB, IEC 61966-2-1). Colours are float32 `[N, 3]`, sRGB in 0..1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Colours = np.ndarray

LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)  # ITU-R BT.709
MIDDLE_GREY = 0.18
MAX_STOPS = 3.0
MAX_LOST = 0.2  # share of the pixels that may become pure black or white
MIN_CHANGE = 0.01  # RMS, 0..1: below, nobody would see it


def to_linear(colours: Colours) -> Colours:
    """SRGB in 0..1 to linear light."""
    return np.where(colours <= 0.04045, colours / 12.92, ((np.maximum(colours, 0) + 0.055) / 1.055) ** 2.4)


def to_srgb(light: Colours) -> Colours:
    """Linear light to sRGB; may leave 0..1."""
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * np.maximum(light, 1e-8) ** (1 / 2.4) - 0.055)


@dataclass(frozen=True)
class Camera:
    """A camera and a light, beside those of the photograph.

    Attributes:
        exposure: In stops.
        gains: Of the channels, `[3]`: white balance.
        contrast: Power law around middle grey.
        saturation: 0 is grey, 1 leaves the colours.
        haze: Share of veiling light, 0..1, which lifts the blacks.
        veil: Colour of that light, linear, `[3]`.
        gradient: Stops from one end of the object to the other.
        direction: Of the gradient, in radians.
    """

    exposure: float
    gains: np.ndarray
    contrast: float
    saturation: float
    haze: float
    veil: np.ndarray
    gradient: float
    direction: float

    @staticmethod
    def random(rng: np.random.Generator, boldness: float) -> Camera:
        """Draws a camera; `boldness` scales every deviation, 1 for what usual pastes need."""
        warm, green = rng.normal(0, 0.13 * boldness), rng.normal(0, 0.045 * boldness)
        return Camera(
            exposure=float(np.clip(rng.normal(0, 0.75 * boldness), -MAX_STOPS, MAX_STOPS)),
            gains=np.exp(np.array([warm - green / 2, green, -warm - green / 2], np.float32)),
            contrast=float(np.exp(rng.normal(0, 0.18 * min(boldness, 1.6)))),
            saturation=float(np.exp(rng.normal(0, 0.22 * min(boldness, 1.6)))),
            haze=float(rng.uniform(0, 0.06 * boldness)) if rng.random() < 0.3 else 0.0,
            veil=rng.uniform(0.4, 1, 3).astype(np.float32),
            gradient=float(rng.normal(0, 0.6 * boldness)) if rng.random() < 0.3 else 0.0,
            direction=float(rng.uniform(0, 2 * np.pi)),
        )

    def __call__(self, colours: Colours, place: np.ndarray | None = None) -> Colours:
        """The colours as this camera sees them; may leave 0..1.

        Args:
            colours: `[N, 3]`.
            place: `[N, 2]`, where they are, -1..1 over the object; None leaves the gradient out.
        """
        light = to_linear(colours)
        stops: float | np.ndarray = self.exposure
        if place is not None and self.gradient:
            along = place @ np.array([np.sin(self.direction), np.cos(self.direction)], np.float32)
            stops = stops + self.gradient / 2 * along[:, None]
        light = light * (self.gains * np.float32(2) ** stops)
        light = MIDDLE_GREY * (light / MIDDLE_GREY) ** self.contrast
        luminance = (light @ LUMINANCE)[:, None]
        light = luminance + self.saturation * (light - luminance)
        light = (1 - self.haze) * light + self.haze * self.veil
        return to_srgb(light).astype(np.float32)


def lost(before: Colours, after: Colours) -> float:
    """Share of the colours that a change drives into pure black or white, so that nobody could undo it."""
    bright = ((after > 1) & (before < 0.98)).any(1)
    dark = (after < 0.012).all(1) & (before > 0.04).any(1)
    return float((bright | dark).mean())


def change_camera(
    colours: Colours, place: np.ndarray, rng: np.random.Generator, boldness: float = 1.0, tries: int = 8
) -> Colours | None:
    """Colours of an object as another camera saw them in another light, 0..1; None where nothing plausible was found.

    Args:
        colours: `[N, 3]`.
        place: `[N, 2]`, -1..1 over the object.
        rng: Decides everything.
        boldness: See `Camera.random`.
        tries: Each a little milder than the one before.
    """
    for attempt in range(tries):
        changed = Camera.random(rng, boldness * (1 - attempt / (2 * tries)))(colours, place)
        if lost(colours, changed) > MAX_LOST:
            continue
        changed = changed.clip(0, 1)
        if np.sqrt(np.mean((changed - colours) ** 2)) >= MIN_CHANGE:
            return changed
    return None
