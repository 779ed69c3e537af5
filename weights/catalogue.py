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


PAPER = "Chen et al., Hierarchical Dynamic Image Harmonization, ACM MM 2023"
CATALOGUE = {
    entry.name: entry
    for entry in (
        Entry(
            name="hdnet-lite",
            file="hdnet_lite.safetensors",
            size=2618348,
            sha256="abcc8cf31cfc9151257004b5ce8aa5cfe811960cc620ea706cc102196990d80f",
            architecture="hdnet-lite",
            licence="MIT",
            paper=PAPER,
            resolution=256,
        ),
        Entry(
            name="hdnet-lite-scene",
            file="hdnet_lite_scene.safetensors",
            size=2997908,
            sha256="6c5e4062828a85831ed06e742a73a8ae6d01b7c4382f8d4c81f953ffa1e6e214",
            architecture="hdnet-lite",
            licence="MIT",
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
