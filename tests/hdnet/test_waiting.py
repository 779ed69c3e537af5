"""A batch costs no more waiting for a device than one picture does."""

import pytest
import torch
from torch.nn import functional as F

from harmonize_composite.hdnet import Harmonizer, HDNet, HDNetConfig
from harmonize_composite.hdnet.harmonize import colour_transfer
from harmonize_composite.weights import load_network
from waiting import waits


def pictures(count, size=96):
    """Smooth pictures ``[count, size, size, 3]`` and masks of rectangles, of a different size in each."""
    generator = torch.Generator().manual_seed(0)
    small = torch.rand(count, 3, 12, 12, generator=generator)
    masks = torch.zeros(count, size, size)
    for number, mask in enumerate(masks):
        mask[size // 4 : size // 2, size // 4 : size // 2 + 3 * number] = 1
    return F.interpolate(small, size=(size, size), mode="bilinear").permute(0, 2, 3, 1), masks


def test_what_is_counted():
    tensor = torch.arange(4)
    assert waits(lambda: tensor[1].item())["_local_scalar_dense"] == 1
    assert waits(lambda: bool(tensor[0]))["_local_scalar_dense"] == 1
    assert sum(waits(lambda: (tensor.tolist(), tensor.cpu(), tensor.to("cpu"), tensor.nonzero())).values()) == 4
    assert sum(waits(lambda: tensor[tensor > 1]).values()) >= 1
    assert not waits(lambda: torch.where(tensor > 1, tensor, 0).sum() + tensor[torch.tensor([1])])


@pytest.mark.parametrize("preset", ["hdnet", "hdnet-lite", "hdnet-lite-semantic"])
@pytest.mark.parametrize("reference", [False, True])
@torch.no_grad()
def test_the_network_waits_as_often_for_five_pictures_as_for_one(preset, reference):
    network = load_network(preset, precision="float32") if preset != "hdnet" else HDNet(HDNetConfig.preset(preset))
    image, mask = pictures(5, size=64)
    inputs = [image.permute(0, 3, 1, 2) * 2 - 1, mask[:, None]]
    if reference:
        inputs.append(1 - mask[:, None])
    one = waits(lambda: network(*(each[:1] for each in inputs)))
    assert waits(lambda: network(*inputs)) == one
    assert sum(one.values()) <= 10  # two for each list of positions: foreground and reference, and three levels


@torch.no_grad()
def test_the_harmonizer_asks_once_whether_a_batch_is_finite():
    network = load_network(precision="float32")
    image, mask = pictures(5, size=64)
    inputs = [image.permute(0, 3, 1, 2) * 2 - 1, mask[:, None]]
    harmonizer = Harmonizer(network)
    assert sum((waits(lambda: harmonizer.run_network(*inputs)) - waits(lambda: network(*inputs))).values()) == 1


@pytest.mark.parametrize("foreground", ["auto", "pasted", "edited"])
def test_pictures_on_a_device_are_waited_for_a_few_times_each_whatever_their_size(foreground, monkeypatch):
    """Colours are fitted on the pictures' own device, the fits of a few numbers on the processor."""
    monkeypatch.setattr(colour_transfer, "TILE", colour_transfer.DEVICE_TILE)  # as elsewhere than on the processor
    harmonizer = Harmonizer(load_network(precision="float32"))

    def counted(count, size):
        image, mask = pictures(count, size)
        return sum(waits(lambda: harmonizer(image, mask, foreground=foreground)).values())

    a_picture = counted(2, 96) - counted(1, 96)
    assert a_picture <= 28
    assert counted(4, 96) - counted(1, 96) == 3 * a_picture
    assert counted(2, 700) - counted(1, 700) <= a_picture + 4  # areas that the mask's edge cuts; the seam's as well
