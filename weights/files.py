"""Networks in safetensors files that explain themselves.

Width, input channels and variant are read off the tensors. The metadata adds what no tensor shows:

=================  ==========================================================================
key                meaning
=================  ==========================================================================
local_dynamics     ``paper`` or ``published`` (see :class:`~..hdnet.HDNetConfig`)
neighbours         K, ``1`` to ``9``
acting             when to trust the network, ``low high strength`` (:class:`~..hdnet.acting.ActingRule`)
second_look        how much larger the mirrored picture is that is judged too (:mod:`~..hdnet.harmonize.second_look`)
title              a line for people
licence            SPDX name of the licence of the weights
training_data      what they were trained on, with sources and terms
training           how: pictures seen, sizes, time, machine
figures            what they reach, on what, beside the untouched composite
limits             what they are known to do badly
source             paper, or where a converted checkpoint came from
=================  ==========================================================================
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

from ..files.atomic import write_whole
from .authors import from_published, looks_published
from .build import build_network
from .errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

    from ..hdnet import HDNet

LARGEST_LOOK = 2
CARD_KEYS = ("title", "licence", "training_data", "training", "figures", "limits", "source")


def save_network(
    network: HDNet, path: str | Path, metadata: dict[str, str] | None = None, dtype: str = "float32"
) -> None:
    """Writes a network to a safetensors file, whole or not at all.

    Args:
        network: Its parameters and configuration are stored, and those of its second opinion.
        path: The file; missing folders are made.
        metadata: More to say about it, strings only; see the table above.
        dtype: ``"float32"``, or ``"float16"`` for half the size.
    """
    import torch
    from safetensors.torch import save

    config = network.config
    facts = {"format": "harmonize-composite", "neighbours": str(config.neighbours)}
    if network.acting is not None:
        facts["acting"] = str(network.acting)
    if network.second_look is not None:
        facts["second_look"] = f"{network.second_look:g}"
    if config.local_dynamics:
        facts["local_dynamics"] = config.local_dynamics
    kind = getattr(torch, dtype)
    tensors = {name: tensor.detach().cpu().to(kind).contiguous() for name, tensor in network.state_dict().items()}
    data = _with_metadata(save(tensors), {**(metadata or {}), **facts})
    write_whole(path, lambda file: file.write(data))


def save_metadata(path: str | Path, metadata: dict[str, str]) -> None:
    """Writes other metadata into a safetensors file, whole or not at all; every byte of the tensors stays.

    Args:
        path: The file.
        metadata: All of them, strings only; what is left out is gone.

    Raises:
        WeightsError: The file is missing or is no safetensors file.
    """
    read_metadata(path)  # whether it is one
    data = _with_metadata(Path(path).read_bytes(), metadata)
    write_whole(path, lambda file: file.write(data))


def _with_metadata(data: bytes, metadata: dict[str, str]) -> bytes:
    """A safetensors file with these metadata, sorted, so that the same weights make the same file."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header = {"__metadata__": None} | header | {"__metadata__": dict(sorted(metadata.items()))}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def read_metadata(path: str | Path) -> dict[str, str]:
    """The metadata of a safetensors file.

    Raises:
        WeightsError: The file is missing or is no safetensors file.
    """
    return _read(path, tensors=False)[1]


def read_network(path: str | Path) -> HDNet:
    """Builds the network that a safetensors file holds, float32 on the CPU, for inference.

    Files with the published code's parameter names are taken too; see :mod:`.authors`.

    Raises:
        WeightsError: The file is missing, damaged or foreign; tensors are missing, left over, of a wrong shape
            or not finite.
    """
    tensors, metadata = _read(path)
    from ..hdnet.network.acting import ActingRule

    if looks_published(tensors):
        tensors = from_published(tensors)
        metadata = {"local_dynamics": "published", **metadata}
    network = build_network(tensors, metadata, str(path))
    if text := metadata.get("acting"):
        try:
            network.acting = ActingRule.from_text(text)
        except ValueError as error:
            raise WeightsError(f"{path}: its metadata holds a rule that cannot be used. {error}") from error
    if text := metadata.get("second_look"):
        try:
            network.second_look = second_look_scale(text)
        except ValueError as error:
            raise WeightsError(f"{path}: its metadata holds a second look that cannot be taken. {error}") from error
    return network


def second_look_scale(text: str) -> float:
    """Reads how much larger a second look is; ValueError where that is no number in 1..2."""
    try:
        scale = float(text)
    except ValueError:
        scale = math.nan
    if not 1 <= scale <= LARGEST_LOOK:
        raise ValueError(f"A second look is taken at a scale in 1..{LARGEST_LOOK}, not {text!r}.")
    return scale


def _read(path: str | Path, tensors: bool = True) -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path}: there is no such file.")
    try:
        with safe_open(path, framework="pt" if tensors else "np") as file:  # metadata alone need no torch
            found = {key: file.get_tensor(key) for key in file.keys()} if tensors else {}
            return found, {key: _plain(value) for key, value in (file.metadata() or {}).items()}
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: {_what_it_is(path)}") from error


def _plain(text: str) -> str:
    """Text without control characters, which a terminal would obey."""
    return "".join(character for character in text if character.isprintable() or character in "\n\t")


def _what_it_is(path: Path) -> str:
    with open(path, "rb") as file:
        start = file.read(16)
    if start.startswith(b"PK") or start.startswith(b"\x80"):
        return "this is a pickled checkpoint, not safetensors; convert it with 'harmonize weights convert'."
    if start[8:9] == b"{":
        return "this safetensors file is damaged or cut short; download it again."
    return "this is not a safetensors file."
