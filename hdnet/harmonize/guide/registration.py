"""Registration: where each place of a picture lies in another picture of the same scene, in another light.

An affine map is refined from coarse to fine by Gauss-Newton iterations on *local contrast*: luma less its surroundings,
over their contrast. A change of light, which varies slowly, hardly shows there; what the other picture changed does
not count (Cauchy's weights). Beforehand the coarsest level is tried with each way in which the two frames may be
related: squeezed, cropped, padded, zoomed by some percent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..colour_transfer import LUMA

LEVELS = (48, 96, 192, 384, 768)  # squared pixels, from coarse to fine
ROUNDS = 10  # at most, of each level
PLACES = 1 << 15  # of most texture, which are looked at in a level
JUDGED = 192  # level at which agreement is judged: most blur and grain are gone, other pictures agree by chance only
ZOOMS = (1.0, 0.92, 1.08)  # tried at the coarsest level
SMALLEST = 16  # pixels of a side, below which there is nothing to register by
WIDTH = 1.5  # pixels, standard deviation of what a place is compared with
FLAT = 0.01  # contrast of luma that counts as none: noise, rounding
SCALE = 0.6  # of Cauchy's weights, in units of local contrast
SETTLED = 0.01  # pixels that an iteration moves the corners, below which a level is done
STIFFNESS = 1e-3  # pull against squeezing and shearing, where texture tells of shifts only
LEAST_OVERLAP = 0.01  # share of the picture that a guide must show
ALIKE = 0.15  # correlation of local contrast: of other pictures it is less
FLATTEST = 0.02  # mean local contrast of a picture that has nothing to register by
UNRELATED = (
    "The guide does not show the same scene as the image; give a picture that was made from this image, or limit "
    "both to what they share by a mask."
)


@dataclass(frozen=True)
class Registration:
    """How a guide lies over a picture.

    Attributes:
        matrix: ``[2, 3]``: from (x, y, 1) in the picture to (x, y) in the guide; both reach from -1 to 1 across theirs.
        agreement: Correlation of local contrast where they overlap, -1..1; None where there is nothing to register by.
    """

    matrix: Tensor
    agreement: float | None


def register(picture: Tensor, guide: Tensor, where: Tensor | None = None) -> Registration:
    """Registers a guide with a picture.

    Args:
        picture: ``[3, h, w]`` in 0..1, about 768² pixels.
        guide: ``[3, gh, gw]`` in 0..1, likewise.
        where: ``[h, w]`` in 0..1: the part of the picture that the guide shows; None for all of it.

    Raises:
        ValueError: They do not show the same scene.
    """
    sides = (picture.shape[-2], picture.shape[-1]), (guide.shape[-2], guide.shape[-1])
    identity = torch.eye(2, 3, dtype=torch.float64, device=picture.device)
    if min(*sides[0], *sides[1]) < SMALLEST:
        return Registration(identity, None)
    lumas = [root_of_luma(each) for each in (picture, guide)]
    textured = [float(local_contrast(each).abs().mean()) > FLATTEST for each in lumas]
    if not any(textured):
        return Registration(identity, None)
    if not all(textured):
        raise ValueError(UNRELATED)
    matrix = identity
    judged: tuple[Tensor, Tensor, Tensor] | None = None
    for level in LEVELS:
        if level > LEVELS[0] and level**2 > lumas[0].numel():
            break
        one, other = (local_contrast(_at(each, level)) for each in lumas)
        weight = torch.ones_like(one) if where is None else _at(where, level)
        starts = _starts(*sides, identity) if judged is None else [matrix]
        tried = [_refined(one, other, weight, start) for start in starts]
        matrix = max(tried, key=lambda each: _agreement(one, other, weight, each)) if len(tried) > 1 else tried[0]
        if level <= JUDGED:
            judged = one, other, weight
    assert judged is not None  # the first level always is
    agreement = _agreement(*judged, matrix)
    if agreement < ALIKE:
        raise ValueError(UNRELATED)
    return Registration(matrix, agreement)


def warp(planes: Tensor, matrix: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Brings a guide into a picture's frame.

    Args:
        planes: ``[C, gh, gw]``.
        matrix: ``[2, 3]`` of :class:`Registration`.
        size: ``(h, w)`` of the result.

    Returns:
        ``[C, h, w]``, and bool ``[h, w]``: which places the guide shows.
    """
    grid = F.affine_grid(matrix[None].to(planes), [1, 1, *size], align_corners=False)
    warped = F.grid_sample(planes[None], grid, padding_mode="border", align_corners=False)[0]
    return warped, (grid[0].abs() <= 1).all(-1)


def local_contrast(luma: Tensor, width: float = WIDTH) -> Tensor:
    """``[h, w]`` less its surroundings, over their contrast: about -2..2, and 0 where all is flat."""
    detail = luma - blur(luma, width)
    return detail / (blur(detail.square(), 2 * width) + FLAT**2).sqrt()


