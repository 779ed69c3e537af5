"""HDNetForegroundLayer: the harmonized foreground alone, with alpha."""

import torch
from comfy_api.latest import io

from ..hdnet.harmonize.inputs import check_mask
from ..hdnet.harmonize.layer import foreground_layer
from ..hdnet.harmonize.masks import fit_mask
from .compat import as_output, check_connected, supported


class HDNetForegroundLayer(io.ComfyNode):
    """Takes the foreground out of a harmonized image."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Returns the node's inputs and outputs."""
        return io.Schema(
            node_id="HDNetForegroundLayer",
            display_name="Foreground as Layer",
            category="image/compositing",
            description="The harmonized foreground alone, with straight alpha: laid over what was beneath it, it gives "
            "the harmonized image. Save Image keeps the alpha.",
            inputs=[
                io.Image.Input("image", tooltip="The image that came out of Harmonize Composite."),
                io.Image.Input(
                    "beneath",
                    tooltip="What the layer will lie on: the composite that went in, or the background if one was "
                    "connected.",
                ),
                io.Mask.Input("mask", tooltip="The mask that came out of Harmonize Composite."),
            ],
            outputs=[io.Image.Output(display_name="layer", tooltip="The foreground with its alpha.")],
            **supported(search_aliases=["layer", "rgba", "cut out", "straight alpha"]),
        )

    @classmethod
    def execute(cls, image: torch.Tensor, beneath: torch.Tensor, mask: torch.Tensor) -> io.NodeOutput:
        """Returns the layer, ``[B, H, W, 4]``."""
        check_connected(image=image, beneath=beneath, mask=mask)
        mask = fit_mask(check_mask(mask), image.shape[1:3])
        return io.NodeOutput(as_output(foreground_layer(image, beneath, mask)))
