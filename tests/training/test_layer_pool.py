"""Training from a pool of layers on the device; the pool itself on a GPU too, where there is one."""

import logging
import multiprocessing
import time
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import torch

from harmonize_composite.training.data.photos import Photographs
from harmonize_composite.training.loop import layer_pool
from harmonize_composite.training.loop import train as loop
from harmonize_composite.training.loop.layer_pool import LayerPool, LayerStream
from harmonize_composite.training.loop.options import Stage, load_options
from harmonize_composite.training.loop.train import train
from photographs import broken
from runs import checkpoint, flat

SIDE = 24
devices = pytest.mark.parametrize("device", ["cpu", *["cuda"] * torch.cuda.is_available()])


@pytest.fixture
def pooled(small):
    """The options of a small run with a pool."""
    return replace(small, pool=20, workers=1, pasted=1.0, camera=0.5)


def open_pool(photographs, capacity, device, seed=0):
    stream = LayerStream(photographs, SIDE, (seed, 0))
    return closing(LayerPool(stream, capacity, 1, torch.Generator(device).manual_seed(seed)))


def no_child_left(seconds=10):
    until = time.monotonic() + seconds
    while multiprocessing.active_children() and time.monotonic() < until:
        time.sleep(0.05)
    return not multiprocessing.active_children()


def test_layers_follow_from_the_seed_and_their_number(photos):
    stream, other = (LayerStream(Photographs(photos), SIDE, (7, 0)) for _ in range(2))
    forwards, backwards = [stream[n] for n in range(6)], [other[n] for n in reversed(range(6))][::-1]
    np.testing.assert_array_equal(forwards, backwards)
    resumed = LayerStream(Photographs(photos), SIDE, (7, 300))
    assert all(not np.array_equal(layers, resumed[n]) for n, layers in enumerate(forwards))


def test_a_photograph_that_cannot_be_read_is_skipped_and_named_once(photos, caplog):
    source = Photographs(photos)
    broken(source.pictures[source.with_masks[0]])
    stream = LayerStream(source, SIDE, (0, 0))
    with caplog.at_level(logging.WARNING):
        assert all(stream[number].shape == (10, SIDE, SIDE) for number in range(40))
    skipped = [message for message in caplog.messages if message.startswith("Skipped")]
    assert len(skipped) == 1 and source.pictures[source.with_masks[0]].name in skipped[0]


@devices
def test_the_oldest_layers_are_replaced_by_new_ones(folder_of_photos, device):
    stream = LayerStream(Photographs(folder_of_photos), SIDE, (3, 0))
    made = [stream[number].tobytes() for number in range(4 * 16)]
    with open_pool(Photographs(folder_of_photos), 20, device, seed=3) as pool:
        seen = {}
        while pool.made < 40:
            pool.batch(2, SIDE, 0.0)
            seen[pool.made] = [layers.tobytes() for layers in pool._layers.cpu().numpy()]
            time.sleep(0.01)
    # chunks of 16, of which those at the end of the pool lose what has no room: 16, 4, 16, 4
    first, second = made[:16] + made[16:20], made[32:48] + made[48:52]
    assert seen[min(seen)][:16] == first[:16] and seen[max(seen)][:16] != first[:16]
    if 20 in seen:
        assert seen[20] == first
    if 40 in seen:
        assert seen[40] == second
    assert no_child_left()


@devices
def test_batches_are_composites_of_the_size_asked_for(folder_of_photos, device):
    with open_pool(Photographs(folder_of_photos), 5, device) as pool:
        for size in (SIDE, 16):
            composite, mask, real = pool.batch(3, size, 0.0)
            assert composite.device.type == mask.device.type == real.device.type == device
            assert composite.shape == real.shape == (3, 3, size, size) and mask.shape == (3, 1, size, size)
            outside = (mask == 0).expand_as(real)
            assert torch.equal(composite[outside], real[outside]) and not torch.equal(composite, real)
            assert composite.min() >= -1 and composite.max() <= 1 and set(mask.unique().tolist()) == {0, 1}


class FailingStream(LayerStream):
    def __getitem__(self, number):
        raise KeyError("colour")


