"""Harmonize Composite: makes a pasted or inpainted foreground match its background.

ComfyUI loads this file, so it imports nothing until it is asked for the nodes or for a public name.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from comfy_api.latest import ComfyExtension

    from .hdnet import Harmonizer, HDNet, HDNetConfig, LightTransfer
    from .weights import load_network

    __version__: str

WEB_DIRECTORY = "./web"

_ROOMS = {
    "Harmonizer": ".hdnet",
    "HDNet": ".hdnet",
    "HDNetConfig": ".hdnet",
    "LightTransfer": ".hdnet",
    "load_network": ".weights",
}

__all__ = [
    "WEB_DIRECTORY",
    "HDNet",
    "HDNetConfig",
    "Harmonizer",
    "LightTransfer",
    "__version__",
    "comfy_entrypoint",
    "load_network",
]


def __getattr__(name: str) -> object:
    if name == "__version__":
        return _version()
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_ROOMS[name], __name__), name)


def _version() -> str:
    """The version, which stands in pyproject.toml alone: beside this file in a checkout, else as installed."""
    import re
    from pathlib import Path

    project = Path(__file__).with_name("pyproject.toml")
    if project.is_file():
        found = re.search(r'^version = "(.+)"$', project.read_text(encoding="utf-8"), re.MULTILINE)
        if found:
            return found.group(1)
    from importlib.metadata import version

    return version("harmonize-composite")


async def comfy_entrypoint() -> "ComfyExtension":
    """Returns the pack's nodes to ComfyUI."""
    try:
        from .nodes import HarmonizeCompositeExtension
    except Exception:
        import logging

        # ComfyUI itself logs one line only
        logging.getLogger(__name__).exception("Harmonize Composite could not be loaded")
        raise
    return HarmonizeCompositeExtension()
