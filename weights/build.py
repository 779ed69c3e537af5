"""From tensors and metadata to a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

    from ..hdnet import HDNet, HDNetConfig

MOST_PARAMETERS = 500_000_000  # 2 GB; HDNet has 10 million
OPINION = "second_opinion."  # before the names of its tensors


def build_network(tensors: dict[str, Tensor], metadata: dict[str, str], name: str) -> HDNet:
    """Builds a network, and its second opinion, from tensors; strict. ``name`` says in errors whose they are."""
    total = sum(tensor.numel() for tensor in tensors.values())
    if total > MOST_PARAMETERS:  # a few bytes can declare them
        raise WeightsError(f"{name}: {total:,} parameters are more than the {MOST_PARAMETERS:,} that are read.")
    own = {key: tensor for key, tensor in tensors.items() if not key.startswith(OPINION)}
    network = _build(own, metadata, name)
    if len(own) < len(tensors):
        other = {key.removeprefix(OPINION): tensor for key, tensor in tensors.items() if key.startswith(OPINION)}
        network.second_opinion = _build(other, metadata, f"{name} (its second opinion)")
    return network


def _build(tensors: dict[str, Tensor], metadata: dict[str, str], name: str) -> HDNet:
    import numpy as np

    from .unfilled import unfilled_network

    network = unfilled_network(_config(tensors, metadata, name))
    expected = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    missing, surplus = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    if missing or surplus:
        raise WeightsError(
            f"{name}: these are not the weights of an HDNet: "
            + "; ".join(
                f"{what}: {', '.join(keys[:3])}{f' and {len(keys) - 3} more' if len(keys) > 3 else ''}"
                for what, keys in (("missing", missing), ("left over", surplus))
                if keys
            )
            + "."
        )
    values = {}
    for key, shape in expected.items():
        tensor = tensors[key]
        if tuple(tensor.shape) != shape:
            raise WeightsError(
                f"{name}: the tensor {key} has the shape {list(tensor.shape)} but should have {list(shape)}."
            )
        values[key] = tensor.detach().float().contiguous()
        if not tensor.is_floating_point() or not np.isfinite(values[key].numpy()).all():
            raise WeightsError(f"{name}: the tensor {key} does not hold finite floating-point values; get a new copy.")
    network.load_state_dict(values, assign=True)
    return network.eval().requires_grad_(False)


def _config(tensors: dict[str, Tensor], metadata: dict[str, str], name: str) -> HDNetConfig:
    from ..hdnet import HDNetConfig
    from ..hdnet.network.semantic_context import SIZES, STAGES

    first = tensors.get("encoder.0.weight")
    if first is None or first.dim() != 4:
        raise WeightsError(
            f"{name}: there is no HDNet in this file; if it is a checkpoint of the published code, "
            "convert it with 'harmonize weights convert'."
        )
    local = "local_dynamics.linear.weight" in tensors
    learned = "global_dynamics.0.guide.weight" in tensors
    masked = "global_dynamics.0.squeeze.weight" in tensors
    last_stage = tensors.get(f"semantic_context.encoder.stages.{len(STAGES) - 1}.0.project.weight", ())
    encoder = next((name for name, size in SIZES.items() if size.channels[-1] == len(last_stage)), next(iter(SIZES)))
    neighbours = metadata.get("neighbours", "1")
    if not neighbours.isdecimal():
        raise WeightsError(f"{name}: its metadata gives the number of neighbours as {neighbours!r}.")
    try:
        return HDNetConfig(
            base_channels=first.shape[0],
            in_channels=first.shape[1],
            local_dynamics=metadata.get("local_dynamics", "paper") if local else None,
            neighbours=int(neighbours),
            global_dynamics="learned" if learned else "mask" if masked else None,
            scene_context=len(tensors.get("scene_context.layers.0.weight", ())),
            semantic_context=len(tensors.get("semantic_context.layers.0.weight", ())),
            semantic_encoder=encoder,
            semantic_heads=len(tensors.get("semantic_context.attention.0.scores.weight", ())),
        )
    except ValueError as error:
        raise WeightsError(f"{name}: {error}") from error
