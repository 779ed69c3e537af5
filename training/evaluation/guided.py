"""Photographs in another light, and guides that show it as generative editors do: what `--kind guided` judges on.

A case is a photograph, the same photograph relit (the truth), and a guide: the relit photograph after what diffusion
models, VAEs and upscalers do to a picture. A method sees the photograph and the guide.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..data.photos import Photographs
from ..synthesis.camera import to_linear, to_srgb
from .metrics import to_8bit

LIGHTS = ("light", "tone", "cast", "local contrast")
MAX_CLIPPED = 0.02  # share of the picture that a relighting may drive to white
LEAST, LARGEST = 0.03, 0.25  # RMS of the change, 0..1
GUIDE = (0.5, 1.0)  # sides of a guide, as a share of the photograph's
TRIES = 20

Relight = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""Picture float32 `[H,W,3]` in 0..1, sRGB, to the same in another light; may leave 0..1."""


@dataclass(frozen=True)
class GuidedPair:
    """A photograph, a guide, and the truth.

    Attributes:
        image: uint8 `[H,W,3]`, the photograph.
        guide: uint8 `[h,w,3]`, of another size.
        real: uint8 `[H,W,3]`, the photograph in the guide's light.
        replaced: Boolean `[H,W]`: where the guide shows something else.
    """

    image: np.ndarray
    guide: np.ndarray
    real: np.ndarray
    replaced: np.ndarray


@dataclass(frozen=True)
class GuidedCase:
    """A pair to be judged on, made when its turn comes.

    Attributes:
        name: Tells it from the others, for people.
        subset: How it was relit, one of `LIGHTS`.
        load: Makes it.
    """

    name: str
    subset: str
    load: Callable[[], GuidedPair]


def guided_cases(photographs: Photographs, count: int, seed: int = 0) -> list[GuidedCase]:
    """Cases of photographs at their own size, the same on every call; every second guide has a region replaced."""
    order = np.random.default_rng(seed).permutation(len(photographs))

    def case(position: int) -> GuidedCase:
        index, subset = int(order[position % len(order)]), LIGHTS[position % len(LIGHTS)]
        name = photographs.pictures[photographs.with_masks[index]].stem

        def load() -> GuidedPair:
            rng = np.random.default_rng([seed, position])
            image = _read(photographs, index)
            other = None
            if position // len(LIGHTS) % 2:
                other = _read(photographs, int(order[(position + 1) % len(order)]))
            return guided_pair(image, subset, other, rng)

        return GuidedCase(f"{position} {name}", subset, load)

    return [case(position) for position in range(count)]


def guided_pair(image: np.ndarray, light: str, other: np.ndarray | None, rng: np.random.Generator) -> GuidedPair:
    """Relights a photograph and makes a guide of it.

    Args:
        image: uint8 `[H,W,3]`.
        light: One of `LIGHTS`.
        other: uint8 `[h,w,3]`, of which a region replaces one of the guide's; None for no region.
        rng: Decides everything.
    """
    relit = _relit(image.astype(np.float32) / 255, RELIGHTS[light], rng)
    replaced, shown = np.zeros(image.shape[:2], bool), relit
    if other is not None:
        replaced = _region(image.shape[:2], rng)
        shown = np.where(replaced[..., None], _cover(other, image.shape[:2]), relit)
    guide = damaged(shown, rng)
    return GuidedPair(image, to_8bit(guide), to_8bit(relit), replaced)


def _relit(image: np.ndarray, relight: Relight, rng: np.random.Generator) -> np.ndarray:
    for _ in range(TRIES):
        relit = relight(image, rng)
        clipped = float(((relit > 1) & (image < 1)).any(-1).mean())
        relit = relit.clip(0, 1)
        change = float(np.sqrt(np.mean((relit - image) ** 2)))
        if clipped <= MAX_CLIPPED and LEAST <= change <= LARGEST:
            break
    return relit


