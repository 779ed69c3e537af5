"""HDNetCompare: before and after in one image."""

import comfy.utils
import torch
from comfy_api.latest import io

from ..hdnet.harmonize.options import check_choice
from .compat import as_output, check_connected, supported

LAYOUTS = ("side by side", "wipe")


class HDNetCompare(io.ComfyNode):
    """Shows two images beside each other."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """What ComfyUI shows of the node."""
        return io.Schema(
            node_id="HDNetCompare",
            display_name="Compare Before and After",
            category="image/compositing",
            description="Puts two images beside each other, or shows one left and the other right of a line.",
            inputs=[
                io.Image.Input("before", tooltip="The image as it was."),
                io.Image.Input("after", tooltip="The image as it is now; resized to the first where it differs."),
                io.Combo.Input("layout", options=list(LAYOUTS), default="side by side", tooltip="How to show both."),
                io.Float.Input(
                    "position",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Where the line of the wipe stands, from the left.",
                ),
            ],
            outputs=[io.Image.Output(display_name="image", tooltip="Both in one.")],
            **supported(search_aliases=["compare", "before after", "side by side", "wipe"]),
        )

    @classmethod
    def execute(cls, before: torch.Tensor, after: torch.Tensor, layout: str, position: float) -> io.NodeOutput:
        """Returns both in one image, see `compare`."""
        check_connected(before=before, after=after)
        check_choice("layout", layout, LAYOUTS)
        return io.NodeOutput(as_output(compare(before, after, layout, position)))


def compare(before: torch.Tensor, after: torch.Tensor, layout: str, position: float) -> torch.Tensor:
    """`[B, H, W, C]` twice to `[B, H, 2W, 3]` or, as a wipe, `[B, H, W, 3]`."""
    before, after = before[..., :3].float(), after[..., :3].float()
    height, width = before.shape[1:3]
    if after.shape[1:3] != before.shape[1:3]:
        after = comfy.utils.common_upscale(after.movedim(-1, 1), width, height, "bicubic", "disabled").movedim(1, -1)
    count = max(len(before), len(after))
    before, after = (comfy.utils.repeat_to_batch_size(images, count) for images in (before, after))
    if layout == "side by side":
        return torch.cat((before, after), 2).clamp(0, 1)
    column = round(position * width)
    joined = torch.cat((before[:, :, :column], after[:, :, column:]), 2).clamp(0, 1)
    joined[:, :, max(0, column - 1) : column + 1] = 1
    return joined
