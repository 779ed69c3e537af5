"""HDNetTransferLight: the light of a guide on one's own pixels."""

import comfy.model_management
import comfy.utils
import torch
from comfy_api.latest import io

from ..hdnet import LightTransfer
from ..hdnet.harmonize.guide.comparison import Comparison
from ..hdnet.harmonize.options import check_choice
from .compat import advanced, as_output, check_connected, supported
from .inputs import batch_mode_input, feather_input, part_inputs, strength_input

RESOLUTIONS = ("auto", "64", "128", "256", "512")


class HDNetTransferLight(io.ComfyNode):
    """The light of a guide on the image's own pixels."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """What ComfyUI shows of the node."""
        return io.Schema(
            node_id="HDNetTransferLight",
            display_name="Transfer Light",
            category="image/compositing",
            description="Gives an image the light and colours of a guide: another picture of the same scene, as a "
            "relighting model or an editor made it. Edges, texture and faces stay those of the image.",
            inputs=[
                io.Image.Input("image", tooltip="The original: its pixels are kept, at its full size."),
                io.Image.Input(
                    "guide",
                    tooltip="The same scene in the light that is wanted, such as what IC-Light, Kontext or Qwen made "
                    "of the image. Any size; it may be moved or zoomed by some percent, soft or noisy.",
                ),
                io.Mask.Input(
                    "mask", optional=True, tooltip="White (1) is the part to change. Nothing connected: all of it."
                ),
                io.Mask.Input(
                    "added_mask",
                    optional=True,
                    tooltip="White is where what the guide added counts as well, such as a cast shadow on the floor.",
                ),
                strength_input(),
                feather_input(),
                io.Boolean.Input("invert_mask", default=False, tooltip="For masks that mark what shall stay."),
                advanced(
                    io.Combo.Input(
                        "resolution",
                        options=list(RESOLUTIONS),
                        default="auto",
                        tooltip="The size at which the change is known, about N×N pixels; the result always has full "
                        "detail. auto: the lowest that follows the guide. More follows finer shadows, and more of the "
                        "guide's own faults.",
                    )
                ),
                batch_mode_input(),
                advanced(
                    io.Boolean.Input(
                        "align",
                        default=True,
                        tooltip="Finds out how the guide lies over the image. Off: its frame is exactly the image's.",
                    )
                ),
                *part_inputs(),
            ],
            outputs=[
                io.Image.Output(display_name="image", tooltip="The image in the guide's light."),
                io.Mask.Output(
                    display_name="changed",
                    tooltip="White is what the guide changed beside the light: moved limbs, new objects, another face.",
                ),
            ],
            **supported(
                search_aliases=[
                    "detail transfer",
                    "restore detail",
                    "keep details",
                    "relight",
                    "IC-Light",
                    "colour shift",
                    "color shift",
                    "Kontext",
                    "Qwen",
                    "frequency separation",
                    "match light",
                    "打光",
                    "保留细节",
                ]
            ),
        )

    @classmethod
    def execute(
        cls,
        image: torch.Tensor,
        guide: torch.Tensor,
        strength: float,
        feather: int,
        invert_mask: bool,
        resolution: str = "auto",
        batch_mode: str = "auto",
        align: bool = True,
        lightness: float = 1.0,
        colour: float = 1.0,
        mask: torch.Tensor | None = None,
        added_mask: torch.Tensor | None = None,
    ) -> io.NodeOutput:
        """Runs the node."""
        check_connected(image=image, guide=guide)
        check_choice("resolution", resolution, RESOLUTIONS)
        if mask is not None and invert_mask:
            mask = 1 - mask.float()
        management = comfy.model_management
        device = management.get_torch_device()
        size = image.shape[1], image.shape[2]
        seen: dict[int, torch.Tensor] = {}

        def compared(index: int, comparison: Comparison) -> None:
            management.throw_exception_if_processing_interrupted()
            seen[index] = comparison.difference(size).to(image.device)

        bar: list = []

        def progress(done: int, count: int) -> None:
            if not bar:
                bar.append(comfy.utils.ProgressBar(count))
            bar[0].update_absolute(done)

        result = LightTransfer(resolution, align)(
            image.to(device),
            guide.to(device),
            None if mask is None else mask.to(device),
            added=None if added_mask is None else added_mask.to(device),
            strength=strength,
            feather=feather,
            consistency=batch_mode,
            progress=progress,
            compared=compared,
            lightness=lightness,
            colour=colour,
        )
        nothing = torch.zeros(size, device=image.device)
        changed = torch.stack([seen.get(index, nothing) for index in range(len(result))])
        return io.NodeOutput(as_output(result), as_output(changed))
