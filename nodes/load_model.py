"""HDNetLoadModel: weights from the pack, the user's folders or the Hugging Face Hub."""

import os

import comfy.model_management
import comfy.model_patcher
from comfy_api.latest import io

from ..hdnet.harmonize.second_look import enlargement
from ..hdnet.network.precision import PRECISIONS, choose_dtype
from ..weights import load_network
from ..weights.catalogue import DEFAULT
from .compat import advanced, patched, supported
from .model_folder import choices, download_folder, find_file, resolve

HDNetModel = io.Custom("HDNET_MODEL")
BYTES_PER_PIXEL = 800  # of activations, float32, for each base channel 8; a CPU needs half of it


def load_patcher(source: str, precision: str = "auto") -> comfy.model_patcher.ModelPatcher:
    """Loads weights onto the CPU and hands them to ComfyUI's memory management."""
    dtype = choose_dtype(precision, comfy.model_management.get_torch_device())
    return patched(load_network(source, folder=download_folder()).to(dtype))


def judged_pixels(height: int, width: int, resolution: str) -> int:
    """How many pixels of an image the network sees, about."""
    pixels = height * width
    return pixels if resolution == "native" else min(pixels, int(resolution) ** 2)


def load_onto_device(patcher: comfy.model_patcher.ModelPatcher, pixels: int) -> None:
    """Has ComfyUI make room for the network and its activations on so many pixels."""
    network = patcher.model
    pixels = int(pixels * enlargement(pixels, network.second_look or 1.0) ** 2)
    needed = BYTES_PER_PIXEL * pixels * network.config.base_channels // 8
    comfy.model_management.load_models_gpu([patcher], memory_required=needed, force_full_load=True)


class HDNetLoadModel(io.ComfyNode):
    """Loads weights."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """What ComfyUI shows of the node."""
        return io.Schema(
            node_id="HDNetLoadModel",
            display_name="Load Harmonize Model",
            category="image/compositing",
            description="Loads HDNet weights for Harmonize Composite: those of the pack, your own from models/hdnet, "
            "or from the Hugging Face Hub.",
            inputs=[
                io.Combo.Input(
                    "model_name",
                    options=choices(),
                    default=DEFAULT,
                    tooltip="Weights in models/hdnet (extra_model_paths.yaml counts), or those that come with the "
                    f"pack: {DEFAULT}, or the smaller hdnet-lite.",
                ),
                io.String.Input(
                    "hub",
                    default="",
                    optional=True,
                    tooltip="A Hugging Face repository instead: owner/repo, or owner/repo/file.safetensors, with "
                    "@revision if you like, or its address from the browser. Downloaded once into models/hdnet. Empty: "
                    "model_name is used.",
                ),
                advanced(
                    io.Combo.Input(
                        "precision",
                        options=list(PRECISIONS),
                        default="auto",
                        optional=True,
                        tooltip="auto is bfloat16 where the device computes in it, else float32.",
                    )
                ),
            ],
            outputs=[HDNetModel.Output(display_name="model", tooltip="For Harmonize Composite.")],
            **supported(search_aliases=["hdnet", "image harmonization loader"]),
        )

    @classmethod
    def fingerprint_inputs(cls, model_name: str, hub: str = "", precision: str = "auto") -> tuple[object, ...]:
        """A file that was replaced under its old name is loaded anew."""
        path = find_file(model_name)
        return (path, os.path.getmtime(path) if path else None, hub, precision)

    @classmethod
    def execute(cls, model_name: str, hub: str = "", precision: str = "auto") -> io.NodeOutput:
        """Returns ComfyUI's patcher of the network."""
        hub = hub.strip().removeprefix("hub:").strip()
        source = f"hub:{hub}" if hub else resolve(model_name)
        return io.NodeOutput(load_patcher(source, precision))
