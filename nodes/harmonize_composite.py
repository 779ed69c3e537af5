"""HDNetHarmonizeComposite: image and mask in, harmonized image out."""

import logging

import comfy.model_management
import comfy.utils
import torch
from comfy_api.latest import io

from ..hdnet import Harmonizer
from ..hdnet.harmonizer import CONSISTENCY
from ..hdnet.masks import feather_mask, fit_mask
from .compat import advanced, as_output, is_out_of_memory, supported
from .load_model import HDNetModel, load_patcher
from .model_folder import SHIPPED

logger = logging.getLogger(__name__)

RESOLUTIONS = ("256", "512", "1024", "native")
BYTES_PER_PIXEL = 1300  # of activations, float32, for each base channel 8; see benchmarks


class HDNetHarmonizeComposite(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HDNetHarmonizeComposite",
            display_name="Harmonize Composite",
            category="image/compositing",
            description="Changes the colours of a pasted or inpainted object so that it matches its background. "
            "Everything outside the mask stays exactly as it is.",
            inputs=[
                io.Image.Input("image", tooltip="The composite: the picture with the pasted or inpainted object in it."),
                io.Mask.Input(
                    "mask",
                    tooltip="White (1) is the foreground, the part to change. Load Image gives the transparent part "
                    "of a cut-out, which is its background: switch on invert_mask then.",
                ),
                HDNetModel.Input(
                    "model",
                    optional=True,
                    tooltip="From Load Harmonize Model. Nothing connected: the weights that come with the pack.",
                ),
                io.Image.Input(
                    "background",
                    optional=True,
                    tooltip="The original picture. The image is pasted onto it by the mask first, so everything "
                    "outside the mask is the original again: connect it after inpainting.",
                ),
                io.Mask.Input(
                    "reference_mask",
                    optional=True,
                    tooltip="White is the part of the background to match. Nothing connected: all of it.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="0 leaves the colours as they are, 1 changes them fully.",
                ),
                io.Combo.Input(
                    "resolution",
                    options=list(RESOLUTIONS),
                    default="256",
                    tooltip="The size at which colours are judged, about N×N pixels; the result always has full "
                    "detail. 256 is what the weights were trained for. native runs the network on every pixel.",
                ),
                io.Boolean.Input(
                    "invert_mask", default=False, tooltip="For masks that mark the background instead of the object."
                ),
                advanced(
                    io.Int.Input(
                        "feather",
                        default=0,
                        min=0,
                        max=256,
                        optional=True,
                        tooltip="Softens the mask's edge by this many pixels to either side.",
                    )
                ),
                advanced(
                    io.Combo.Input(
                        "batch_mode",
                        options=list(CONSISTENCY),
                        default="per_frame",
                        optional=True,
                        tooltip="per_frame: every image by itself. smooth: for video, the change varies slowly and "
                        "does not flicker. uniform: one change for all.",
                    )
                ),
            ],
            outputs=[
                io.Image.Output(display_name="image", tooltip="The harmonized image."),
                io.Mask.Output(display_name="mask", tooltip="The mask as it was used: inverted, resized, feathered."),
            ],
            **supported(
                search_aliases=[
                    "harmonize",
                    "match foreground",
                    "composite",
                    "color match",
                    "colour match",
                    "relight",
                    "inpaint blend",
                ]
            ),
        )

    @classmethod
    def execute(
        cls,
        image,
        mask,
        strength,
        resolution,
        invert_mask,
        model=None,
        background=None,
        reference_mask=None,
        feather=0,
        batch_mode="per_frame",
    ) -> io.NodeOutput:
        if resolution not in RESOLUTIONS:
            raise ValueError(f"The resolution must be one of {', '.join(RESOLUTIONS)}, not {resolution!r}.")
        mask = feather_mask(fit_mask(1 - mask.float() if invert_mask else mask, image.shape[1:3]), feather)
        patcher = model if model is not None else load_patcher(SHIPPED)
        harmonized = harmonize(
            patcher,
            image,
            mask,
            background=background,
            reference_mask=reference_mask,
            strength=strength,
            resolution=resolution,
            consistency=batch_mode,
        )
        return io.NodeOutput(as_output(harmonized.clamp_(0, 1)), as_output(mask))


def harmonize(patcher, image: torch.Tensor, mask: torch.Tensor, **options) -> torch.Tensor:
    """Runs the harmonizer under ComfyUI's memory management; falls back to smaller batches."""
    management = comfy.model_management
    height, width = image.shape[1:3]
    worked = height * width if options["resolution"] == "native" else min(height * width, int(options["resolution"]) ** 2)
    widths = patcher.model.config.base_channels / 8
    harmonizer = Harmonizer(patcher.model)
    while True:
        needed = int(BYTES_PER_PIXEL * widths * max(worked, min(harmonizer.batch_pixels, worked * len(image))))
        management.load_models_gpu([patcher], memory_required=needed, force_full_load=True)
        bar = comfy.utils.ProgressBar(max(len(image), len(mask)))

        def report(done, count):
            management.throw_exception_if_processing_interrupted()
            bar.update_absolute(done, count)

        try:
            return harmonizer(image, mask, progress=report, **options)
        except Exception as error:
            if not is_out_of_memory(error) or harmonizer.batch_pixels <= worked:
                raise
            management.soft_empty_cache()
            harmonizer.batch_pixels = max(worked, harmonizer.batch_pixels // 4)
            logger.warning(
                "Harmonize Composite: out of memory, trying again with %d image(s) at a time.",
                max(1, harmonizer.batch_pixels // worked),
            )
