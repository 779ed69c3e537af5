"""The little of ComfyUI that the nodes touch, for tests of their own work without ComfyUI.

What ComfyUI makes of the nodes is tested with a real one, in test_comfyui.py.
"""

import asyncio
import contextlib
import dataclasses
import shutil
import sys
import types
from fractions import Fraction

import torch


class ModelPatcher:
    def __init__(self, model, load_device, offload_device):
        self.model, self.load_device, self.offload_device = model, load_device, offload_device


class ProgressBar:
    last = None

    def __init__(self, total):
        self.total, self.steps = total, []
        ProgressBar.last = self

    def update_absolute(self, value, total=None):
        self.steps.append(value)


class Interrupted(BaseException):
    """As ComfyUI's, no ordinary exception in newer cores."""


@dataclasses.dataclass
class Schema:
    """As in ComfyUI 0.3.64, without search aliases."""

    node_id: str
    display_name: str = None
    category: str = "sd"
    inputs: list = None
    outputs: list = None
    description: str = ""
    hidden: list = None
    is_output_node: bool = False


class Socket:
    def __init__(self, id=None, **options):
        self.id, self.extra_dict = id, options.pop("extra_dict", None)
        self.options = options


class ComfyNode:
    hidden = types.SimpleNamespace(unique_id="1")


@dataclasses.dataclass
class VideoComponents:
    images: torch.Tensor
    frame_rate: Fraction
    audio: dict = None


class VideoFromComponents:
    def __init__(self, components):
        self.components = components

    def get_components(self):
        return self.components

    def save_to(self, path):
        raise NotImplementedError


class VideoFromFile:
    def __init__(self, file):
        self.file = file

    def get_stream_source(self):
        return self.file

    def get_dimensions(self):
        import av

        with av.open(self.file) as film:
            return film.streams.video[0].width, film.streams.video[0].height

    def save_to(self, path):
        shutil.copy(self.file, path)


def _io():
    io = types.SimpleNamespace(Schema=Schema, ComfyNode=ComfyNode, NodeOutput=lambda *results: results)
    io.Hidden = types.SimpleNamespace(unique_id="UNIQUE_ID")
    io.Custom = lambda name: types.SimpleNamespace(Input=Socket, Output=Socket)
    for name in ("Image", "Mask", "Float", "Int", "Combo", "String", "Boolean", "Video"):
        setattr(io, name, io.Custom(name))
    return io


def _common_upscale(samples, width, height, method, crop):
    return torch.nn.functional.interpolate(samples, size=(height, width), mode=method)


def _repeat_to_batch_size(tensor, count):
    return tensor[torch.arange(count) % len(tensor)]


def install(folder) -> types.ModuleType:
    """Puts the stand-in into ``sys.modules``; returns its ``model_management``, whose functions tests replace."""
    management = types.ModuleType("comfy.model_management")
    management.get_torch_device = lambda: torch.device("cpu")
    management.unet_offload_device = lambda: torch.device("cpu")
    management.intermediate_device = lambda: torch.device("cpu")
    management.throw_exception_if_processing_interrupted = lambda: None
    management.soft_empty_cache = lambda: None
    management.load_models_gpu = lambda models, memory_required, force_full_load: None
    utils = types.ModuleType("comfy.utils")
    utils.ProgressBar = ProgressBar
    utils.common_upscale, utils.repeat_to_batch_size = _common_upscale, _repeat_to_batch_size
    patcher = types.ModuleType("comfy.model_patcher")
    patcher.ModelPatcher = ModelPatcher
    comfy = types.ModuleType("comfy")
    comfy.model_management, comfy.utils, comfy.model_patcher = management, utils, patcher
    latest = types.ModuleType("comfy_api.latest")
    latest.io, latest.ComfyExtension = _io(), object
    latest.InputImpl = types.SimpleNamespace(VideoFromFile=VideoFromFile, VideoFromComponents=VideoFromComponents)
    paths = types.ModuleType("folder_paths")
    paths.get_temp_directory = lambda: str(folder)
    paths.models_dir, paths.folder_names_and_paths = str(folder), {}
    paths.get_folder_paths = lambda key: paths.folder_names_and_paths[key][0]
    paths.get_filename_list = lambda key: [path.name for path in _files(paths, key)]
    paths.get_full_path = lambda key, name: next((str(p) for p in _files(paths, key) if p.name == name), None)
    sys.modules.update(
        {
            "comfy": comfy,
            "comfy.model_management": management,
            "comfy.utils": utils,
            "comfy.model_patcher": patcher,
            "comfy_api": types.ModuleType("comfy_api"),
            "comfy_api.latest": latest,
            "folder_paths": paths,
        }
    )
    return management


@contextlib.contextmanager
def loaded(folder):
    """The nodes by id, loaded as ComfyUI loads them, and what they see of it: `management` and `folder_paths`."""
    before = set(sys.modules)
    management = install(folder)
    import harmonize_composite

    extension = asyncio.run(harmonize_composite.comfy_entrypoint())
    nodes = {node.define_schema().node_id: node for node in asyncio.run(extension.get_node_list())}
    yield {"management": management, "folder_paths": sys.modules["folder_paths"], **nodes}
    for name in set(sys.modules) - before:
        if name.split(".")[0] in ("comfy", "comfy_api", "folder_paths") or ".nodes" in name:
            del sys.modules[name]


def _files(paths, key):
    from pathlib import Path

    folders, extensions = paths.folder_names_and_paths[key]
    return [path for folder in folders for path in sorted(Path(folder).glob("*")) if path.suffix in extensions]
