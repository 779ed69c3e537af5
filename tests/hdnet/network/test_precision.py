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
