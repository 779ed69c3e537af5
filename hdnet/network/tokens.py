"""Feature maps as rows of features; a view, not a copy, when the memory is channels-last."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from functools import reduce

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from .regions import Regions

STRIP = 1 << 18  # values of a strip for each thread: with what is made of them, they stay in its cache
DEVICE_STRIP = 1 << 26  # elsewhere than on a processor: only memory matters


def to_tokens(features: Tensor) -> Tensor:
    """``[B, C, H, W]`` to ``[B, H*W, C]``."""
    return rearrange(features, "b c h w -> b (h w) c")


def to_map(tokens: Tensor, regions: Regions) -> Tensor:
    """``[B, H*W, C]`` to ``[B, C, H, W]``, the inverse of :func:`to_tokens`; padding repeats the edge."""
    height, width = regions.valid_size
    features = rearrange(tokens, "b (h w) c -> b c h w", h=regions.size[0])
    return features if regions.valid_size == regions.size else pad_edge(features[..., :height, :width], regions)


def pad_edge(features: Tensor, regions: Regions) -> Tensor:
    """Extends the picture's features ``[B, C, h, w]`` into the padding by repeating its last row and column.

    The padding's own values took no part in any statistics, and dividing them by the deviation of a small or
    flat region, layer after layer, would blow them up.
    """
    (height, width), (h, w) = regions.size, regions.valid_size
    if (h, w) == (height, width):
        return features
    return F.pad(features, (0, width - w, 0, height - h), mode="replicate")


def positions(inside: Tensor) -> tuple[Tensor, ...]:
    """Where each picture of ``[B, N]`` bool is true: B vectors of indices.

    A device is waited for twice, however many pictures there are.
    """
    places = inside.nonzero()[:, 1]
    return places.split(inside.sum(1).tolist())


def at_least_float32(tokens: Tensor) -> Tensor:
    """The same values in a type that sums and statistics can be computed in."""
    return tokens.float() if tokens.dtype.itemsize < 4 else tokens


def weighted_sums(weights: Tensor, tokens: Tensor) -> Tensor:
    """``[B, R, N]`` times ``[B, N, C]``, at least in float32: ``[B, R, C]``."""
    parts = (weights[..., start:end] @ at_least_float32(tokens[:, start:end]) for start, end in strips(tokens))
    return reduce(operator.add, parts)


def in_one_piece() -> bool:
    """Whether to leave memory alone: gradients need it all, and a compiler arranges it better."""
    return torch.is_grad_enabled() or torch.compiler.is_compiling()


def strips(tokens: Tensor) -> Iterator[tuple[int, int]]:
    """Ranges of positions of ``[B, N, C]`` to be worked on one after another; all at once where `in_one_piece`."""
    count = tokens.shape[1]
    if in_one_piece():
        yield 0, count
        return
    values = torch.get_num_threads() * STRIP if tokens.device.type == "cpu" else DEVICE_STRIP
    step = max(1, values // (tokens.shape[0] * tokens.shape[2]))
    for start in range(0, count, step):
        yield start, min(start + step, count)
