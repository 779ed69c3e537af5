"""Restraint on the rim of a foreground: no pixel may stand out much more than it did.

The rim holds mixed colours, thin structures and traces of compression, which say little about the object. What a change
makes of them shows at once, as dots and crusts; inside, contrast may rise as the change has it.
"""

from __future__ import annotations

import torch
from torch import Tensor

STEPS = (3, 6)  # pixels: squares of 7, then of 13, that together reach 9 pixels beyond the first erosion
LIMIT = 10 / 255  # by which a pixel's distance to its neighbours' median may grow
PLATEAU = 0.98  # of the largest weight; from here on a pixel is inside
CHUNK = 1 << 16  # pixels at a time


class Rim:
    """Remembers how far the pixels of a rim stand out, before they are changed.

    Pixels count that are within 10 of the mask's edge and whose 3x3 neighbourhood is inside the mask.

    Args:
        picture: ``[H, W, 3 or more]``.
        weight: ``[H, W]``, how far each pixel will be changed.
        box: ``(top, bottom, left, right)`` of what will be changed.
    """

    def __init__(self, picture: Tensor, weight: Tensor, box: tuple[int, int, int, int]) -> None:
        top, bottom, left, right = box
        part = weight[top:bottom, left:right]
        inside = torch.zeros(part.shape[0] + 2, part.shape[1] + 2, dtype=torch.bool, device=part.device)
        torch.ge(part, PLATEAU * part.amax(), out=inside[1:-1, 1:-1])
        _erode_(inside, 1)
        deep = inside.clone()
        for step in STEPS:
            _erode_(deep, step)
        rows, columns = (inside & ~deep)[1:-1, 1:-1].nonzero().T
        self.rows, self.columns = rows + top, columns + left
        self.distance = torch.cat([(own - median).abs() for own, median in self._read(picture)])

    def restrain(self, picture: Tensor) -> None:
        """Draws the changed pixels, in place, to their neighbours' median where they stand out too much more."""
        moved = []
        for (own, median), before in zip(self._read(picture), self.distance.split(CHUNK)):
            away = own - median
            kept = ((before + LIMIT) / away.abs().clamp(min=LIMIT)).amin(1, keepdim=True).clamp(max=1)
            moved.append(torch.where(kept < 1, torch.addcmul(median, away, kept), own))
        picture[self.rows, self.columns, :3] = torch.cat(moved)

    def _read(self, picture: Tensor):
        """Some pixels at a time: their colours ``[n, 3]`` and the medians of their neighbourhoods."""
        for rows, columns in zip(self.rows.split(CHUNK), self.columns.split(CHUNK)):
            shifts = [(down, across) for down in (-1, 0, 1) for across in (-1, 0, 1)]
            near = torch.stack([picture[rows + down, columns + across, :3] for down, across in shifts])
            yield near[4], _median_of_nine(near)


def _erode_(inside: Tensor, step: int) -> None:
    """Keeps, in place, what is inside together with its neighbours ``step`` pixels away on all four sides and corners."""
    for axis in (0, 1):
        length = inside.shape[axis] - step
        if length > 0:
            original = inside.clone()
            inside.narrow(axis, step, length).logical_and_(original.narrow(axis, 0, length))
            inside.narrow(axis, 0, length).logical_and_(original.narrow(axis, step, length))


def _median_of_nine(values: Tensor) -> Tensor:
    """``[9, ...]`` to ``[...]``; faster than sorting."""
    triples = values.unflatten(0, (3, 3))
    return _median(triples.amin(1).amax(0), _median(*_median(*triples.unbind(1))), triples.amax(1).amin(0))


def _median(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    return torch.maximum(torch.minimum(a, b), torch.minimum(torch.maximum(a, b), c))
