"""The equations of HDNet written the slow, obvious way: the reference the tests hold `hdnet` against.

One picture at a time, one position at a time, in the precision of the tensors given. Nothing of the
package is imported. Sources: Chen et al., "Hierarchical Dynamic Image Harmonization" (ACM MM 2023),
Ling et al., "Region-aware Adaptive Instance Normalization" (CVPR 2021, RAIN).

Conventions where the papers are silent:

* A position is foreground where the mask, resized by nearest, is above 0.5. Only the fourth input
  channel keeps the soft mask.
* Pictures are padded right and bottom to multiples of 8. ``valid = (h, w)`` is the part of a feature map
  that is picture: only it is normalised, matched and transformed. In what leaves a module, the padding
  repeats the picture's last row and column.
* ``reference`` says which background positions the foreground may learn from; by default all of them. The
  background itself is always normalised by all of the background.
* A region without positions has mean 0 and variance 0; local dynamics as in the paper change nothing
  without a foreground or without a reference.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

EPSILON = 1e-5


def network(
    composite,
    mask,
    state,
    *,
    local_dynamics="paper",
    neighbours=1,
    global_dynamics="mask",
    reference=None,
    features=None,
):
    """Returns the generator's picture ``[B, 3, H, W]`` in -1..1 before blending.

    Args:
        composite: ``[B, 3, H, W]`` in -1..1.
        mask: ``[B, 1, H, W]`` in 0..1, 1 = foreground.
        state: Parameters by name; three or four input channels follow from ``encoder.0.weight``.
        local_dynamics: "paper", "published" (then the skip connections, too, are those of the authors'
            code: activated in place by the LeakyReLU of the next encoder layer) or None.
        neighbours: K of Eq. 4.
        global_dynamics: "mask", "learned" or None.
        reference: ``[B, 1, H, W]`` in 0..1, 1 = may serve as reference.
        features: An optional dict that receives intermediate features by name.
    """
    height, width = composite.shape[-2:]
    if reference is None:
        reference = torch.ones_like(mask)
    composite, mask, reference = (pad(picture, 8) for picture in (composite, mask, reference))
    features = {} if features is None else features

    def at(scale):  # what the modules need to know about a feature map `scale` times smaller
        return {
            "mask": mask[:, :, ::scale, ::scale],
            "reference": reference[:, :, ::scale, ::scale],
            "valid": (-(-height // scale), -(-width // scale)),
        }

    # Encoder: 4x4 kernels halve the picture.
    shown = torch.cat([composite, mask], 1) if state["encoder.0.weight"].shape[1] == 4 else composite
    x = [F.conv2d(shown, state["encoder.0.weight"], padding=1)]
    scales = [1, 2, 2, 4, 4, 8, 8, 8]
    for n in range(1, 8):
        stride = scales[n] // scales[n - 1]
        y = F.conv2d(F.leaky_relu(x[n - 1], 0.2), state[f"encoder.{n}.weight"], stride=stride, padding=1)
        x.append(instance_norm(y, at(scales[n])["valid"]) if n < 7 else y)

    if local_dynamics == "paper":
        linear = state["local_dynamics.linear.weight"], state["local_dynamics.linear.bias"]
        x[7] = local_dynamics_paper(x[7], *linear, k=neighbours, **at(8))
    elif local_dynamics == "published":
        linear = state["local_dynamics.linear.weight"], state["local_dynamics.linear.bias"]
        x[7] = local_dynamics_published(x[7], *linear, **at(8))
        x[:7] = [F.leaky_relu(skip, 0.2) for skip in x[:7]]
    features["local_dynamics"] = x[7]

    # Decoder: the step, where its skip connection comes from, and how much it enlarges.
    d = x[7]
    for index, (step, skip, scale, enlarge) in enumerate(
        [(7, None, 8, 1), (6, 6, 8, 1), (5, 5, 8, 2), (4, 4, 4, 1), (3, 3, 4, 2), (2, 2, 2, 1), (1, 1, 2, 2)]
    ):
        if skip is not None:
            d = torch.cat([x[skip], d], 1)
        if step in (2, 1) and global_dynamics:
            d = global_dynamics_any(d, state, f"global_dynamics.{2 - step}", global_dynamics, at(scale))
        weight = state[f"decoder.{index}.conv.weight"]
        d = F.conv_transpose2d(F.relu(d), weight, stride=enlarge, padding=1)
        d = rain(d, parameters=take(state, f"decoder.{index}.norm"), **at(scale // enlarge))
        features[f"d{step}"] = d

    d = torch.cat([x[0], d], 1)
    if global_dynamics:
        d = global_dynamics_any(d, state, "global_dynamics.2", global_dynamics, at(1))
    out = torch.tanh(F.conv_transpose2d(F.relu(d), state["head.weight"], state["head.bias"], padding=1))
    return out[..., :height, :width]


def take(state, prefix):
    """The entries below a prefix, without it."""
    return {name[len(prefix) + 1 :]: value for name, value in state.items() if name.startswith(prefix + ".")}


def pad(picture, multiple):
    """Pads right and bottom, each side by reflection, or by its last line where it is too short to reflect."""
    for axis in (2, 3):
        side = picture.shape[axis]
        extra = -side % multiple
        outside = [2 * (side - 1) - i if extra < side else side - 1 for i in range(side, side + extra)]
        picture = picture.index_select(axis, torch.tensor([*range(side), *outside]))
    return picture


def repeat_edge(x, valid):
    """Overwrites the padding with the last valid row and column."""
    (height, width), (h, w) = x.shape[-2:], valid or x.shape[-2:]
    x = torch.stack([x[:, :, min(i, h - 1)] for i in range(height)], 2)
    return torch.stack([x[:, :, :, min(j, w - 1)] for j in range(width)], 3)


def instance_norm(x, valid=None):
    """Zero mean and unit variance per picture and channel, over the valid part."""
    h, w = valid or x.shape[-2:]
    part = x[:, :, :h, :w]
    mean = part.mean((2, 3), keepdim=True)
    variance = ((part - mean) ** 2).mean((2, 3), keepdim=True)
    return repeat_edge((x - mean) / torch.sqrt(variance + EPSILON), valid)


def regions(mask, valid=None, reference=None):
    """Three bool maps ``[B, H, W]`` without the padding: foreground, background, reference."""
    inside = mask[:, 0] > 0.5
    counts = torch.zeros_like(inside)
    h, w = valid or mask.shape[-2:]
    counts[:, :h, :w] = True
    background = counts & ~inside
    return counts & inside, background, background if reference is None else background & (reference[:, 0] > 0.5)


def rain(x, mask, parameters, valid=None, reference=None):
    """Region-aware adaptive instance normalization: the foreground takes the reference's mean and deviation.

    Args:
        x: ``[B, C, H, W]``.
        mask: ``[B, 1, H, W]``.
        parameters: ``{foreground,background}_{gamma,beta}``, each ``[C]``.
    """
    pictures = []
    for picture, fg, bg, ref in zip(x, *regions(mask, valid, reference)):
        channels = []
        for c, channel in enumerate(picture):
            mean_b, deviation_b = mean_and_deviation(channel[bg])
            mean_f, deviation_f = mean_and_deviation(channel[fg])
            mean_r, deviation_r = mean_and_deviation(channel[ref])
            gamma_b, beta_b = parameters["background_gamma"][c], parameters["background_beta"][c]
            gamma_f, beta_f = parameters["foreground_gamma"][c], parameters["foreground_beta"][c]
            as_background = (channel - mean_b) / deviation_b * (1 + gamma_b) + beta_b
            restyled = (channel - mean_f) / deviation_f * deviation_r + mean_r
            channels.append(torch.where(fg, restyled * (1 + gamma_f) + beta_f, as_background))
        pictures.append(torch.stack(channels))
    return repeat_edge(torch.stack(pictures), valid)


def mean_and_deviation(values):
    mean = values.sum() / (len(values) + EPSILON)
    variance = ((values - mean) ** 2).sum() / (len(values) + EPSILON)
    return mean, torch.sqrt(variance + EPSILON)


def local_dynamics_paper(x, weight, bias, mask, k=1, similarity="cosine", valid=None, reference=None):
    """Eq. 2-5: every foreground feature is rebuilt from itself and its K nearest background features.

    Args:
        x: ``[B, C, H, W]``.
        weight: ``[C, 2C]``, over (reference, own).
        bias: ``[C]``.
        mask: ``[B, 1, H, W]``.
        similarity: "cosine" (Eq. 2) or "dot".
    """
    pictures = []
    for picture, fg, _, ref in zip(x, *regions(mask, valid, reference)):
        new = picture.clone()
        candidates = [picture[:, i, j] for i, j in ref.nonzero().tolist()]
        for i, j in fg.nonzero().tolist() if candidates else []:
            own = picture[:, i, j]
            likeness = torch.stack([similar(own, candidate, similarity) for candidate in candidates])
            nearest = likeness.argsort(descending=True, stable=True)[:k]
            shares = torch.softmax(likeness[nearest], 0)
            mixed = sum(share * candidates[n] for share, n in zip(shares, nearest.tolist()))
            new[:, i, j] = weight @ torch.cat([mixed, own]) + bias
        pictures.append(new)
    return repeat_edge(torch.stack(pictures), valid)


def similar(a, b, similarity):
    if similarity == "dot":
        return a @ b
    lengths = a.norm() * b.norm()
    return a @ b / lengths if lengths > 0 else a @ b


def local_dynamics_published(x, weight, bias, mask, valid=None, reference=None):
    """What the authors' code computes for K = 1 in place of Eq. 2-5.

    Positions of the other region take part as zero vectors, similarity is the dot product, and the
    softmax runs over all positions' best similarities, so each reference is scaled by a small number.
    Without a background every reference is a zero vector.
    Arguments as in :func:`local_dynamics_paper`.
    """
    h, w = valid or x.shape[-2:]
    pictures = []
    for picture, fg, _, ref in zip(x, *regions(mask, valid, reference)):
        positions = [(i, j) for i in range(h) for j in range(w)]
        queries = [picture[:, i, j] * fg[i, j] for i, j in positions]
        candidates = [picture[:, i, j] * ref[i, j] for i, j in positions]
        likeness = torch.stack([torch.stack([q @ c for c in candidates]) for q in queries])
        best, nearest = likeness.max(1)
        scale = torch.softmax(best, 0)
        new = picture.clone()
        for n, (i, j) in enumerate(positions):
            if fg[i, j]:
                mixed = scale[n] * candidates[nearest[n]]
                new[:, i, j] = weight @ torch.cat([mixed, picture[:, i, j]]) + bias
        pictures.append(new)
    return repeat_edge(torch.stack(pictures), valid)


def global_dynamics_any(x, state, prefix, kind, at):
    parameters = take(state, prefix)
    if kind == "learned":
        return global_dynamics_learned(x, parameters, at["valid"])
    return global_dynamics_mask(x, at["mask"], parameters, at["valid"])


def region_kernels(picture, parameters, valid):
    """Two 1x1 kernels ``[2, C, C]`` (foreground first) predicted from the picture's mean feature."""
    channels = picture.shape[0]
    pooled = picture[:, : valid[0], : valid[1]].mean((1, 2))
    squeezed = torch.sigmoid(parameters["squeeze.weight"][:, :, 0, 0] @ pooled + parameters["squeeze.bias"])
    half = channels * channels
    weight, bias = parameters["expand.weight"][:, :, 0, 0], parameters["expand.bias"]
    kernels = []
    for region in range(2):  # grouped: each half of the output sees its own half of the four channels
        rows = slice(region * half, (region + 1) * half)
        kernels.append((weight[rows] @ squeezed[2 * region : 2 * region + 2] + bias[rows]).view(channels, channels))
    return torch.stack(kernels)