def test_an_error_in_a_worker_is_told_in_a_sentence(folder_of_photos):
    stream = FailingStream(Photographs(folder_of_photos), SIDE, (0, 0))
    with closing(LayerPool(stream, 8, 1, torch.Generator())) as pool:
        with pytest.raises(RuntimeError) as error:
            pool.batch(1, SIDE, 0.0)
    assert str(error.value) == "A process that takes photographs apart failed: KeyError: 'colour'."
    assert no_child_left()


def test_photographs_that_all_cannot_be_read_end_the_run(pooled, photos, tmp_path):
    for path in (photos / "images").iterdir():
        broken(path)
    options = replace(pooled, data=str(photos), validation_pairs=0)
    with pytest.raises(RuntimeError, match="of 100 photographs in a row none could be read"):
        train(options, tmp_path / "run")
    assert no_child_left()


def test_a_run_with_a_pool_trains_and_goes_on_from_its_checkpoint(pooled, tmp_path):
    assert train(replace(pooled, steps=6), tmp_path / "run")
    before, parts = checkpoint(tmp_path / "run")
    assert (before.step, before.skipped) == (6, 0) and no_child_left()
    assert train(replace(pooled, steps=9), tmp_path / "run", resume=True)
    after, others = checkpoint(tmp_path / "run")
    assert (after.step, after.skipped) == (9, 0) and after.position > before.position
    assert not torch.equal(flat(parts["network"])["/head.weight"], flat(others["network"])["/head.weight"])
    assert no_child_left()


def test_a_run_with_a_pool_can_be_stopped(pooled, tmp_path, monkeypatch):
    monkeypatch.setattr(loop.Interruption, "requested", property(lambda _: True, lambda *_: None), raising=False)
    assert not train(pooled, tmp_path / "run")
    assert checkpoint(tmp_path / "run")[0].step == 1
    assert no_child_left()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"workers": 0}, "set workers to at least 1"),
        ({"pool": 10**15}, "pool=1000000000000000 needs .* GiB on the device"),
    ],
)
def test_a_pool_that_cannot_be_is_told_with_what_to_do(pooled, tmp_path, change, said):
    with pytest.raises(ValueError, match=said):
        train(replace(pooled, validation_pairs=0, **change), tmp_path / "run")


def test_a_pool_needs_photographs_and_one_process(pooled, iharmony4, folder_of_photos):
    with pytest.raises(ValueError, match="photographs with masks"):
        layer_pool.photographs_for_pool(pooled, loop.training_source(replace(pooled, data=str(iharmony4))), 1)
    with pytest.raises(ValueError, match="one training process"):
        layer_pool.photographs_for_pool(pooled, Photographs(folder_of_photos), 2)


def test_the_configuration_for_a_gpu_runs_in_small(small, tmp_path):
    options = load_options("gpu", ["steps=3", "device=cpu", "validation_pairs=1"], data=small.data)
    assert [(stage.size, stage.batch) for stage in options.stages] == [((192,), 172), ((256,), 112), ((320,), 80)]
    tiny = {"pool": 6, "workers": 1, "base_channels": 6, "scene_context": 8, "semantic_context": 8}
    stages = tuple(Stage(stage.share, 32, 2) for stage in options.stages)
    assert train(replace(options, stages=stages, validation_size=32, **tiny), tmp_path / "run")


@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_the_encoder_learns_at_its_own_rate(small, tmp_path, monkeypatch, rate):
    options = replace(small, semantic_context=8, encoder_rate=rate, validation_pairs=0, learning_rate=1e-2)
    trainer = loop.Trainer(options, tmp_path / "run", False)
    named = dict(trainer.network.named_parameters())
    # Adam's first step is as long as the learning rate, whatever the gradient
    monkeypatch.setattr(loop, "training_loss", lambda *_: sum(each.sum() for each in named.values()))
    before = {name: value.detach().clone() for name, value in named.items()}
    with closing(trainer.batches) as batches, trainer.writer:
        trainer._step(batches)
    for name, value in named.items():
        expected = 1e-2 * (rate if name.startswith("semantic_context.encoder.") else 1.0)
        assert float((before[name] - value).detach().mean()) == pytest.approx(expected, rel=0.01, abs=1e-8), name
