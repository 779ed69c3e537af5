"""Local dynamics: each foreground feature is rebuilt from its nearest background features (Eq. 2-5)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .regions import Regions
from .tokens import at_least_float32, positions, to_map, to_tokens

# Similarities are computed in blocks of at most this many queries and keys, so that memory does not
# grow with the picture and a block stays in the processor's cache.
QUERIES, KEYS = 256, 4096
LARGEST_PRODUCT = 1 << 26  # similarities of a batch that a device computes at once; 256 MB, less than activations take
GROUP = 64  # keys whose largest similarity is found at once


class LocalDynamics(nn.Module):
    """Rebuilds the foreground of a feature map from its background.

    ``mode="paper"`` compares by cosine similarity, takes the K nearest background features, weighs them
    by the softmax of their similarities (Eq. 4) and fuses the sum with the feature itself (Eq. 5).

    ``mode="published"`` does what the authors' code does for K = 1: the similarity is a dot product,
    foreground positions stand among the keys as zero vectors, and the reference is scaled by the softmax
    of the best similarities over all *positions*.

    Args:
        channels: Channels C of the feature map.
        neighbours: K.
        mode: ``"paper"`` or ``"published"``.
        similarity: ``"cosine"``, or ``"dot"`` to compare without normalising (paper mode only).
    """

    def __init__(self, channels: int, neighbours: int = 1, mode: str = "paper", similarity: str = "cosine") -> None:
        super().__init__()
        self.neighbours = neighbours
        self.mode = mode
        self.similarity = similarity
        self.linear = nn.Linear(2 * channels, channels)

    def forward(self, features: Tensor, regions: Regions) -> Tensor:
        """Returns ``[B, C, H, W]`` with new foreground features; a picture without background keeps its own."""
        with torch.autocast(features.device.type, enabled=False):  # shapes vary: plain float32 products
            tokens = at_least_float32(to_tokens(features))
            if self._fits_at_once(tokens):
                return to_map(self._rebuild_batch(tokens, regions), regions).to(features.dtype)
            count = regions.valid_size[0] * regions.valid_size[1]
            places = zip(positions(regions.foreground), positions(regions.reference))
            rebuilt = [self._rebuild(own, inside, outside, count) for own, (inside, outside) in zip(tokens, places)]
            tokens = torch.stack(rebuilt)
        return to_map(tokens, regions).to(features.dtype)

    def _fits_at_once(self, tokens: Tensor) -> bool:
        """Whether all similarities of a batch are computed in one product: off the processor, where it is small."""
        plain = self.mode == "paper" and self.neighbours == 1 and self.similarity == "cosine"
        largest = LARGEST_PRODUCT * (4 if torch.is_grad_enabled() else 1)  # training keeps far more for its gradients
        return plain and tokens.device.type != "cpu" and len(tokens) * tokens.shape[1] ** 2 <= largest

    def _rebuild_batch(self, tokens: Tensor, regions: Regions) -> Tensor:
        """All pictures of ``[B, N, C]`` together, K = 1: more products than need be, but nothing waits for a device."""
        inside, outside = regions.foreground, regions.reference
        with torch.no_grad():
            unit = F.normalize(tokens, dim=2) * outside[..., None]
            similarity = (tokens @ unit.mT).masked_fill_(~outside[:, None], -torch.inf)
            nearest = similarity.argmax(2)
        reference = tokens.gather(1, nearest[..., None].expand_as(tokens))
        weight, bias = self.linear.weight.to(tokens.dtype), self.linear.bias.to(tokens.dtype)
        fused = F.linear(torch.cat((reference, tokens), dim=2), weight, bias)
        changes = inside & outside.any(1, keepdim=True)
        return torch.where(changes[..., None], fused, tokens)

    def _rebuild(self, tokens: Tensor, inside: Tensor, outside: Tensor, count: int) -> Tensor:
        """One picture: ``[N, C]`` features, where foreground and reference are; ``count`` positions are no padding."""
        if len(inside) == 0:
            return tokens
        queries, keys = tokens[inside], tokens[outside]
        if self.mode == "published":
            reference = _published_reference(queries, keys, others=count - len(queries))
        elif len(keys) == 0:
            return tokens
        else:
            reference = _nearest_mean(queries, keys, self.neighbours, self.similarity == "cosine")
        weight, bias = self.linear.weight.to(tokens.dtype), self.linear.bias.to(tokens.dtype)
        fused = F.linear(torch.cat((reference, queries), dim=1), weight, bias)
        return tokens.index_copy(0, inside, fused)


def _nearest_mean(queries: Tensor, keys: Tensor, count: int, cosine: bool) -> Tensor:
    """Softmax-weighted mean of each query's nearest keys (Eq. 3 and 4): ``[Q, C]``."""
    if count == 1:  # the softmax of one similarity is 1
        with torch.no_grad():
            unit = F.normalize(keys, dim=1) if cosine else keys  # the query's own length changes no order
            nearest = nearest_keys(queries, unit, 1)[:, 0]
        return keys[nearest]
    compared, unit = (F.normalize(queries, dim=1), F.normalize(keys, dim=1)) if cosine else (queries, keys)
    with torch.no_grad():
        nearest = nearest_keys(compared, unit, min(count, len(keys)))
    similarity = torch.einsum("qc,qkc->qk", compared, unit[nearest])
    return torch.einsum("qk,qkc->qc", similarity.softmax(1), keys[nearest])


