"""Masks of films: a film of its own, a folder of pictures, one picture, tensors or the alpha channel."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .errors import PictureError
from .masks import read_mask
from .names import ENDINGS, pictures_in
from .video import Clip, Film
from .video_planes import Planes

logger = logging.getLogger(__name__)

NEAR = 0.02  # of black and of white: what a codec leaves beside an edge of a mask
EARLY = 0.25  # of a frame: so much sooner a frame counts as shown, as containers round times differently
OTHER_RATE = 0.002  # relative difference of frame rates that is more than rounding

Item = TypeVar("Item")
Box = tuple[int, int, int, int]


class FilmMask:
    """The mask of a frame; of most films it covers a small part, and only that is kept.

    Args:
        samples: `[H, W]` of uint8 or uint16.
        table: What each sample means, uint8 from 0 to 255, rising or falling.

    Attributes:
        box: `(top, bottom, left, right)` of what is above 0, ends excluded; None if nothing is.
        levels: uint8, 0 to 255, inside the box.
    """

    def __init__(self, samples: np.ndarray, table: np.ndarray) -> None:
        self.size = (samples.shape[0], samples.shape[1])
        self.box: Box | None = None
        self.levels = torch.empty(0, 0, dtype=torch.uint8)
        rises = table[-1] >= table[0]
        rows = _ends(table, samples.max(1) if rises else samples.min(1))
        if rows is not None:
            part = samples[slice(*rows)]
            columns = _ends(table, part.max(0) if rises else part.min(0))
            if columns is not None:
                self.box = (*rows, *columns)
                self.levels = torch.from_numpy(table[part[:, slice(*columns)]])

    def full(self) -> Tensor:
        """`[H, W]` float32 in 0..1."""
        return self.part((0, self.size[0], 0, self.size[1]))

    def part(self, box: Box) -> Tensor:
        """`[h, w]` float32 in 0..1, of a box around the mask's own."""
        part = torch.zeros(box[1] - box[0], box[3] - box[2])
        if self.box is not None:
            top, bottom, left, right = self.box
            inner = part[top - box[0] : bottom - box[0], left - box[2] : right - box[2]]
            torch.div(self.levels, 255, out=inner)
        return part

    def fitted(self, size: tuple[int, int]) -> FilmMask:
        """At another size of the same proportions."""
        if self.size == size:
            return self
        if abs(self.size[1] * size[0] / (self.size[0] * size[1]) - 1) > 0.05:
            raise PictureError(f"The mask is {self.size[1]}x{self.size[0]} pixels but the film {size[1]}x{size[0]}.")
        larger = F.interpolate(self.full()[None, None], size=size, mode="bilinear")[0, 0]
        return FilmMask(larger.mul(255).round().byte().numpy(), LINEAR)

    def limited(self, other: FilmMask) -> FilmMask:
        """The smaller of both."""
        both = torch.minimum(self.full(), other.full())
        return FilmMask(both.mul(255).round().byte().numpy(), LINEAR)


MaskAt = Callable[[int, float], FilmMask]  # by the number of a frame and its seconds
LINEAR = np.arange(256, dtype=np.uint8)
PICTURES = (*ENDINGS, ".exr")


