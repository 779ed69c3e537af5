"""Composites to judge weights on as they are used: pasted, inpainted or recoloured, at full size.

The code of the training composites takes no part in it (`paste`, `camera`, `augment`), so that neither certifies the
other. A pasted composite has no trace of the object beside the mask: the object's own outermost pixels, where a
photograph mixes both and masks hold background, and a ring around it are filled from beyond by OpenCV's inpainting, in
composite and truth alike.
`benchmarks.rim_probe` measures what is left.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.ndimage import distance_transform_edt

from ...files.training_images import PictureError
from ..data.photos import Photographs, validation_index
from ..sample import Sample, is_foreground, to_mask
from ..synthesis.recolour import match_statistics
from .evaluate import Case

KINDS = ("camera", "pasted", "inpainted", "recoloured")
COUNT = 176
# Of a change of an object's colours before JPEG (quality 82, 4:2:0), chroma shows 37, 21, 9 and 1 % at 1, 2, 3 and 4
# pixels from its edge, then rings at 2 % and ends with its block at 16; luma shows 27, 3 and 1 %. Masks err by more.
RIM = 0.02  # of the shorter side, to both sides of the mask's edge
CHROMA_RIM = 16  # pixels outside
FEWEST = 200  # pixels to judge
MAX_CLIPPED = 0.15  # share of the object that may leave 0..1
CHANGE_RANGE = (0.012, 0.3)  # RMS, 0..1
TRIES = 12

Recolour = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]
"""Picture float64 `[H,W,3]` in 0..1 and mask boolean `[H,W]` to colours `[N,3]` of the mask, which may leave 0..1."""


def cases_in_use(photographs: Photographs, kind: str, count: int = COUNT, seed: int = 0) -> list[Case]:
    """Composites of one kind at the photographs' own size, the same on every call.

    Args:
        photographs: Whose objects are changed.
        kind: `camera`: pasted, seen by another camera in another light (exposure to three stops, white balance, tone
            curve, haze, saturation, in linear light, some with a gradient over the object). `pasted`: recoloured by
            another object's statistics. `inpainted`: ellipses, boxes and brush strokes with the shift that a VAE, a
            sampler or stitching leave. `recoloured`: the object in its place, as iHarmony4 was made.
        count: How many.
        seed: Decides everything.

    Raises:
        ValueError: There is no such kind.
    """
    if kind not in KINDS:
        raise ValueError(f"The kind must be one of {', '.join(KINDS)}, not {kind!r}.")

    def case(position: int) -> Case:
        index = validation_index(photographs, position, seed)
        name = photographs.pictures[photographs.with_masks[index]].stem

        def load() -> Sample:
            return _sample(photographs, index, kind, np.random.default_rng([seed, position, KINDS.index(kind)]))

        return Case(f"{position} {name}", kind, load)

    return [case(position) for position in range(count)]


def _sample(photographs: Photographs, index: int, kind: str, rng: np.random.Generator) -> Sample:
    if kind == "recoloured":
        return photographs.whole(index, rng)
    for _ in range(TRIES):
        opened, opened_mask = photographs.read(photographs.with_masks[index], rng)
        picture, mask = np.asarray(opened), is_foreground(np.asarray(opened_mask))
        change: Recolour
        if kind == "inpainted":
            mask, change = random_region(mask.shape, rng), drift
        else:
            picture, mask = without_traces(picture, mask)
            change = another_camera if kind == "camera" else _another_object(photographs, rng)
        if not FEWEST <= mask.sum() < 0.9 * mask.size:
            index = int(rng.integers(len(photographs)))  # too small an object; another photograph takes its place
            continue
        composite = _changed(picture, mask, change, rng)
        if composite is not None:
            return Sample(composite, to_mask(mask), picture)
    raise PictureError(f"{photographs.pictures[photographs.with_masks[index]]}: no composite could be made of it.")


def _changed(picture: np.ndarray, mask: np.ndarray, change: Recolour, rng: np.random.Generator) -> np.ndarray | None:
    """The composite, uint8; None where no plausible change was found."""
    image = picture / 255.0
    before = image[mask]
    for _ in range(TRIES):
        after = change(image, mask, rng)
        clipped = (np.abs(after - 0.5) > 0.5).any(1) & (np.abs(before - 0.5) < 0.49).all(1)
        after = after.clip(0, 1)
        amount = np.sqrt(np.mean((after - before) ** 2))
        if clipped.mean() <= MAX_CLIPPED and CHANGE_RANGE[0] <= amount <= CHANGE_RANGE[1]:
            composite = picture.copy()
            composite[mask] = np.rint(after * 255)
            return composite
    return None


def without_traces(picture: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A photograph whose object shows nothing of itself outside the mask that is returned with it.

    Args:
        picture: uint8 `[H,W,3]`.
        mask: Boolean `[H,W]`.

    Returns:
        The picture, and the mask without the object's outermost pixels.
    """
    import cv2

    rim = max(3, round(RIM * min(mask.shape)))
    # Where the picture ends is no edge of the object.
    inside = distance_transform_edt(np.pad(mask, rim + 1, mode="edge"))[rim + 1 : -rim - 1, rim + 1 : -rim - 1]
    outside = distance_transform_edt(~mask)
    planes = list(cv2.split(cv2.cvtColor(picture, cv2.COLOR_RGB2YCrCb)))
    for number, reach in enumerate((rim, max(rim, CHROMA_RIM), max(rim, CHROMA_RIM))):
        planes[number] = cv2.inpaint(planes[number], np.uint8(outside <= reach), 3, cv2.INPAINT_NS)
    filled = cv2.cvtColor(cv2.merge(planes), cv2.COLOR_YCrCb2RGB)
    kept = inside > rim
    return np.where(kept[..., None], picture, filled), kept