def _published_reference(queries: Tensor, keys: Tensor, others: int) -> Tensor:
    """The reference of the published code for K = 1; ``others`` counts the positions that are no query."""
    similarity = queries.new_zeros(len(queries))
    best = torch.zeros_like(queries)
    if len(keys):
        with torch.no_grad():
            nearest = nearest_keys(queries, keys, 1)[:, 0]
        similarity = (queries * keys[nearest]).sum(1)
        # a foreground position stands among the keys as a zero vector, which wins over negative ones
        best = torch.where(similarity[:, None] > 0, keys[nearest], best)
        similarity = similarity.clamp(min=0)
    # softmax over all positions; a background position has similarity zero
    rest = queries.new_full((1,), others).log()
    total = torch.logsumexp(torch.cat((similarity, rest)), dim=0)
    return best * (similarity - total).exp()[:, None]


def nearest_keys(queries: Tensor, keys: Tensor, count: int) -> Tensor:
    """Indices of the keys with the largest dot products: ``[Q, C]``, ``[M, C]`` to ``[Q, count]``."""
    found = []
    for some in queries.split(QUERIES):
        best, index = some.new_empty(len(some), 0), torch.empty(len(some), 0, dtype=torch.long, device=some.device)
        for start, part in zip(range(0, len(keys), KEYS), keys.split(KEYS)):
            similarity = some @ part.T
            top, where = _largest(similarity) if count == 1 else similarity.topk(min(count, len(part)), dim=1)
            best, index = torch.cat((best, top), 1), torch.cat((index, where + start), 1)
        best, order = best.topk(count, dim=1)
        found.append(index.gather(1, order))
    return torch.cat(found)


def _largest(similarity: Tensor) -> tuple[Tensor, Tensor]:
    """The largest value of each row and where it stands, ``[Q, 1]`` both.

    The largest of every group is found first, since that is fast, and its place in the best group alone.
    """
    grouped = similarity.shape[1] // GROUP * GROUP
    if grouped == 0:
        return similarity.max(1, keepdim=True)
    groups = similarity[:, :grouped].unflatten(1, (-1, GROUP))
    group = groups.amax(2).argmax(1)
    top, place = groups[torch.arange(len(group), device=group.device), group].max(1, keepdim=True)
    place = place + group[:, None] * GROUP
    if grouped == similarity.shape[1]:
        return top, place
    other, where = similarity[:, grouped:].max(1, keepdim=True)
    return torch.maximum(top, other), torch.where(other > top, where + grouped, place)
