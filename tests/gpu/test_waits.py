"""How often a processor waits for the card: not more often for a batch than for one picture."""

import warnings

import pytest
import torch
from torch.nn import functional as F

from harmonize_composite.hdnet import Harmonizer, HDNet, HDNetConfig
from harmonize_composite.weights import load_network
from waiting import waits

EACH = 40  # for a picture that is on the card itself: its colours are fitted there, picture by picture


def waits_for(device, job):
    """How often a job waits, after it has run once: CUDA's own count, or on a processor what would wait."""
    job()
    if device.type != "cuda":
        return sum(waits(job).values())
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            job()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return sum("called a synchronizing" in str(each.message) for each in seen)


def pictures(count, size=96):
    """Smooth pictures ``[count, size, size, 3]`` and masks of a different size for each."""
    small = torch.rand(count, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    masks = torch.zeros(count, size, size)
    for number, mask in enumerate(masks):
        mask[size // 4 : size // 2, size // 4 : size // 2 + 3 * number] = 1
    return F.interpolate(small, size=(size, size), mode="bilinear").permute(0, 2, 3, 1).contiguous(), masks


def test_what_is_counted(device):
    values = torch.arange(4.0, device=device)
    assert waits_for(device, lambda: values.sum().item()) == 1
    assert waits_for(device, lambda: values.nonzero()) >= 1
    assert waits_for(device, lambda: (values * 2).sum()) == 0


@pytest.mark.parametrize("preset", ["hdnet-lite", "hdnet-lite-semantic", "hdnet"])
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@torch.no_grad()
def test_the_network(preset, kind, device):
    shipped = preset != "hdnet"
    network = load_network(preset, precision="float32") if shipped else HDNet(HDNetConfig.preset(preset))
    network = network.to(device, kind)
    image, mask = pictures(6)
    composite, mask = image.permute(0, 3, 1, 2).to(device, kind) * 2 - 1, mask[:, None].to(device, kind)
    one = waits_for(device, lambda: network(composite[:1], mask[:1]))
    assert waits_for(device, lambda: network(composite, mask)) == one
    assert one <= 10 or device.type != "cuda"  # two for each list of positions; a processor has more and shorter strips


@pytest.mark.parametrize("foreground", ["auto", "pasted", "edited"])
def test_pictures_on_the_processor_cost_no_more_in_a_batch(foreground, device):
    """As ComfyUI and the command line hand them over: the card has the network, and is asked once a batch."""
    if device.type != "cuda":
        pytest.skip("on a processor, its own pictures count as well")
    harmonizer = Harmonizer(load_network(precision="float32", device="cuda"))
    image, masks = pictures(6)
    one = waits_for(device, lambda: harmonizer(image[:1], masks[:1], foreground=foreground))
    assert waits_for(device, lambda: harmonizer(image, masks, foreground=foreground)) == one <= 20


@pytest.mark.parametrize("foreground", ["auto", "pasted", "edited"])
def test_pictures_on_the_card_cost_a_few_each_whatever_their_size(foreground, device):
    harmonizer = Harmonizer(load_network(precision="float32").to(device))

    def counted(count, size):
        image, masks = (each.to(device) for each in pictures(count, size))
        return waits_for(device, lambda: harmonizer(image, masks, foreground=foreground))

    one, two, five = (counted(count, 96) for count in (1, 2, 5))
    print(f"{foreground}: {one} for one picture, {two - one} for each more")
    assert two - one <= EACH and five - one == 4 * (two - one)
    if device.type == "cuda":  # on a processor, tiles are smaller
        assert counted(2, 700) - counted(1, 700) <= EACH + 10
