"""The nodes, loaded as ComfyUI loads them."""

import pytest
import torch

import comfyui_stand_in

GIVEN = {"strength": 1.0, "resolution": "256", "invert_mask": False}


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    """The nodes by id, loaded as ComfyUI loads them."""
    with comfyui_stand_in.loaded(tmp_path_factory.mktemp("models")) as nodes:
        yield nodes


@pytest.fixture
def harmonize(pack):
    def call(image, mask, **options):
        return pack["HDNetHarmonizeComposite"].execute(image, mask, **{**GIVEN, **options})

    return call


@pytest.fixture
def on_a_gpu(pack):
    """The shipped model, whose patcher says that it is on no CPU, so that images go through in batches."""
    (model,) = pack["HDNetLoadModel"].execute("hdnet-lite-semantic", precision="float32")
    model.load_device = torch.device("meta")
    return model
