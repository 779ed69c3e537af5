"""Differences between ComfyUI versions, found by looking, not by version numbers."""

import dataclasses
import importlib.util
import logging
from typing import Any

import comfy.model_management
import comfy.model_patcher
import torch
from comfy_api.latest import io

logger = logging.getLogger(__name__)


def patched(network: torch.nn.Module) -> comfy.model_patcher.ModelPatcher:
    """Hands a network to ComfyUI's memory management, which moves it between devices from now on."""
    # newer cores choose a patcher of their own for dynamic memory when they start
    patcher = getattr(comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcher)
    return patcher(
        network,
        load_device=comfy.model_management.get_torch_device(),
        offload_device=comfy.model_management.unet_offload_device(),
    )


def supported(**options: Any) -> dict[str, Any]:
    """Those keyword arguments that this core's `io.Schema` knows."""
    known = {field.name for field in dataclasses.fields(io.Schema)}
    return {name: value for name, value in options.items() if name in known}


def advanced(inp: Any) -> Any:
    """Marks an input as advanced, where the frontend knows of it."""
    inp.extra_dict = {**(inp.extra_dict or {}), "advanced": True}
    return inp


def knows_videos() -> bool:
    """Whether this core has VIDEO, and PyAV, with which it reads them."""
    from comfy_api import latest

    return hasattr(io, "Video") and hasattr(latest, "InputImpl") and importlib.util.find_spec("av") is not None


def check_connected(**inputs: object) -> None:
    """Raises ValueError where a required input holds no tensor; the server lets anything but a link through."""
    for name, value in inputs.items():
        if not isinstance(value, torch.Tensor):
            raise ValueError(f"Connect an output to {name}; it holds {value!r}.")


def as_output(image: torch.Tensor) -> torch.Tensor:
    """Puts a result on the device, and in the type, in which this core keeps what lies between nodes."""
    device = comfy.model_management.intermediate_device()
    find_dtype = getattr(comfy.model_management, "intermediate_dtype", None)
    return image.to(device, find_dtype() if find_dtype else torch.float32)


def is_out_of_memory(error: Exception) -> bool:
    """Whether an exception means that the device's memory did not suffice."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    # the CPU's and Apple's allocators have no exception of their own
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, RuntimeError) and any(each in str(error) for each in words)


def show_text(node: type[io.ComfyNode], text: str) -> None:
    """Shows a text on the node itself, where this core can; `node` is its class while it executes."""
    try:
        from server import PromptServer

        PromptServer.instance.send_progress_text(text, node.hidden.unique_id)
    except (ImportError, AttributeError, TypeError):  # an older core, or none, as in tests
        logger.info("%s", text)