def masks_for(
    film: Film | Clip, mask: Path | Film | Clip | Tensor, size: tuple[int, int], invert: bool = False
) -> MaskAt:
    """What gives a frame its mask.

    A film's frames are shown as long as a player shows them, whatever both frame rates are; pictures are taken one a
    frame. The last one holds where there are fewer.

    Args:
        film: Whose masks they are.
        mask: A film, a folder of pictures in the order of their numbers, one picture, or `[N, H, W]` in 0..1.
        size: Of the film, `(H, W)`.
        invert: Black is the foreground.

    Raises:
        PictureError: There are no masks, or their proportions are not the film's.
    """
    linear = LINEAR[::-1].copy() if invert else LINEAR

    def of_values(values: Tensor) -> FilmMask:
        return FilmMask(values.mul(255).round().byte().cpu().numpy(), linear).fitted(size)

    if isinstance(mask, Tensor):
        return by_number(of_values(each.float().clamp(0, 1)) for each in mask)
    if isinstance(mask, Path) and mask.is_dir():
        found = sorted(pictures_in(mask, PICTURES), key=_natural)
        if not found:
            raise PictureError(f"{mask}: there are no pictures in this folder.")
        return by_number(of_values(read_mask(each)[0]) for each in found)
    if isinstance(mask, Path) and mask.suffix.lower() in PICTURES:
        return by_number(iter([of_values(read_mask(mask)[0])]))
    if isinstance(mask, Clip):
        greys = ((seconds, of_values(image[..., :3].float().mean(-1).clamp(0, 1))) for seconds, image in mask.frames())
        return shown(film, mask, greys)
    other = mask if isinstance(mask, Film) else Film(mask)
    frames = (
        (seconds, _mask_of(Planes(frame, to_change=False), invert).fitted(size)) for seconds, frame in other.frames()
    )
    return shown(film, other, frames)


def shown(film: Film | Clip, other: Film | Clip, frames: Iterator[tuple[float, Item]]) -> Callable[[int, float], Item]:
    """What of another film belongs to a film's frame: what is shown at its time.

    Where both have as many frames at different rates, one of them was saved at the wrong rate: frame by frame then.
    """
    if film.count and film.count == other.count and abs(float(film.rate / other.rate) - 1) > OTHER_RATE:
        logger.warning(
            "%s has as many frames as %s but %.3f a second, not %.3f; they are matched one by one.",
            other.name,
            film.name,
            other.rate,
            film.rate,
        )
        return by_number(item for _, item in frames)
    early = EARLY / float(other.rate)
    now = next(frames, None)
    if now is None:
        raise PictureError(f"{other.name}: there is no frame that can be read in this film.")
    item, following = now[1], next(frames, None)

    def at(_: int, seconds: float) -> Item:
        nonlocal item, following
        while following is not None and following[0] <= seconds + early:
            item, following = following[1], next(frames, None)
        return item

    return at


def alpha_mask(planes: Planes, invert: bool = False) -> FilmMask:
    """The alpha channel of a frame that has one."""
    assert planes.alpha is not None
    return FilmMask(planes.alpha, _table(planes.most + 1, 0, planes.most, invert, near=0.0))


def _mask_of(planes: Planes, invert: bool) -> FilmMask:
    """The alpha channel, unless nothing is transparent, otherwise the brightness, as of pictures."""
    if planes.alpha is not None and planes.alpha.min() < planes.most:
        return alpha_mask(planes, invert)
    samples = planes.planes[1 if planes.is_rgb else 0]
    black, white = (0, planes.most) if planes.is_rgb else (planes.black, planes.black + planes.luma)
    return FilmMask(samples, _table(planes.most + 1, black, white, invert))


@lru_cache
def _table(count: int, black: int, white: int, invert: bool, near: float = NEAR) -> np.ndarray:
    levels = (np.arange(count) - black) / (white - black)
    levels = ((levels - near) / (1 - 2 * near)).clip(0, 1)
    return ((1 - levels if invert else levels) * 255).round().astype(np.uint8)


def _ends(table: np.ndarray, extremes: np.ndarray) -> tuple[int, int] | None:
    """First and last place, end excluded, of the extremes that are not 0."""
    found = np.flatnonzero(table[extremes])
    return (int(found[0]), int(found[-1]) + 1) if len(found) else None


def by_number(items: Iterable[Item]) -> Callable[[int, float], Item]:
    """One item a frame; the last one holds."""
    left = iter(items)
    item = next(left)
    last = 0

    def at(number: int, _: float) -> Item:
        nonlocal item, last
        while last < number:
            item, last = next(left, item), last + 1
        return item

    return at


def _natural(path: Path) -> list:
    return [int(each) if each.isdigit() else each for each in re.split(r"(\d+)", path.name)]