def coloured_lights(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One to three coloured lamps over the dimmed scene, near or far, in linear light."""
    height, width = image.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / max(height, width)
    field = np.full(image.shape, 2.0 ** rng.uniform(-1.5, 0), np.float32)
    for _ in range(rng.integers(1, 4)):
        down, across = rng.uniform(-0.2, 1.2, 2)
        reach = rng.uniform(0.25, 0.8)
        spot = np.exp(-((y - down) ** 2 + (x - across) ** 2) / (2 * reach**2))
        warmth, tint = rng.normal(0, 0.35), rng.normal(0, 0.1)
        field += spot[..., None] * rng.uniform(0.2, 1.5) * np.exp(np.array([warmth, tint, -warmth], np.float32))
    return _coded(to_linear(image) * field)


def tone_curve(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another tone curve: gamma, a knee, black and white points."""
    curved = image ** np.exp(rng.normal(0, 0.3))
    curved = curved + rng.uniform(-0.15, 0.15) * np.sin(2 * np.pi * curved) / np.pi
    black, white = rng.uniform(0, 0.12), rng.uniform(0.8, 1)
    return np.float32(black + (white - black) * curved)


def colour_cast(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another white balance, exposure and saturation, in linear light."""
    warmth, tint = rng.normal(0, 0.3), rng.normal(0, 0.12)
    light = to_linear(image) * 2.0 ** rng.normal(0, 0.5) * np.exp(np.array([warmth, tint, -warmth], np.float32))
    grey = light @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    return _coded(grey[..., None] + rng.uniform(0.5, 1.4) * (light - grey[..., None]))


def local_contrast(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shadows lifted and highlights lowered, or the reverse, by what surrounds a pixel."""
    import cv2

    logarithm = np.log(to_linear(image) + 0.01)
    grey = logarithm.mean(-1)
    around = cv2.GaussianBlur(grey, (0, 0), rng.uniform(0.02, 0.06) * max(grey.shape))
    share = rng.choice([rng.uniform(-0.5, -0.2), rng.uniform(0.15, 0.35)])
    changed = logarithm + (share * (around - around.mean()) + rng.normal(0, 0.2))[..., None]
    return _coded(np.exp(changed) - 0.01)


RELIGHTS: dict[str, Relight] = dict(zip(LIGHTS, (coloured_lights, tone_curve, colour_cast, local_contrast)))


def damaged(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A picture as a generative editor gives it back: zoomed, moved, cut to multiples of 8, smeared, with grain.

    Args:
        picture: float32 `[H,W,3]` in 0..1.
        rng: Decides everything.

    Returns:
        float32 `[h,w,3]`.
    """
    import cv2

    height, width = picture.shape[:2]
    scale = rng.uniform(*GUIDE)
    size = [max(8, round(side * scale / 8) * 8) for side in (height, width)]
    blurred = cv2.GaussianBlur(picture, (0, 0), 0.4 / scale)  # against aliasing
    zoom = scale * (1 + rng.uniform(-0.01, 0.01) * (rng.random() < 0.7))
    shift = rng.uniform(-2.5, 2.5, 2) * (rng.random() < 0.7)
    matrix = np.array([[zoom, 0, 0], [0, zoom, 0]], np.float32)
    middle = np.array([width / 2 - 0.5, height / 2 - 0.5], np.float32)
    matrix[:, 2] = np.array([size[1] / 2 - 0.5, size[0] / 2 - 0.5], np.float32) - zoom * middle + shift
    guide = cv2.warpAffine(blurred, matrix, (size[1], size[0]), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    if rng.random() < 0.5:  # texture melts, edges stay
        guide = cv2.bilateralFilter(guide, 5, rng.uniform(0.05, 0.15), 2)
    guide = cv2.GaussianBlur(guide, (0, 0), rng.uniform(0.3, 1.6))
    guide = guide + np.float32(rng.normal(0, rng.uniform(0, 5) / 255, guide.shape))
    if rng.random() < 0.6:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 96))]
        _, data = cv2.imencode(".jpg", to_8bit(guide), quality)
        decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
        guide = decoded.astype(np.float32) / 255
    return guide.clip(0, 1)


def _region(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """An ellipse of 4 to 15 % of the picture, boolean `[H,W]`."""
    height, width = shape
    y, x = np.mgrid[0:height, 0:width]
    radii = np.sqrt(rng.uniform(0.04, 0.15) / np.pi) * np.exp(rng.normal(0, 0.15) * np.array([1, -1]))
    down, across = (rng.uniform(min(r, 0.5), max(1 - r, 0.5)) for r in radii)
    return ((y / height - down) / radii[0]) ** 2 + ((x / width - across) / radii[1]) ** 2 < 1


def _cover(picture: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    import cv2

    return cv2.resize(picture, shape[::-1], interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def _read(photographs: Photographs, index: int) -> np.ndarray:
    return np.asarray(photographs.read(photographs.with_masks[index], np.random.default_rng(0))[0])


def _coded(light: np.ndarray) -> np.ndarray:
    """SRGB of linear light, which may be below 0."""
    return to_srgb(np.maximum(light, 0)).astype(np.float32)
