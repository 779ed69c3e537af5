"""HDNetHarmonizeComposite: image and mask in, harmonized image out."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.utils
import torch
from comfy_api.latest import io

from ..hdnet import Harmonizer
from ..hdnet.harmonize.decision import KINDS, Decision
from ..hdnet.harmonize.harmonizer import CONSISTENCY
from ..hdnet.harmonize.inputs import check_mask, uncut_mask
from ..hdnet.harmonize.masks import fit_mask, shape_mask
from ..hdnet.harmonize.objects import OBJECTS, check_objects, how_taken, together
from ..hdnet.harmonize.options import check_choice
from ..hdnet.harmonize.scene_linear import ENCODINGS
from ..weights.catalogue import DEFAULT
from .compat import advanced, as_output, check_connected, is_out_of_memory, show_text, supported
from .inputs import (
    RESOLUTIONS,
    batch_mode_input,
    feather_input,
    foreground_input,
    invert_mask_input,
    model_input,
    part_inputs,
    resolution_input,
    strength_input,
)
from .load_model import judged_pixels, load_onto_device, load_patcher
from .remembering import RememberingHarmonizer

logger = logging.getLogger(__name__)

LAZY = ("model", "reference_mask")


class HDNetHarmonizeComposite(io.ComfyNode):
    """Harmonizes the foreground of images."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """What ComfyUI shows of the node."""
        return io.Schema(
            node_id="HDNetHarmonizeComposite",
            display_name="Harmonize Composite",
            category="image/compositing",
            description="Changes the colours of a pasted or inpainted object so that it matches its background. "
            "Everything outside the mask stays exactly as it is.",
            inputs=[
                io.Image.Input(
                    "image", tooltip="The composite: the picture with the pasted or inpainted object in it."
                ),
                io.Mask.Input(
                    "mask",
                    tooltip="White (1) is the foreground, the part to change. Load Image gives the transparent part "
                    "of a cut-out, which is its background; paint a mask in the MaskEditor, or connect the one of "
                    "inpainting.",
                ),
                model_input(lazy=True),
                io.Image.Input(
                    "background",
                    optional=True,
                    tooltip="The original picture, after inpainting. The image is pasted onto it by the mask, so "
                    "everything outside is the original again. The shift of tones that the VAE made is taken back in "
                    "full, whatever the strength, and nothing else is changed unless foreground says pasted.",
                ),
                io.Mask.Input(
                    "reference_mask",
                    optional=True,
                    lazy=True,
                    tooltip="White is the part of the background to match. Nothing connected: all of it.",
                ),
                strength_input(),
                resolution_input(),
                invert_mask_input(),
                feather_input(optional=True),
                batch_mode_input(optional=True),
                foreground_input(optional=True),
                *part_inputs(),
                advanced(
                    io.Int.Input(
                        "grow",
                        default=0,
                        min=-256,
                        max=256,
                        optional=True,
                        tooltip="Grows the mask by this many pixels of the image before it is softened; below 0 "
                        "shrinks it, as where a cut-out has a rim of its old background.",
                    )
                ),
                advanced(
                    io.Int.Input(
                        "blend_grow",
                        default=0,
                        min=-256,
                        max=256,
                        optional=True,
                        tooltip="The same for blending only, after the object was judged.",
                    )
                ),
                advanced(
                    io.Int.Input(
                        "blend_feather",
                        default=0,
                        min=0,
                        max=256,
                        optional=True,
                        tooltip="Softens the mask for blending only, after the object was judged.",
                    )
                ),
                advanced(
                    io.Combo.Input(
                        "objects",
                        options=list(OBJECTS),
                        default="images",
                        optional=True,
                        tooltip="Several masks with one image. images: one result for each mask. each: one result, "
                        "every object matched by itself, the others part of its background. together: one "
                        "result, all matched as one.",
                    )
                ),
                advanced(
                    io.Combo.Input(
                        "encoding",
                        options=list(ENCODINGS),
                        default="auto",
                        optional=True,
                        tooltip="auto: linear where the image or its background is brighter than 1.5. linear: "
                        "scene-linear values without a limit, as EXR loaders give them; a display rendering is judged, "
                        "and highlights above 1 stay. display: sRGB in 0..1.",
                    )
                ),
                advanced(
                    io.Float.Input(
                        "exposure",
                        optional=True,
                        force_input=True,
                        tooltip="Of linear images, in stops: at this exposure, as on a viewer, they are judged; "
                        "0 takes 1 as white. Nothing connected: found from the background. Connect a Float where "
                        "frames come one by one.",
                    )
                ),
                advanced(
                    io.Boolean.Input(
                        "defringe",
                        default=False,
                        optional=True,
                        tooltip="Takes the colour of an old background out of the rim of a cut-out, before anything "
                        "else. The mask must be the one that it was cut out with.",
                    )
                ),
            ],
            outputs=[
                io.Image.Output(display_name="image", tooltip="The harmonized image."),
                io.Mask.Output(display_name="mask", tooltip="The mask as it was used: inverted, resized, feathered."),
            ],
            hidden=[io.Hidden.unique_id],
            **supported(
                search_aliases=[
                    "harmonize",
                    "match foreground",
                    "composite",
                    "paste object",
                    "color match",
                    "colour match",
                    "color correction",
                    "inpaint",
                    "inpaint blend",
                    "seam",
                    "颜色匹配",
                    "调色",
                    "融合",
                    "接缝",
                ]
            ),
        )

    @classmethod
    def check_lazy_status(cls, strength: float, **inputs: object) -> list[str]:
        """What only serves the network is not computed where its result would not show."""
        return [name for name in LAZY if name in inputs and inputs[name] is None] if strength > 0 else []

    @classmethod
    def execute(
        cls,
        image: torch.Tensor,
        mask: torch.Tensor,
        strength: float,
        resolution: str,
        invert_mask: bool,
        model: comfy.model_patcher.ModelPatcher | None = None,
        background: torch.Tensor | None = None,
        reference_mask: torch.Tensor | None = None,
        feather: int = 0,
        batch_mode: str = "per_frame",
        foreground: str = "auto",
        lightness: float = 1.0,
        colour: float = 1.0,
        grow: int = 0,
        blend_grow: int = 0,
        blend_feather: int = 0,
        objects: str = "images",
        encoding: str = "auto",
        exposure: float | None = None,
        defringe: bool = False,
    ) -> io.NodeOutput:
        """Returns the harmonized images and the masks as they were used."""
        check_connected(image=image, mask=mask)
        check_choice("resolution", resolution, RESOLUTIONS)
        check_choice("batch_mode", batch_mode, CONSISTENCY)
        mask = check_mask(mask)
        mask = 1 - mask.float() if invert_mask else mask
        check_objects(objects, len(image))
        taken = how_taken(objects, len(mask)) if len(image) == 1 else ""
        mask = together(mask) if objects == "together" else mask
        given, size = mask, image.shape[1:3]
        if background is not None:
            check_connected(background=background)
            mask, size = uncut_mask(mask, size, background.shape[1:3]), background.shape[1:3]
        mask = shape_mask(fit_mask(mask, size), grow, feather)
        if background is not None:  # its own border stays
            mask = uncut_mask(mask, image.shape[1:3], size)
        decisions: dict[int, Decision] = {}
        harmonized = harmonize(
            model if model is not None else load_patcher(DEFAULT),
            image,
            given if defringe else mask,  # the rim is that of the mask as it was cut out with
            background,
            node=cls.hidden.unique_id,
            reference_mask=reference_mask,
            strength=strength,
            resolution=resolution,
            consistency=batch_mode,
            foreground=foreground,
            lightness=lightness,
            colour=colour,
            blend_grow=blend_grow,
            blend_feather=blend_feather,
            objects=objects,
            encoding=encoding,
            exposure=exposure,
            defringe=defringe,
            grow=grow if defringe else 0,
            feather=feather if defringe else 0,
            decided=decisions.__setitem__,
        )
        said = summary([decisions[index] for index in sorted(decisions)])
        show_text(cls, f"{taken.capitalize()}.\n{said}" if taken else said)
        mask = shape_mask(mask, blend_grow, blend_feather)
        return io.NodeOutput(as_output(harmonized), as_output(together(mask) if objects == "each" else mask))


def summary(decisions: list[Decision]) -> str:
    """What was decided about the images of a batch, for the node: each sentence once, with how many it is true of."""
    kinds = Counter(decision.kind for decision in decisions)
    sentences = {kind: f"{KINDS[kind].capitalize()}." for kind in kinds}
    return "\n".join(f"{kinds[kind]} × {text}" if len(kinds) > 1 else text for kind, text in sentences.items())


def harmonize(
    patcher: comfy.model_patcher.ModelPatcher,
    image: torch.Tensor,
    mask: torch.Tensor,
    background: torch.Tensor | None,
    node: str | None,
    **options: Any,
) -> torch.Tensor:
    """Runs the harmonizer under ComfyUI's memory management; falls back to smaller batches.

    Args:
        patcher: ComfyUI's patcher of an :class:`~..hdnet.HDNet`.
        image: ``[B, H, W, 3 or 4]``.
        mask: ``[B, H, W]``.
        background: ``[B, H, W, 3 or 4]`` or None.
        node: The node's id.
        **options: Of :meth:`~..hdnet.Harmonizer.__call__`.

    Returns:
        float32 ``[B, H, W, 3 or 4]`` on the image's device.
    """
    count = len(image) if len(image) > 1 else max(len(each) for each in (mask, background) if each is not None)
    pixels = judged_pixels(image.shape[1], image.shape[2], options["resolution"])
    batch = max(1, Harmonizer(patcher.model).batch_pixels // pixels)
    if patcher.load_device.type == "cpu":
        batch = 1  # no faster with more, and sooner interrupted
    while True:
        load_onto_device(patcher, pixels * min(batch, count))
        try:
            with reporting(patcher.model, count) as report:
                harmonizer = RememberingHarmonizer(patcher.model, batch * pixels, image, node)
                return harmonizer(image, mask, background=background, progress=report, **options)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if batch == 1:
                raise torch.OutOfMemoryError(
                    f"The memory does not suffice for one image of {image.shape[2]}×{image.shape[1]} pixels at "
                    f"resolution {options['resolution']}; choose a lower resolution or a smaller image."
                ) from error
        comfy.model_management.soft_empty_cache()
        batch = max(1, min(batch, count) // 2)
        logger.warning("Harmonize Composite: out of memory, trying again with %d image(s) at a time.", batch)


@contextmanager
def reporting(network: torch.nn.Module, count: int) -> Iterator[Callable[[int, int], None]]:
    """Shows progress and heeds interruption, both when the network sees images and when they are done."""
    bar = comfy.utils.ProgressBar(2 * count)
    seen = done = 0

    def before_network(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        nonlocal seen
        comfy.model_management.throw_exception_if_processing_interrupted()
        seen = min(count, seen + len(inputs[0]))
        bar.update_absolute(seen + done)

    def after_image(number: int, _: int) -> None:
        nonlocal done
        comfy.model_management.throw_exception_if_processing_interrupted()
        done = number
        # images that need no network are done without having been seen
        bar.update_absolute(2 * count if done == count else max(seen, done) + done)

    hook = network.register_forward_pre_hook(before_network)
    try:
        yield after_image
    finally:
        hook.remove()
