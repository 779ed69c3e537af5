"""How good results at a low working resolution are."""

import numpy as np
import pytest
import torch

from harmonize_composite.hdnet import Harmonizer
from images import Recolour, square


def textured(height, width):
    """Smooth shading over patches of different colours, with texture down to single pixels."""
    generator = torch.Generator().manual_seed(4)

    def noise(step, mode, channels=3):
        values = torch.rand(1, channels, step, step, generator=generator)
        return torch.nn.functional.interpolate(values, size=(height, width), mode=mode)

    scene = 0.1 + 0.35 * noise(4, "bicubic") + 0.45 * noise(12, "nearest")
    scene *= 0.75 + 0.5 * noise(150, "bicubic", 1)
    scene *= 0.7 + 0.6 * torch.rand(1, 1, height, width, generator=generator)
    return scene[0].permute(1, 2, 0)[None].clamp(0.02, 0.98)


def recolouring(colours, y, x):
    """A light from one side, another white point and another contrast."""
    light = 0.5 + 0.45 * x + 0.2 * y
    gain = torch.tensor([1.1, 0.95, 0.7]).view(3, 1, 1)
    return (light * gain * colours.clamp(0, 1) ** 1.5).clamp(0, 1)


@pytest.mark.parametrize(("resolution", "least"), [(128, 35), (256, 39), ("native", 42)])
def test_texture_survives_a_low_working_resolution(resolution, least):
    size = 600, 760
    image = textured(*size)
    network = Recolour(recolouring)
    planes = image.permute(0, 3, 1, 2)
    target = (network(planes * 2 - 1, None) / 2 + 0.5).permute(0, 2, 3, 1)
    y, x = torch.meshgrid(torch.linspace(-1, 1, size[0]), torch.linspace(-1, 1, size[1]), indexing="ij")
    mask = (x**2 + y**2 < 0.5).float()[None]

    def psnr(picture):
        return -10 * ((picture - target)[mask > 0] ** 2).mean().log10().item()

    output = Harmonizer(network)(image, mask, resolution=resolution, foreground="pasted")
    # what adding the upsampled difference reaches at 256
    low = torch.nn.functional.interpolate(planes, size=(200, 256), mode="area")
    change = recolouring(low[0], ((torch.arange(200) + 0.5) / 200)[:, None], (torch.arange(256) + 0.5) / 256) - low
    added = planes + torch.nn.functional.interpolate(change, size=size, mode="bilinear")
    print(f"{resolution}: {psnr(output):.1f} dB, upsampled difference {psnr(added.permute(0, 2, 3, 1)):.1f} dB")
    assert psnr(output) > least
    assert psnr(output) > psnr(added.permute(0, 2, 3, 1)) + 2
    assert torch.equal(output[mask == 0], image[mask == 0])


def test_a_network_that_changes_nothing_changes_nothing():
    image, mask = textured(300, 400), square(300, 400)
    output = Harmonizer(Recolour(lambda colours, y, x: colours))(image, mask)
    torch.testing.assert_close(output, image, rtol=0, atol=1e-4)


def test_two_objects_side_by_side_do_not_bleed_into_the_background():
    """Colours around the foreground do not enter its fit, however close they are."""
    image, mask = textured(400, 400), torch.zeros(1, 400, 400)
    mask[:, 100:300, 100:300] = 1

    def change(colours, y, x):  # the generator's picture means nothing outside the mask
        inside = (y > 0.25) & (y < 0.75) & (x > 0.25) & (x < 0.75)
        return torch.where(inside, colours * 0.6, torch.zeros_like(colours))

    output = Harmonizer(Recolour(change))(image, mask, resolution=100)
    inside = np.s_[:, 100:300, 100:300]
    torch.testing.assert_close(output[inside], image[inside] * 0.6, rtol=0, atol=0.02)
