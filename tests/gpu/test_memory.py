"""Memory of a graphics card: how much is taken, and what happens where it does not suffice."""

import logging

import pytest
import torch
from torch.nn import functional as F

from harmonize_composite.cli import main
from harmonize_composite.hdnet import Harmonizer
from harmonize_composite.weights import load_network
from node_inputs import failing_above

NATIVE = 800  # bytes a pixel that the node asks ComfyUI for
AT_256 = 96  # bytes a pixel beside the picture and its mask, which are on the card as well


def picture(count, side, seed=0):
    """Smooth pictures ``[count, side, side, 3]`` and a mask of a quarter of them."""
    small = torch.rand(count, 3, 12, 12, generator=torch.Generator().manual_seed(seed))
    mask = torch.zeros(1, side, side)
    mask[:, side // 4 : side // 2, side // 4 : side // 2] = 1
    return F.interpolate(small, size=(side, side), mode="bilinear").permute(0, 2, 3, 1).contiguous(), mask


def peak_of(job):
    """Bytes on the card beside what was there before."""
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    job()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("side", "resolution", "bytes_a_pixel"), [(2048, "native", NATIVE), (1024, "native", NATIVE), (2048, 256, AT_256)]
)
def test_a_large_picture_takes_no_more_than_is_said(side, precision, resolution, bytes_a_pixel, cuda):
    harmonizer = Harmonizer(load_network(precision=precision, device="cuda"))
    image, mask = (each.to(cuda) for each in picture(1, side))
    peak = peak_of(lambda: harmonizer(image, mask, resolution=resolution, foreground="pasted"))
    print(f"{side}², {resolution}, {precision}: {peak / 1e9:.2f} GB, {peak / side**2:.0f} bytes a pixel")
    assert peak <= bytes_a_pixel * side**2


def test_memory_does_not_grow_with_the_length_of_a_batch(cuda):
    """Images that wait on the processor go through in parts, whatever their number."""
    harmonizer = Harmonizer(load_network(precision="float32", device="cuda"))
    peaks = []
    for count in (16, 16, 48):  # the first run is to warm up
        image, mask = picture(count, 256)
        peaks.append(peak_of(lambda: harmonizer(image, mask, foreground="pasted")))  # noqa: B023
    assert peaks[2] <= 1.05 * peaks[1]


@pytest.fixture
def node(pack, device):
    """The node and the shipped model on the device."""
    (model,) = pack["HDNetLoadModel"].execute("hdnet-lite", precision="float32")
    model.load_device = device if device.type == "cuda" else torch.device("meta")
    if device.type != "cuda":  # rehearsed as on a device that is none, so that images go through in batches
        pack["management"].load_models_gpu = lambda models, **_: None

    def call(image, mask, **options):
        given = {"strength": 1.0, "resolution": "native", "invert_mask": False, "foreground": "pasted"}
        return pack["HDNetHarmonizeComposite"].execute(image, mask, model=model, **{**given, **options})[0]

    return call


@pytest.fixture
def limited_to(device, pack, monkeypatch):
    """Lets the card hold so many bytes from now on; on a processor, lets the network fail above two images."""

    def limit(bytes_):
        if device.type != "cuda":
            failing_above(pack, monkeypatch, 2 if bytes_ else 0, torch.OutOfMemoryError("rehearsed"))
            return
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(bytes_ / torch.cuda.get_device_properties(device).total_memory)

    yield limit
    if device.type == "cuda":
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()


def reserved_by(device, job):
    """Bytes that torch takes from the card's driver for a job, and those before."""
    if device.type != "cuda":
        job()
        return 1, 1
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_reserved()
    job()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_reserved(), before


def test_a_full_card_ends_in_smaller_batches(node, limited_to, device, caplog):
    image, mask = picture(8, 320)
    one, _ = reserved_by(device, lambda: node(image[:1].clone(), mask))
    expected = []
    many, _ = reserved_by(device, lambda: expected.append(node(image.clone(), mask)))
    assert device.type != "cuda" or many > 2 * one
    limited_to((one + many) // 2)
    with caplog.at_level(logging.WARNING):
        result = node(image.clone(), mask)
    assert "out of memory, trying again with" in caplog.text
    torch.testing.assert_close(result, expected[0], rtol=0, atol=1 / 255)
    assert torch.equal(result[:, mask[0] == 0], image[:, mask[0] == 0])


def test_a_card_too_small_for_one_image_says_what_to_do_and_works_again_after(node, limited_to, device):
    image, mask = picture(1, 640)
    expected = node(image.clone(), mask, resolution="256")
    _, before = reserved_by(device, lambda: None)
    peak, _ = reserved_by(device, lambda: node(image.clone(), mask))
    limited_to(before + (peak - before) // 3 if device.type == "cuda" else 0)
    with pytest.raises(torch.OutOfMemoryError, match="choose a lower resolution or a smaller image") as error:
        node(image.clone(), mask)
    assert "\n" not in str(error.value)
    if device.type == "cuda":
        torch.testing.assert_close(node(image.clone(), mask, resolution="256"), expected, rtol=0, atol=1 / 255)


def test_the_benchmark_names_the_card_and_its_memory(cuda, capsys):
    """Times are taken when the card has finished; on it, the network's peak is megabytes, not what a process takes."""
    small = "--networks hdnet-lite --sizes 256 --native --pictures --frames 0 --training 64 --repeats 3".split()
    assert main(["bench", *small, "--device", "cuda"]) == 0
    shown = capsys.readouterr().out
    assert torch.cuda.get_device_name() in shown.splitlines()[0] and "on the device" in shown
    print(shown)
