"""The weights that are known by name."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from .errors import WeightsError

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Entry:
    """Named weights; what they were trained on and what they reach stands in the file's own metadata.

    Attributes:
        name: What a user types.
        file: The file in this folder.
        size: Of the file, bytes.
        sha256: Of the file.
        architecture: Preset of :class:`~..hdnet.HDNetConfig`.
        licence: SPDX name.
        paper: What the network comes from.
        resolution: The working resolution they were trained for, pixels.
    """

    name: str
    file: str
    size: int
    sha256: str
    architecture: str
    licence: str
    paper: str
    resolution: int

    @property
    def path(self) -> Path:
        """Where the file lies."""
        return FOLDER / self.file


DEFAULT = "hdnet-lite-semantic"
PAPER = "Chen et al., Hierarchical Dynamic Image Harmonization, ACM MM 2023"
CATALOGUE = {
    entry.name: entry
    for entry in (
        Entry(
            name="hdnet-lite",
            file="hdnet_lite.safetensors",
            size=2618388,
            sha256="296df7e34090f595fd2c8ff0b38cf8b63bbf093f5d5b5035f717ce76b5a8fee7",
            architecture="hdnet-lite",
            licence="MIT",
            paper=PAPER,
            resolution=256,
        ),
        Entry(
            name="hdnet-lite-semantic",
            file="hdnet_lite_semantic.safetensors",
            size=19952844,
            sha256="6404018adc40659f771867d4d9e6c7ad2c2162207e6815dc7cf6f7838580ccc4",
            architecture="hdnet-lite",
            licence="MIT AND Apache-2.0",
            paper=PAPER,
            resolution=256,
        ),
    )
}


def find(name: str) -> Entry:
    """The entry of that name.

    Raises:
        WeightsError: There is none; the message lists the known names and the nearest.
    """
    if name in CATALOGUE:
        return CATALOGUE[name]
    near = difflib.get_close_matches(name, CATALOGUE, 1)
    raise WeightsError(
        f"Unknown weights {name!r}{f' (did you mean {near[0]!r}?)' if near else ''}; known: "
        f"{', '.join(CATALOGUE)}, or give a .safetensors file or hub:owner/repo[/file][@revision]."
    )