def blur(planes: Tensor, sigma: float) -> Tensor:
    """A Gaussian over ``[h, w]`` or ``[C, h, w]``; the border is repeated."""
    reach = max(1, math.ceil(2.5 * sigma))
    taps = [math.exp(-0.5 * (place / sigma) ** 2) for place in range(reach + 1)]
    whole = 2 * sum(taps) - taps[0]
    blurred = planes if planes.dim() == 3 else planes[None]
    for axis, borders in ((1, (0, 0, reach, reach)), (2, (reach, reach, 0, 0))):
        length = blurred.shape[axis]
        padded = F.pad(blurred, borders, mode="replicate")
        # sums of shifted planes: on processors many times faster than a convolution of one channel
        blurred = padded.narrow(axis, reach, length) * (taps[0] / whole)
        for place in range(1, reach + 1):
            for start in (reach - place, reach + place):
                blurred.add_(padded.narrow(axis, start, length), alpha=taps[place] / whole)
    return blurred.view_as(planes)


def root_of_luma(picture: Tensor) -> Tensor:
    """``[3, h, w]`` to ``[h, w]``; the square root spreads the dark, where a dimmed guide keeps its contrast."""
    return (picture * picture.new_tensor(LUMA)[:, None, None]).sum(0).clamp(min=0).sqrt()


def _at(luma: Tensor, level: int) -> Tensor:
    """``[h, w]`` at about level² pixels."""
    scale = level / math.sqrt(luma.numel())
    if level == 0 or scale >= 1:
        return luma
    size = [max(SMALLEST // 2, round(side * scale)) for side in luma.shape]
    return F.interpolate(luma[None, None], size=size, mode="bilinear", antialias=True)[0, 0]


def _starts(picture: tuple[int, int], guide: tuple[int, int], identity: Tensor) -> list[Tensor]:
    """Ways in which two frames may be related: squeezed into one another, one cropped or padded to fit, zoomed."""
    aspect = (picture[1] / picture[0]) / (guide[1] / guide[0])
    shapes = [(1.0, 1.0)]
    if abs(math.log(aspect)) > 0.02:
        shapes += [(aspect, 1.0), (1.0, 1 / aspect)]
    starts = []
    for across, down in shapes:
        for zoom in ZOOMS:
            start = identity.clone()
            start[0, 0], start[1, 1] = zoom * across, zoom * down
            starts.append(start)
    return starts


def _refined(one: Tensor, other: Tensor, weight: Tensor, matrix: Tensor) -> Tensor:
    """Gauss-Newton on the difference of two planes ``[h, w]`` and ``[gh, gw]`` at the places of most texture."""
    slopes = _slopes(one).square().sum(0) * weight
    chosen = slopes.flatten().topk(min(PLACES, slopes.numel())).indices
    rows, columns = chosen // one.shape[1], chosen % one.shape[1]
    place = torch.stack([(2 * each + 1) / side - 1 for each, side in ((columns, one.shape[1]), (rows, one.shape[0]))])
    place = torch.cat((place, torch.ones_like(place[:1]))).to(one)
    value, share = one.flatten()[chosen], weight.flatten()[chosen]
    planes = torch.cat((other[None], _slopes(other)))[None]
    stiff = torch.tensor([1.0, 1, 0, 1, 1, 0], dtype=torch.float64, device=one.device) * STIFFNESS + 1e-6
    for _ in range(ROUNDS):
        at = matrix.to(place) @ place
        seen = F.grid_sample(planes, at.T[None, None], padding_mode="border", align_corners=False)[0, :, 0]
        error = seen[0] - value
        trusted = share * (at.abs() <= 1).all(0) / (1 + (error / SCALE).square())
        jacobian = (seen[1:, None] * place).flatten(0, 1)
        normal = ((jacobian * trusted) @ jacobian.T).double()
        step = torch.linalg.solve(
            normal + torch.diag(stiff * (normal.trace() / 6 + 1e-9)), (jacobian @ (trusted * error)).double()
        ).view(2, 3)
        matrix = matrix - step
        if float(step.abs().sum(1).max()) * max(one.shape) / 2 < SETTLED:
            break
    return matrix


def _slopes(plane: Tensor) -> Tensor:
    """Derivatives ``[2, h, w]`` along x and y of coordinates that reach from -1 to 1."""
    height, width = plane.shape
    across, down = (torch.gradient(plane, dim=axis)[0] for axis in (1, 0))
    return torch.stack((across * (width / 2), down * (height / 2)))


def _agreement(one: Tensor, other: Tensor, weight: Tensor, matrix: Tensor) -> float:
    """Correlation of two planes where they overlap; -1 where they hardly do."""
    warped, seen = warp(other[None], matrix, (one.shape[0], one.shape[1]))
    weight = weight * seen
    if weight.sum() < LEAST_OVERLAP * seen.numel():
        return -1.0
    product, own, its = ((weight * each).sum() for each in (one * warped[0], one.square(), warped[0].square()))
    return float(product / (own * its).sqrt().clamp(min=1e-6))
