"""Restraint on the rim of a foreground: no pixel may stand out from its neighbours much more than it did.

The rim holds mixed colours, thin structures and traces of compression, which say little about the object. What a change
makes of them shows at once, as dots and crusts; further inside, contrast may rise as the change has it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .masks import Box

STEPS = (1, 3, 6)  # pixels: together they reach 10 from the edge, and squares of 3, 7 and 13 leave no gap
PLATEAU = 0.98  # of the largest weight; from here on a pixel is inside
CHUNK = 1 << 16  # pixels at a time


class Rim:
    """Remembers the rim of a picture before it is changed.

    Pixels count that are within 10 of the mask's edge and whose 3x3 neighbourhood is inside the mask.

    Args:
        picture: ``[H, W, 3 or more]``.
        weight: ``[H, W]``, how far each pixel will be changed.
        box: ``(top, bottom, left, right)`` of what will be changed.
    """

    def __init__(self, picture: Tensor, weight: Tensor, box: Box) -> None:
        top, bottom, left, right = box
        part = weight[top:bottom, left:right]
        self.most = float(part.amax())
        inside = torch.zeros(part.shape[0] + 2, part.shape[1] + 2, dtype=torch.bool, device=part.device)
        torch.ge(part, PLATEAU * self.most, out=inside[1:-1, 1:-1])
        whole = _eroded(inside, STEPS[0])
        deep = whole
        for step in STEPS[1:]:
            deep = _eroded(deep, step)
        rows, columns = whole.logical_and_(~deep)[1:-1, 1:-1].nonzero().T
        self.places = list(zip((rows + top).split(CHUNK), (columns + left).split(CHUNK)))
        self.before = [_neighbourhoods(picture, *place) for place in self.places]

    def restrain(self, picture: Tensor, limit: float) -> None:
        """Lets no pixel stand out from its neighbours by more than it did and ``limit``, in place."""
        restrained = []
        for place, before in zip(self.places, self.before):
            after = _neighbourhoods(picture, *place)
            distance = before[4] - _median_of_nine(before)
            change = after[4] - before[4] - _median_of_nine(after - before)
            # in proportion to the weight, so that half a change leads to half of the result
            upwards = self.most * (limit + 2 * distance.clamp(max=0).neg())
            downwards = self.most * (limit + 2 * distance.clamp(min=0))
            excess = change - change.clamp(-downwards, upwards)  # exactly zero where there is nothing to restrain
            restrained.append((after[4] - excess).clamp_(after[4].clamp(max=0), after[4].clamp(min=1)))
        for (rows, columns), colours in zip(self.places, restrained):
            picture[rows, columns, :3] = colours


def _eroded(inside: Tensor, step: int) -> Tensor:
    """What is inside together with what is ``step`` pixels away from it in all eight directions."""
    for axis in (0, 1):
        length = inside.shape[axis] - step
        if length > 0:
            before, inside = inside, inside.clone()
            inside.narrow(axis, step, length).logical_and_(before.narrow(axis, 0, length))
            inside.narrow(axis, 0, length).logical_and_(before.narrow(axis, step, length))
    return inside


def _neighbourhoods(picture: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Colours ``[9, n, 3]`` of pixels and their neighbours, the pixel itself in the middle."""
    width = picture.stride(0) // picture.stride(1)  # of the picture that this may be a part of
    shifts = [down * width + across for down in (-1, 0, 1) for across in (-1, 0, 1)]
    numbers = rows * width + columns + torch.tensor(shifts, device=rows.device)[:, None]
    # faster than indexing with rows and columns, and a part is not copied
    size = (len(picture) - 1) * width + picture.shape[1], picture.shape[2]
    pixels = picture.as_strided(size, picture.stride()[1:])
    return pixels.index_select(0, numbers.flatten()).unflatten(0, (9, -1))[..., :3]


def _median_of_nine(values: Tensor) -> Tensor:
    """``[9, ...]`` to ``[...]``; faster than sorting."""
    triples = values.unflatten(0, (3, 3))
    return _median(triples.amin(1).amax(0), _median(*_median(*triples.unbind(1))), triples.amax(1).amin(0))


def _median(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    return torch.maximum(torch.minimum(a, b), torch.minimum(torch.maximum(a, b), c))
