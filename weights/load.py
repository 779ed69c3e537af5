"""One door to all weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..files.atomic import sha256_of
from .catalogue import CATALOGUE, DEFAULT, find
from .errors import WeightsError

if TYPE_CHECKING:
    from ..hdnet import HDNet


def load_network(
    source: str | Path = DEFAULT,
    *,
    device: str = "cpu",
    folder: str | Path | None = None,
    precision: str = "float32",
) -> HDNet:
    """Loads a network for inference.

    Args:
        source: A name of the catalogue, a ``.safetensors`` file, or ``hub:owner/repo[/file][@revision]``.
        device: Where to put it.
        folder: Where files from the Hub are kept; its usual cache by default.
        precision: ``"float32"``, ``"float16"``, ``"bfloat16"``, or ``"auto"`` for the fastest that the device
            computes in natively; see :func:`~..hdnet.precision.choose_dtype`.

    Returns:
        The network in eval mode, without gradients.

    Raises:
        WeightsError: Unknown, damaged, foreign or not to be had.
        ValueError: If the device cannot be used here.
    """
    from ..hdnet.network.device import choose_device
    from ..hdnet.network.precision import choose_dtype
    from .files import read_network

    device = choose_device(device)
    return read_network(locate(source, folder)).to(device, choose_dtype(precision, device))


def locate(source: str | Path, folder: str | Path | None = None) -> Path:
    """The file behind a source, downloaded if it is on the Hub and not here yet; see :func:`load_network`."""
    text = str(source)
    if text.startswith(("hub:", "https://", "http://")):
        from .hub import fetch

        return fetch(text, folder)
    if text in CATALOGUE or not (isinstance(source, Path) or "/" in text or "\\" in text or "." in text):
        entry = find(text)
        if not entry.path.is_file():
            facts = f"{entry.size:,} bytes, sha256 {entry.sha256}"
            raise WeightsError(
                f"{entry.path}: the weights {text!r} ({facts}) are missing from this installation; reinstall it."
            )
        if sha256_of(entry.path) != entry.sha256:
            raise WeightsError(f"{entry.path}: this file is not the {text!r} that was shipped; reinstall the package.")
        return entry.path
    path = Path(source)
    if not path.is_file():
        raise WeightsError(f"{path}: there is no such file.")
    if path.suffix.lower() in (".pth", ".pt", ".ckpt", ".bin"):
        raise WeightsError(f"{path}: pickled checkpoints are not loaded; use 'harmonize weights convert' first.")
    return path
