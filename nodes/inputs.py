"""Inputs that several nodes have alike."""

from typing import Any

from comfy_api.latest import io

from ..hdnet.harmonize.harmonizer import CONSISTENCY, FOREGROUND
from .compat import advanced
from .load_model import HDNetModel

RESOLUTIONS = ("256", "512", "1024", "native")


def model_input(**options: Any) -> Any:
    """The network; the pack's own where none is connected."""
    return HDNetModel.Input(
        "model",
        optional=True,
        tooltip="From Load Harmonize Model. Nothing connected: the weights that come with the pack.",
        **options,
    )


def resolution_input() -> Any:
    """At what size colours are judged."""
    return io.Combo.Input(
        "resolution",
        options=list(RESOLUTIONS),
        default="256",
        tooltip="The size at which colours are judged, about N×N pixels; the result always has full detail. 256 is "
        "what the weights were trained for. native runs the network on every pixel.",
    )


def invert_mask_input() -> Any:
    """Whether the mask marks the background."""
    return io.Boolean.Input(
        "invert_mask", default=False, tooltip="For masks that mark the background instead of the object."
    )


def foreground_input(**options: Any) -> Any:
    """What the foreground is."""
    return io.Combo.Input(
        "foreground",
        options=list(FOREGROUND),
        default="auto",
        tooltip="auto: looks at the edge of the mask, and leaves alone what seems to fit. edited: the region was "
        "inpainted or recoloured in its place; its colours are fitted across the edge. pasted: an object from "
        "elsewhere; always changed.",
        **options,
    )


def strength_input() -> Any:
    """How much of a change is made."""
    return io.Float.Input(
        "strength",
        default=1.0,
        min=0.0,
        max=2.0,
        step=0.05,
        tooltip="0 leaves the colours as they are, 1 makes the change, 2 twice the change.",
    )


def feather_input(**options: Any) -> Any:
    """A softer edge of the mask."""
    return io.Int.Input(
        "feather",
        default=0,
        min=0,
        max=256,
        tooltip="Softens the mask's edge by this many pixels to either side.",
        **options,
    )


def batch_mode_input(**options: Any) -> Any:
    """How the images of a batch belong together."""
    return advanced(
        io.Combo.Input(
            "batch_mode",
            options=list(CONSISTENCY),
            default="auto",
            tooltip="auto: smooth where neighbouring images are alike, as in a film. per_frame: every image by itself. "
            "smooth: the change varies slowly and does not flicker. uniform: one change for all.",
            **options,
        )
    )


def part_inputs() -> list[Any]:
    """How much of a change's lightness and of its colour is made."""
    tooltips = {
        "lightness": "How much of the change of lightness is made; 0 keeps the lightness of every pixel (as the Oklab "
        "colour space has it).",
        "colour": "How much of the change of hue and chroma is made; with 0 only the lightness changes.",
    }
    return [
        advanced(io.Float.Input(name, default=1.0, min=0.0, max=1.0, step=0.05, optional=True, tooltip=tooltip))
        for name, tooltip in tooltips.items()
    ]
