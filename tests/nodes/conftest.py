"""The nodes, loaded as ComfyUI loads them."""

import asyncio
import sys

import pytest
import torch

import comfyui_stand_in

GIVEN = {"strength": 1.0, "resolution": "256", "invert_mask": False}


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    """The nodes by id, loaded as ComfyUI loads them."""
    before = set(sys.modules)
    management = comfyui_stand_in.install(tmp_path_factory.mktemp("models"))
    import harmonize_composite

    extension = asyncio.run(harmonize_composite.comfy_entrypoint())
    nodes = {node.define_schema().node_id: node for node in asyncio.run(extension.get_node_list())}
    yield {"management": management, "folder_paths": sys.modules["folder_paths"], **nodes}
    for name in set(sys.modules) - before:
        if name.split(".")[0] in ("comfy", "comfy_api", "folder_paths") or ".nodes" in name:
            del sys.modules[name]


@pytest.fixture
def harmonize(pack):
    def call(image, mask, **options):
        return pack["HDNetHarmonizeComposite"].execute(image, mask, **{**GIVEN, **options})

    return call


@pytest.fixture
def on_a_gpu(pack):
    """The shipped model, whose patcher says that it is on no CPU, so that images go through in batches."""
    (model,) = pack["HDNetLoadModel"].execute("hdnet-lite", precision="float32")
    model.load_device = torch.device("meta")
    return model
