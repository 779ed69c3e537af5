"""Two networks in one file: the second gives a second opinion (:mod:`..hdnet.harmonize.second_look`)."""

from __future__ import annotations

from pathlib import Path

from .errors import WeightsError
from .files import read_metadata, read_network, save_network

# what a file says of itself that metadata must say, and so for both
SHARED = ("local_dynamics", "neighbours")


def combine(first: str | Path, second: str | Path, output: str | Path, scale: float) -> None:
    """Writes weights whose second look is taken by other weights.

    What the first file says of itself is kept, but for its rule of when to act: that of two networks is another one.

    Args:
        first: A safetensors file; judges composites as they are.
        second: Another; judges their mirror images. Alone it judges films.
        output: The file to write, whole or not at all, in 16 bits.
        scale: How much larger the mirror images are, 1 to 2.

    Raises:
        WeightsError: A file cannot be read, has a second opinion already, or their local dynamics differ.
    """
    network, other = read_network(first), read_network(second)
    for path, each in ((first, network), (second, other)):
        if each.second_opinion is not None:
            raise WeightsError(f"{path}: these weights have a second opinion already; name the ones it was made of.")
    for name in SHARED:
        if getattr(network.config, name) != getattr(other.config, name):
            raise WeightsError(f"{second}: its {name} differ from those of {first}; a file has one kind for both.")
    network.acting = None
    network.second_look, network.second_opinion = scale, other
    metadata = {key: value for key, value in read_metadata(first).items() if key != "acting"}
    save_network(network, output, metadata, "float16")
