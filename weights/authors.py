"""Checkpoints of the published code: their names and ours.

See the layer table of the paper's code: ``model_layerN`` are the encoder (0 to 6, 71) and the decoder
(72, 8 to 13), ``LD`` the local and ``model_layerNatt`` the global dynamics.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from ..files.atomic import save_whole
from .build import build_network
from .errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

    from ..hdnet import HDNet

MOST_BYTES = 2_000_000_000
DECODER = (72, 8, 9, 10, 11, 12, 13)
OURS_TO_PUBLISHED = {
    "encoder.0": "model_layer0",
    **{f"encoder.{n}": f"model_layer{n}.1" for n in range(1, 7)},
    "encoder.7": "model_layer71.1",
    "local_dynamics.linear": "LD.linear",
    **{f"decoder.{i}.conv": f"model_layer{n}.1" for i, n in enumerate(DECODER)},
    **{f"decoder.{i}.norm": f"model_layer{n}norm" for i, n in enumerate(DECODER)},
    **{f"global_dynamics.{i}.squeeze": f"model_layer{n}att.conv_kernel.1" for i, n in enumerate(DECODER[4:])},
    **{f"global_dynamics.{i}.expand": f"model_layer{n}att.conv_kernel.3" for i, n in enumerate(DECODER[4:])},
    **{f"global_dynamics.{i}.guide": f"model_layer{n}att.conv_guide" for i, n in enumerate(DECODER[4:])},
    "head": "model_out.1",
}
PUBLISHED_TO_OURS = {theirs: ours for ours, theirs in OURS_TO_PUBLISHED.items()}


def looks_published(tensors: dict[str, Tensor]) -> bool:
    """Whether these parameters carry the published code's names."""
    return any(name.removeprefix("module.") == "model_layer0.weight" for name in tensors)


def from_published(tensors: dict[str, Tensor], learned_mask: bool = False) -> dict[str, Tensor]:
    """Renames parameters of the published code to ours; what is not known keeps its name.

    Args:
        tensors: With or without the ``module.`` prefix of multi-GPU training.
        learned_mask: Keep the guide convolutions, which that code makes but does not use.
    """
    renamed = {}
    for name, tensor in tensors.items():
        name = name.removeprefix("module.")
        layer, _, kind = name.rpartition(".")
        ours = PUBLISHED_TO_OURS.get(layer)
        if ours is None:
            renamed[name] = tensor
            continue
        if ours.endswith(".guide") and not learned_mask:
            continue
        if ours == "local_dynamics.linear" and kind == "weight" and tensor.dim() == 3:
            tensor = tensor[..., 0]  # theirs is a convolution over positions
        renamed[f"{ours}.{kind}"] = tensor
    return renamed


def to_published(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Renames our parameters to those of the published code; WeightsError where it has no such parameters."""
    for context in ("scene", "semantic"):
        if any(name.startswith(f"{context}_context.") for name in tensors):
            raise WeightsError(
                f"The published code has no {context} context, so it cannot run these weights; export others."
            )
    renamed = {}
    for name, tensor in tensors.items():
        layer, _, kind = name.rpartition(".")
        if name == "local_dynamics.linear.weight":
            tensor = tensor[..., None]
        renamed[f"{OURS_TO_PUBLISHED[layer]}.{kind}"] = tensor
    return renamed


def read_published(
    path: str | Path, local_dynamics: str = "published", neighbours: int = 1, learned_mask: bool = False
) -> HDNet:
    """Reads a ``.pth`` checkpoint of the published code; nothing in it is executed.

    Args:
        path: A state dict, or a dictionary that holds one under ``state_dict``, ``netG``, ``model`` or ``params``.
        local_dynamics: ``"published"``, or ``"paper"`` where that code was changed to follow the paper.
        neighbours: K.
        learned_mask: The checkpoint is of the variant HDNet*, with a learned guide.

    Raises:
        WeightsError: It cannot be read, or holds no HDNet.
    """
    import torch

    if not Path(path).is_file():
        raise WeightsError(f"{path}: there is no such file.")
    _check_unpacked_size(Path(path))
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except PermissionError:
        raise
    except Exception as error:  # damaged pickles make the unpickler raise anything
        raise WeightsError(
            f"{path}: this cannot be read as a checkpoint of tensors alone: it is damaged, or holds other objects."
        ) from error
    for key in ("state_dict", "netG", "model", "params"):
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    pairs = found.items() if isinstance(found, dict) else ()
    tensors = {key: value for key, value in pairs if isinstance(key, str) and isinstance(value, torch.Tensor)}
    if not looks_published(tensors):
        raise WeightsError(f"{path}: this checkpoint holds no network of the published HDNet code.")
    facts = {"local_dynamics": local_dynamics, "neighbours": str(neighbours)}
    return build_network(from_published(tensors, learned_mask), facts, str(path))


def _check_unpacked_size(path: Path) -> None:
    """Raises WeightsError where a compressed checkpoint declares more than any network of this kind holds."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    if size > MOST_BYTES:
        raise WeightsError(
            f"{path}: unpacked, this checkpoint would take {size / 1e9:.1f} GB; at most {MOST_BYTES / 1e9:.0f} GB are "
            "read, and an HDNet takes 0.05."
        )


def write_published(network: HDNet, path: str | Path) -> None:
    """Writes a ``.pth`` state dict under the published names, whole or not at all."""
    save_whole(to_published({name: value.contiguous() for name, value in network.state_dict().items()}), path)
