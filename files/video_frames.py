"""The frames of a film with their masks and with what lies behind them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .errors import PictureError
from .names import ENDINGS
from .pictures import read_picture
from .video import Clip, Film
from .video_masks import Box, FilmMask, MaskAt, alpha_mask, by_number, masks_for, shown
from .video_planes import Planes, quarters, retimed

SMALL = 32  # pixels of a side of a thumbnail
HIDDEN = 1e-4  # standard deviation of colours, 0..1: below, what an alpha channel hides is filled with one colour

Apply = Callable[[Tensor, Tensor | None, Tensor, Box], None]
BehindAt = Callable[[int, float], Planes]


class MaskedFrame:
    """A frame, its mask, its time and, where there is one, its background: what the streaming harmonizer works on.

    Args:
        planes: Of the composite.
        marked: Its mask.
        seconds: From the first frame.
        behind: The background, of the same size. It becomes the result.
    """

    def __init__(self, planes: Planes, marked: FilmMask, seconds: float, behind: Planes | None = None) -> None:
        self.planes, self.marked, self.seconds, self.behind = planes, marked, seconds, behind
        self.box, self.has_background, self.size = marked.box, behind is not None, planes.size

    def thumbnail(self) -> Tensor:
        """``[C, 32, 32]``, the samples of each plane in 0..1."""
        small = (each[:: max(1, len(each) // 256), :: max(1, each.shape[1] // 256)] for each in self.planes.planes)
        made = [torch.from_numpy(each.astype(np.float32))[None, None] for each in small]
        return torch.cat([F.adaptive_avg_pool2d(each, SMALL)[0] for each in made]) / self.planes.most

    def look(self, coarse: bool) -> tuple[Tensor, Tensor, Tensor | None]:
        """RGB ``[h, w, 3]`` of the composite, its mask ``[h, w]`` and RGB of its background, if there is one.

        Args:
            coarse: Half of the height and of the width is enough.
        """
        if coarse and self.behind is None and self.planes.is_halved:
            whole = (0, self.planes.size[0], 0, self.planes.size[1])
            return self.planes.halved(whole).clamp_(0, 1), quarters(self.marked.full()), None
        return _all_of(self.planes), self.marked.full(), None if self.behind is None else _all_of(self.behind)

    def change(self, apply: Apply, gain: float) -> None:
        """Lets ``apply`` change RGB inside the mask's box, given the background's, and writes the difference.

        Where four pixels share their chroma, their mean is changed, and luma follows with its own ``gain``: the change
        of luma for each step of it, chroma being the same.
        """
        if self.box is None:
            return
        if self.behind is None and self.planes.is_halved:
            self._change_halved(apply, gain, self.box)
            return
        target = self.behind or self.planes
        box = target.aligned(self.planes.aligned(self.box))
        picture = _inside(self.planes.colours(box), box, self.planes.size)
        behind = None if self.behind is None else _inside(self.behind.colours(box), box, self.planes.size)
        before = target.colours(box)
        apply(picture, behind, self.marked.full(), self.box)
        target.add(picture[box[0] : box[1], box[2] : box[3]] - before, box)

    def _change_halved(self, apply: Apply, gain: float, marked: Box) -> None:
        box = self.planes.aligned(marked)
        half = (box[0] // 2, -(-box[1] // 2), box[2] // 2, -(-box[3] // 2))
        height, width = (-(-each // 2) for each in self.planes.size)
        weight = self.marked.part(box)
        before = self.planes.halved(box)
        picture = _inside(before, half, (height, width))
        # in full wherever the mask says anything; the weights follow at full size
        everywhere = _inside((quarters(weight) > 0).float(), half, (height, width))
        apply(picture, None, everywhere, half)
        after = picture[half[0] : half[1], half[2] : half[3]]
        self.planes.add_halved(after - before, gain, weight, box)

    def result(self) -> Any:
        """The frame to write, at the composite's time."""
        own = self.planes.frame
        return own if self.behind is None else retimed(self.behind.frame, own)


