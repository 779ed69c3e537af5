"""The ComfyUI nodes; thin, for the work is done in `hdnet` and `weights`."""

from comfy_api.latest import ComfyExtension, io

from .compare import HDNetCompare
from .compat import knows_videos
from .example import HDNetExample
from .foreground_layer import HDNetForegroundLayer
from .harmonize_composite import HDNetHarmonizeComposite
from .load_model import HDNetLoadModel
from .model_folder import register_model_folder
from .save_lut import HDNetSaveLut
from .transfer_light import HDNetTransferLight


class HarmonizeCompositeExtension(ComfyExtension):
    """What the pack adds to ComfyUI."""

    async def on_load(self) -> None:
        """Makes the folder of models known."""
        register_model_folder()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """The nodes."""
        register_model_folder()  # older cores do not call on_load
        nodes: list[type[io.ComfyNode]] = [
            HDNetHarmonizeComposite,
            HDNetLoadModel,
            HDNetCompare,
            HDNetExample,
            HDNetForegroundLayer,
            HDNetSaveLut,
            HDNetTransferLight,
        ]
        if knows_videos():
            from .harmonize_video import HDNetHarmonizeVideo

            nodes.append(HDNetHarmonizeVideo)
        return nodes
