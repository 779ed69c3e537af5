"""Inputs that several nodes have alike."""

from typing import Any

from comfy_api.latest import io

from ..hdnet.harmonize.harmonizer import CONSISTENCY
from .compat import advanced


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