def masked_frames(
    film: Film,
    mask: Path | Film | Clip | Tensor | None,
    invert: bool = False,
    behind: Path | Film | Clip | Tensor | None = None,
    aside: Callable[[Any], None] | None = None,
) -> Iterator[MaskedFrame]:
    """Frames of a film with their masks and backgrounds.

    Args:
        film: The composite.
        mask: As of :func:`.masks_for`; None for the film's alpha channel.
        invert: Black, or transparent, is the foreground.
        behind: What lies behind the composite: a film, a picture, or ``[N, H, W, 3]`` in 0..1, one a frame.
        aside: Is given the packets of all other streams.

    Raises:
        PictureError: There is no such alpha channel, nothing to match, or a size does not fit.
    """
    mask_at: MaskAt | None = None
    behind_at: BehindAt | None = None
    for number, (seconds, frame) in enumerate(film.frames(aside)):
        planes = Planes(frame)
        if number == 0:
            if mask is not None:
                mask_at = masks_for(film, mask, planes.size, invert)
            elif planes.alpha is None:
                raise PictureError(f"{film.name}: without an alpha channel a film is not its own mask; give a mask.")
            if behind is not None:
                behind_at = _backgrounds(film, behind, planes)
        marked = mask_at(number, seconds) if mask_at else alpha_mask(planes, invert)
        if number == 0 and mask is None and behind is None:
            _check_something_shows(film, planes, marked)
        if behind_at and planes.alpha is not None and mask_at:  # only what is not transparent is pasted
            marked = marked.limited(alpha_mask(planes))
        yield MaskedFrame(planes, marked, seconds, behind_at(number, seconds) if behind_at else None)


def colours_for(
    film: Film | Clip, behind: Path | Film | Clip | Tensor, size: tuple[int, int]
) -> Callable[[int, float], Tensor]:
    """What gives a frame its background as RGB ``[H, W, 3]``."""
    if isinstance(behind, Path):
        behind = read_picture(behind)[0] if behind.suffix.lower() in ENDINGS else Film(behind)
    images: Iterator[tuple[float, Tensor]]
    if isinstance(behind, Film):
        images = ((seconds, _all_of(Planes(frame, to_change=False))) for seconds, frame in behind.frames())
    else:
        pictures = behind.images if isinstance(behind, Clip) else behind
        _check_size((pictures.shape[1], pictures.shape[2]), size)
        if isinstance(behind, Tensor):
            return by_number(image[..., :3].float() for image in behind)
        images = ((seconds, image[..., :3].float()) for seconds, image in behind.frames())
    return shown(film, behind, images)


def _backgrounds(film: Film, behind: Path | Film | Clip | Tensor, first: Planes) -> BehindAt:
    """What gives a frame its background, a copy of its own; of a film, the samples that it holds."""
    if isinstance(behind, Path) and behind.suffix.lower() not in ENDINGS:
        behind = Film(behind)
    if isinstance(behind, Film):
        frame_at = shown(film, behind, behind.frames())

        def planes_at(number: int, seconds: float) -> Planes:
            planes = Planes.copied(frame_at(number, seconds))
            _check_size(planes.size, first.size)
            return planes

        return planes_at
    colours_at = colours_for(film, behind, first.size)
    still, shows = Planes.copied(first.frame), None
    whole = (0, first.size[0], 0, first.size[1])

    def drawn_at(number: int, seconds: float) -> Planes:
        nonlocal shows
        colours = colours_at(number, seconds)
        if colours is not shows:  # a still picture is drawn once
            still.add(colours.cpu() - still.colours(whole), whole)
            shows = colours
        return Planes.copied(still.frame)

    return drawn_at


def _check_size(behind: tuple[int, int], size: tuple[int, int]) -> None:
    if behind != size:
        raise PictureError(
            f"The background is {behind[1]}x{behind[0]} pixels but the film {size[1]}x{size[0]}; give both one size."
        )


def _check_something_shows(film: Film, planes: Planes, marked: FilmMask) -> None:
    outside = marked.full() == 0
    colours = _all_of(planes)[outside]
    if len(colours) and colours.std(0).max() < HIDDEN:
        raise PictureError(
            f"{film.name}: outside its alpha there is nothing to match; give a --background to paste onto."
        )


def _inside(values: Tensor, box: Box, size: tuple[int, int]) -> Tensor:
    """A picture of which only a box is ever touched."""
    whole = torch.empty(*size, *values.shape[2:])
    whole[box[0] : box[1], box[2] : box[3]] = values
    return whole


def _all_of(planes: Planes) -> Tensor:
    return planes.colours((0, planes.size[0], 0, planes.size[1])).clamp_(0, 1)
