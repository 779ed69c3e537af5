"""How the nodes run the network: memory, interruption, progress, and what is remembered of the run before."""

import gc
import logging

import pytest
import torch

import comfyui_stand_in  # noqa: E402
from node_inputs import failing_above, picture, square

LOOKS = 3  # that the shipped networks take together at every image
OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory."),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."),
    RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=["cuda", "cpu", "mps"])
def test_out_of_memory_goes_on_with_smaller_batches_and_says_so(harmonize, on_a_gpu, pack, monkeypatch, caplog, error):
    image, mask = picture(batch=8), square()
    expected, _ = harmonize(image.clone(), mask, model=on_a_gpu)
    sizes = failing_above(pack, monkeypatch, 2, error)
    with caplog.at_level(logging.WARNING):
        result, _ = harmonize(image, mask, model=on_a_gpu)
    assert sizes == [8, 4, *[2] * 4 * LOOKS]
    assert "out of memory" in caplog.text and "2 image(s)" in caplog.text
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-5)


def test_out_of_memory_with_a_single_image_says_what_to_do(harmonize, pack, monkeypatch):
    failing_above(pack, monkeypatch, 0, OUT_OF_MEMORY[1])
    with pytest.raises(torch.OutOfMemoryError, match="lower resolution"):
        harmonize(picture(), square(), resolution="native")


def test_other_failures_are_not_taken_for_a_lack_of_memory(harmonize, on_a_gpu, pack, monkeypatch):
    sizes = failing_above(pack, monkeypatch, 0, RuntimeError("a bug"))
    with pytest.raises(RuntimeError, match="a bug"):
        harmonize(picture(batch=2), square(), model=on_a_gpu)
    assert sizes == [2]


def test_memory_is_asked_for_before_the_network_runs(harmonize, on_a_gpu, pack, monkeypatch):
    asked = []
    monkeypatch.setattr(
        pack["management"], "load_models_gpu", lambda models, **needs: asked.append((models, needs["memory_required"]))
    )
    harmonize(picture(), square(), model=on_a_gpu)
    harmonize(picture(96, 128, batch=4), square(), model=on_a_gpu)
    assert all(models == [on_a_gpu] for models, _ in asked)
    assert asked[1][1] == 16 * asked[0][1] > 0


@pytest.mark.parametrize("mode", ["per_frame", "uniform", "smooth"])
def test_interruption_takes_effect_within_one_image(harmonize, pack, monkeypatch, mode):
    sizes = failing_above(pack, monkeypatch, 99, None)

    def interrupted():
        if len(sizes) == LOOKS + 1:
            raise comfyui_stand_in.Interrupted

    monkeypatch.setattr(pack["management"], "throw_exception_if_processing_interrupted", interrupted)
    with pytest.raises(comfyui_stand_in.Interrupted):
        harmonize(picture(batch=20), square(), batch_mode=mode)
    assert sizes == [1] * (LOOKS + 1)
    monkeypatch.undo()
    harmonize(picture(), square())


@pytest.mark.parametrize("mode", ["per_frame", "uniform", "smooth"])
def test_progress_moves_with_every_image_and_ends_full(harmonize, mode):
    mask = square(batch=6)
    mask[2] = 0
    harmonize(picture(batch=6), mask, batch_mode=mode)
    bar = comfyui_stand_in.ProgressBar.last
    assert bar.steps == sorted(bar.steps)
    assert len(set(bar.steps)) >= 6
    assert bar.steps[-1] == bar.total


# A second run on the same image


def test_a_change_of_strength_does_not_run_the_network_again(harmonize, pack, monkeypatch):
    image, mask = picture(batch=3), square()
    harmonize(image, mask, strength=0.4, foreground="pasted")
    expected, _ = harmonize(image.clone(), mask, foreground="pasted")
    sizes = failing_above(pack, monkeypatch, 99, None)
    result, _ = harmonize(image, mask, foreground="pasted")
    assert not sizes and torch.equal(result, expected)


@pytest.mark.parametrize("change", ["mask", "resolution", "model", "values"])
def test_what_the_network_sees_anew_is_judged_anew(harmonize, pack, monkeypatch, change):
    image, mask, options = picture(96, 128), square(96, 128), {"resolution": "256", "foreground": "pasted"}
    harmonize(image, mask, **options)
    if change == "mask":
        mask = mask.roll(9, 2)
    elif change == "resolution":
        image, mask = picture(600, 600), square(600, 600)
        harmonize(image, mask, **options)
        options["resolution"] = "512"
    elif change == "model":
        (options["model"],) = pack["HDNetLoadModel"].execute("hdnet-lite-semantic", precision="float16")
    else:
        image *= 0.9
    sizes = failing_above(pack, monkeypatch, 99, None)
    harmonize(image, mask, **options)
    assert sizes == [1] * LOOKS


def test_what_the_network_said_goes_with_its_image_and_stays_within_bounds(harmonize, monkeypatch):
    from harmonize_composite.nodes import remembering

    image = picture(batch=4)
    harmonize(image, square(), foreground="pasted")
    (kept,) = remembering._proposals[image].values()
    size = next(iter(kept.values())).nbytes
    assert len(kept) == 4
    monkeypatch.setattr(remembering, "LIMIT", 2 * size)
    harmonize(image, square().roll(5, 1), foreground="pasted")
    assert [len(each) for each in remembering._proposals[image].values()] == [2]
    gc.collect()
    before = len(remembering._proposals)
    del image
    gc.collect()
    assert len(remembering._proposals) == before - 1


def test_nothing_is_left_on_the_network(harmonize, pack):
    (model,) = pack["HDNetLoadModel"].execute("hdnet-lite-semantic")
    harmonize(picture(), square(), model=model)
    assert not model.model._forward_pre_hooks


def test_model_and_reference_are_computed_only_where_they_show(pack):
    asks = pack["HDNetHarmonizeComposite"].check_lazy_status
    unknown = {"model": None, "reference_mask": None, "background": picture()}
    assert asks(strength=1.0, **unknown) == ["model", "reference_mask"]
    assert asks(strength=0.5, model=object(), image=picture()) == []
    assert asks(strength=0.0, **unknown) == []