def global_dynamics_mask(x, mask, parameters, valid=None):
    """Eq. 6: each region of the feature map is transformed by its own predicted kernel."""
    valid = valid or x.shape[-2:]
    pictures = []
    for picture, inside in zip(x, mask[:, 0] > 0.5):
        foreground, background = region_kernels(picture, parameters, valid)
        pictures.append(
            torch.where(
                inside,
                torch.einsum("oc,chw->ohw", foreground, picture),
                torch.einsum("oc,chw->ohw", background, picture),
            )
        )
    return repeat_edge(torch.stack(pictures), valid)


def global_dynamics_learned(x, parameters, valid=None):
    """HDNet* of Table 3: a 1x1 convolution chooses the region of each position.

    The choice is hard; its gradient is that of the softmax over the two guide channels.
    """
    valid = valid or x.shape[-2:]
    pictures = []
    for picture in x:
        kernels = region_kernels(picture, parameters, valid)
        guide = torch.einsum("rc,chw->rhw", parameters["guide.weight"][:, :, 0, 0], picture)
        guide = guide + parameters["guide.bias"][:, None, None]
        soft = torch.softmax(guide, 0)
        foreground = (guide[0] >= guide[1]).to(x.dtype)
        hard = torch.stack([foreground, 1 - foreground])
        choice = hard + soft - soft.detach()
        pictures.append(torch.einsum("rhw,roc,chw->ohw", choice, kernels, picture))
    return repeat_edge(torch.stack(pictures), valid)