def another_camera(image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The object's colours from another camera in another light; see `Recolour`."""
    light = np.where(image <= 0.04045, image / 12.92, ((image + 0.055) / 1.055) ** 2.4)[mask]
    stops = np.clip(rng.normal(0, 0.6 if rng.random() < 0.5 else 1.3), -3, 3)
    if rng.random() < 0.3:
        rows, columns = np.nonzero(mask)
        angle = rng.uniform(0, 2 * np.pi)
        along = rows * np.sin(angle) + columns * np.cos(angle)
        along = (along - along.min()) / max(np.ptp(along), 1)
        stops = stops + rng.uniform(0.2, 0.9) * (along[:, None] - 0.5)
    temperature, tint = rng.normal(0, 0.16), rng.normal(0, 0.05)
    light = light * 2.0**stops * np.exp([temperature, tint, -temperature])
    light = light / 0.2
    light = 0.2 * light ** rng.uniform(0.75, 1.3)
    grey = light @ np.array([0.2126, 0.7152, 0.0722])
    light = grey[:, None] + rng.uniform(0.6, 1.35) * (light - grey[:, None])
    if rng.random() < 0.25:
        haze = rng.uniform(0.01, 0.08)
        light = light * (1 - haze) + haze * rng.uniform(0.5, 1, 3)
    coded = np.where(light <= 0.0031308, light * 12.92, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055)
    knee = rng.uniform(-0.12, 0.12)  # an S curve or its inverse
    return coded + knee * np.sin(2 * np.pi * coded.clip(0, 1)) / (2 * np.pi) * -2


def drift(image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What a VAE, a sampler or stitching do to a region's colours: mild, and the same everywhere; see `Recolour`."""
    import cv2

    blurred = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 0.9)) if rng.random() < 0.5 else image
    colours = blurred[mask] ** np.exp(rng.normal(0, 0.08))
    colours = (colours - 0.5) * np.exp(rng.normal(0, 0.05, 3)) + 0.5 + rng.normal(0, 0.025, 3)
    grey = colours @ np.array([0.299, 0.587, 0.114])
    return grey[:, None] + np.exp(rng.normal(0, 0.1)) * (colours - grey[:, None])


def random_region(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """An ellipse, a box or a brush stroke of 2 to 25 % of the picture, boolean `[H,W]`."""
    import cv2

    height, width = shape
    for _ in range(50):
        region = np.zeros(shape, np.uint8)
        centre = int(rng.uniform(0.15, 0.85) * width), int(rng.uniform(0.15, 0.85) * height)
        size = rng.uniform(0.08, 0.3, 2) * min(shape)
        kind = rng.integers(3)
        if kind == 0:
            cv2.ellipse(region, centre, (int(size[0]), int(size[1])), rng.uniform(0, 180), 0, 360, 1, -1)
        elif kind == 1:
            corners = [(int(c - s), int(c + s)) for c, s in zip(centre, size)]
            cv2.rectangle(region, (corners[0][0], corners[1][0]), (corners[0][1], corners[1][1]), 1, -1)
        else:
            steps = rng.normal(0, 0.12 * min(shape), (6, 2)).cumsum(0) + centre
            cv2.polylines(region, [steps.astype(np.int32)], False, 1, max(3, int(size[0] / 2)), cv2.LINE_8)
        if 0.02 <= region.mean() <= 0.25:
            return region > 0
    return region > 0


def _another_object(photographs: Photographs, rng: np.random.Generator) -> Recolour:
    """Gives an object the statistics of another photograph's object, by one of three methods."""

    def recolour(image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        from skimage.exposure import match_histograms

        other = photographs.with_masks[int(rng.integers(len(photographs)))]
        picture, theirs = photographs.read(other, rng)
        reference = (np.asarray(picture) / 255.0)[is_foreground(np.asarray(theirs))]
        own, method = image[mask], rng.integers(3)
        if method == 0:
            after = match_histograms(own[:, None], reference[:, None], channel_axis=-1)[:, 0]
        elif method == 1:
            after = match_statistics(own, reference)
        else:
            after = own - own.mean(0) + reference.mean(0)
        return own + rng.uniform(0.4, 1) * (after - own)

    return recolour
