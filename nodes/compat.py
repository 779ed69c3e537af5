"""Differences between ComfyUI versions, found by looking, not by version numbers."""

import dataclasses

import comfy.model_management
import comfy.model_patcher
import torch
from comfy_api.latest import io

# The patcher that moves weights between devices; newer cores have one for their own dynamic memory.
ModelPatcher = getattr(comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcher)


def supported(**options) -> dict:
    """Those keyword arguments that this core's `io.Schema` knows."""
    known = {field.name for field in dataclasses.fields(io.Schema)}
    return {name: value for name, value in options.items() if name in known}


def advanced(inp):
    """Marks an input as advanced, where the frontend knows of it."""
    inp.extra_dict = {**(inp.extra_dict or {}), "advanced": True}
    return inp


def as_output(image: torch.Tensor) -> torch.Tensor:
    """Puts a result on the device, and in the type, in which this core keeps what lies between nodes."""
    device = comfy.model_management.intermediate_device()
    find_dtype = getattr(comfy.model_management, "intermediate_dtype", None)
    return image.to(device, find_dtype() if find_dtype else torch.float32)


def is_out_of_memory(error: Exception) -> bool:
    """Whether an exception means that the device's memory did not suffice."""
    return isinstance(error, (comfy.model_management.OOM_EXCEPTION, torch.OutOfMemoryError, MemoryError))
