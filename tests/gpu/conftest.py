"""What the tests on a graphics card share.

They are skipped where there is none. `HARMONIZE_GPU_TESTS=cpu` runs them on the processor all the same, as far as that
can show anything, to rehearse them.
"""

import os

import pytest
import torch

import comfyui_stand_in
from harmonize_composite.files.pictures import read_mask, read_picture

REHEARSED_ON = os.environ.get("HARMONIZE_GPU_TESTS")


@pytest.fixture(scope="session")
def device():
    """The device under test."""
    if not REHEARSED_ON and not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")
    return torch.device(REHEARSED_ON or "cuda")


@pytest.fixture
def cuda(device):
    """The same, for what only CUDA can show."""
    if device.type != "cuda":
        pytest.skip("this needs a CUDA device")
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    return device


@pytest.fixture(autouse=True)
def without_tf32():
    """float32 is float32: convolutions on a card are in TF32 by torch's default."""
    backends = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [each.allow_tf32 for each in backends]
    for each in backends:
        each.allow_tf32 = False
    yield
    for each, value in zip(backends, before):
        each.allow_tf32 = value


@pytest.fixture(scope="session")
def demo(request):
    """The photograph that comes with the pack, ``[1, H, W, 3]``, and its mask ``[1, H, W]``; 768×512 pixels."""
    examples = request.config.rootpath / "example_workflows"
    image, _ = read_picture(examples / "harmonize_demo_composite.png")
    return image, read_mask(examples / "harmonize_demo_mask.png")


@pytest.fixture(scope="module")
def pack(device, tmp_path_factory):
    """The nodes by id, loaded as ComfyUI loads them, with a ComfyUI that has the device."""
    with comfyui_stand_in.loaded(tmp_path_factory.mktemp("models")) as nodes:
        nodes["management"].get_torch_device = lambda: device
        nodes["management"].load_models_gpu = lambda models, **_: [each.model.to(each.load_device) for each in models]
        nodes["management"].soft_empty_cache = lambda: device.type == "cuda" and torch.cuda.empty_cache()
        yield nodes
