"""Running the network in less than float32."""

import pytest
import torch

from harmonize_composite.files.pictures import read_mask, read_picture
from harmonize_composite.hdnet import Harmonizer
from harmonize_composite.hdnet.network.precision import choose_dtype
from harmonize_composite.weights import load_network


@pytest.mark.parametrize("precision", ["auto", "float16", "bfloat16"])
def test_stays_within_45_db_of_float32_on_the_shipped_weights_and_picture(precision, request):
    examples = request.config.rootpath / "example_workflows"
    image, _ = read_picture(examples / "harmonize_demo_composite.png")
    mask = read_mask(examples / "harmonize_demo_mask.png")
    exact, fast = (
        Harmonizer(load_network(precision=kind))(image, mask, resolution="native") for kind in ("float32", precision)
    )
    error = ((fast - exact).square() * mask[..., None]).sum() / (3 * mask.sum())
    assert -10 * error.log10() > 45
    assert torch.equal(fast[mask == 0], image[mask == 0])


def test_unknown_precisions_are_named():
    with pytest.raises(ValueError, match="auto, float32, float16, bfloat16, not 'float8'"):
        choose_dtype("float8", "cpu")


def test_auto_is_float32_where_nothing_is_known_of_bfloat16(monkeypatch):
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.delattr(torch.cpu, name, raising=False)
    assert choose_dtype("auto", "cpu") is torch.float32
    assert choose_dtype("auto", "meta") is torch.float32


def bright_edges(height, width, seed=0):
    """A picture of strong edges, such as make the largest sums, and a mask."""
    generator = torch.Generator().manual_seed(seed)
    blocks = torch.rand(1, 3, -(-height // 8), -(-width // 8), generator=generator).gt(0.5).float()
    composite = torch.nn.functional.interpolate(blocks, scale_factor=8)[..., :height, :width] * 2 - 1
    mask = torch.zeros(1, 1, height, width)
    mask[..., height // 4 : height // 2 + 1, width // 4 : width // 2 + 1] = 1
    return composite, mask


def test_sums_beyond_float16_are_held():
    """Where a layer's sums exceed 65,504, as on a quarter of photographs, its features are still those of float32."""
    exact, half = load_network(), load_network(precision="float16")
    composite, mask = bright_edges(64, 96)
    sums = []
    exact.decoder[0].conv.register_forward_hook(lambda *given: sums.append(given[2].abs().max()))
    exact(composite, mask)
    factor = max(1, 72_071 / sums[0])  # the largest of those photographs
    for network in (exact, half):
        network.decoder[0].conv.weight.data *= factor
    expected = exact(composite, mask)
    assert sums[1] > 65_504
    result = half(composite.half(), mask.half()).float()
    assert result.isfinite().all()
    least = 40 if torch.__version__.startswith("2.4.") else 45  # it sums float16 in float16 itself
    assert -10 * ((result - expected) / 2).square().mean().log10() > least


@pytest.mark.parametrize("size", [(8, 8), (64, 8), (5, 3), (8, 64)])
def test_strided_convolutions_are_never_narrower_than_their_kernel(size):
    """Some processors compute them wrong in bfloat16; wider with the same zeros, the result is the same."""
    network, widths = load_network(precision="bfloat16"), []
    for convolution in network.encoder:
        if convolution.stride[0] == 2:
            convolution.register_forward_pre_hook(lambda _, inputs: widths.append(inputs[0].shape[-1]))
    composite, mask = bright_edges(*size)
    fast = network(composite.bfloat16(), mask.bfloat16()).float()
    assert widths and min(widths) >= 4
    torch.testing.assert_close(fast, load_network()(composite, mask), rtol=0, atol=0.2)


class Broken(torch.nn.Module):
    """Returns a value that is no number for every pixel, in float16 or always."""

    def __init__(self, value, always):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1, dtype=torch.float16), requires_grad=False)
        self.value, self.always = value, always

    def forward(self, composite, mask, reference=None):
        broken = self.always or self.weight.dtype == torch.float16
        return torch.full_like(composite, self.value) if broken else composite * 0.5


@pytest.mark.parametrize("resolution", [64, "native"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("always", [False, True])
def test_values_that_are_no_numbers_never_come_out(value, always, resolution, caplog):
    image = torch.rand(3, 70, 80, 3, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(1, 70, 80)
    mask[:, 20:50, 20:50] = 1
    result = Harmonizer(Broken(value, always))(image, mask, resolution=resolution, foreground="pasted")
    assert result.isfinite().all()
    assert torch.equal(result[:, mask[0] == 0], image[:, mask[0] == 0])
    assert caplog.text.count("runs in float32") == 1
    assert always or not torch.equal(result, image)
