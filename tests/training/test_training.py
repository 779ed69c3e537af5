"""Training: tests that really train, a small network on small photographs."""

import os
import platform
import resource
import socket
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from accelerate.state import AcceleratorState
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from harmonize_composite.cli import main
from harmonize_composite.hdnet import HDNet, HDNetConfig
from harmonize_composite.hdnet.network.initialisation import near_identity_
from harmonize_composite.training.data.pairs import collate, open_source
from harmonize_composite.training.data.synthesize import synthesize
from harmonize_composite.training.loop.cpu import exact_on_cpu
from harmonize_composite.training.loop.initial_network import initial_network
from harmonize_composite.training.loop.objective import blend, foreground_mse
from harmonize_composite.training.loop.options import Stage, load_options
from harmonize_composite.training.loop.train import train
from harmonize_composite.weights import load_network, read_metadata, save_network
from runs import checkpoint, end_of, largest_difference, start, train_as


def test_a_run_leaves_weights_a_checkpoint_its_options_and_figures(small, uninterrupted):
    assert load_options(str(uninterrupted / "options.toml")) == small
    for name in ("weights.safetensors", "best.safetensors"):
        assert load_network(uninterrupted / name).config == HDNetConfig(base_channels=4)
    facts = read_metadata(uninterrupted / "weights.safetensors")
    assert "12 steps, 40 pictures seen, sizes 32, 48" in facts["training"]
    assert facts["training_data"].startswith("photos, ") and "fMSE" in facts["figures"]
    assert str(uninterrupted.parent) not in str(facts)
    progress, parts = checkpoint(uninterrupted)
    assert (progress.step, progress.position, progress.skipped) == (12, 40, 0)
    assert {"network", "average", "optimizer", "scaler", "random"} <= parts.keys()
    assert not [path for path in uninterrupted.iterdir() if path.name.startswith(".")]


def test_tensorboard_shows_scalars_and_pictures(uninterrupted):
    events = EventAccumulator(str(uninterrupted), size_guidance={"images": 0}).Reload()
    assert [event.step for event in events.Scalars("training/loss")] == [2, 4, 6, 8, 10, 12]
    assert [event.step for event in events.Scalars("validation/fmse")] == [0, 6, 12]
    assert all(event.value > 0 for event in events.Scalars("training/pictures_per_second"))
    pictures = events.Images(events.Tags()["images"][0])
    assert [(picture.step, picture.width, picture.height) for picture in pictures] == [
        (step, 4 * 32, 2 * 32) for step in (0, 6, 12)
    ]


def test_the_written_weights_are_the_moving_average(small, uninterrupted):
    _, parts = checkpoint(uninterrupted)
    written = load_network(uninterrupted / "weights.safetensors").state_dict()
    assert largest_difference(parts["average"], written) == 0
    assert largest_difference(parts["network"], written) > 0


def test_a_network_learns_the_pairs_it_is_shown(small, small_photos, tmp_path):
    pairs = tmp_path / "pairs"
    synthesize(small_photos, pairs, 8, size=32, split="train", workers=1)
    source = open_source(pairs, "train")
    batch = collate([source.whole(index, None, 32) for index in range(len(source))])
    composite, mask, real = batch

    @torch.no_grad()
    def error(network):
        return foreground_mse(blend(network(composite, mask), composite, mask), real, mask)

    options = replace(
        small,
        data=str(pairs),
        base_channels=8,
        init="near-identity",
        steps=50,
        stages=(Stage(1, 32, 4),),
        learning_rate=4e-3,
        ema=0.8,
        crop=0.0,
        mask_jitter=0.0,
        validation_pairs=0,
        checkpoint_every=50,
    )
    train(options, tmp_path / "run")
    assert error(load_network(tmp_path / "run" / "weights.safetensors")) < 0.3 * error(initial_network(options))


@pytest.mark.parametrize("name", ["paper", "ours"])
def test_every_shipped_configuration_runs(name, small, tmp_path):
    options = load_options(name, ["steps=3", "device=cpu", "validation_pairs=1"], data=small.data)
    stages = tuple(replace(stage, size=32) for stage in options.stages)
    assert train(replace(options, stages=stages, base_channels=6, validation_size=32), tmp_path / "run")
    assert checkpoint(tmp_path / "run")[0].step == 3


def test_bf16_and_other_memory_formats_train_too(small, uninterrupted, tmp_path):
    wanted = checkpoint(uninterrupted)[1]["network"]
    changes = {"bf16": ({"precision": "bf16"}, 1e-7, 0.02), "planes": ({"channels_last": False}, 0, 1e-5)}
    for name, (change, least, most) in changes.items():
        AcceleratorState._reset_state(reset_partial_state=True)
        assert train(replace(small, **change), tmp_path / name)
        assert least <= largest_difference(checkpoint(tmp_path / name)[1]["network"], wanted) <= most
    with pytest.raises(ValueError, match="fp16 needs a GPU"):
        AcceleratorState._reset_state(reset_partial_state=True)
        train(replace(small, precision="fp16"), tmp_path / "fp16")


# Many processes


def test_two_processes_with_half_the_batch_match_one_with_all_of_it(small, tmp_path):
    # Higher rates let float32's rounding grow: a nearest neighbour changes, and Adam acts on the smallest gradient.
    options = replace(small, steps=20, stages=(Stage(1, 32, 4),), learning_rate=1e-4, checkpoint_every=20)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pair = [start(train_as, process, 2, port, options, tmp_path / "two") for process in range(2)]
    train(options, tmp_path / "one")
    train(replace(options, accumulate=2), tmp_path / "accumulated")
    assert [end_of(process) for process in pair] == [0, 0]
    progress, alone = checkpoint(tmp_path / "one")
    assert largest_difference(alone["network"], initial_network(options).state_dict()) > 1e-3
    for name in ("two", "accumulated"):
        same, parts = checkpoint(tmp_path / name)
        assert largest_difference(parts["network"], alone["network"]) < 1e-4
        assert largest_difference(parts["average"], alone["average"]) < 1e-4
        assert (same.step, same.position) == (progress.step, progress.position)
        assert same.fmse == pytest.approx(progress.fmse, rel=1e-3)


def test_accelerate_launch_joins_processes_on_a_machine_without_gpu(small_photos, tmp_path):
    settings = "steps=2 base_channels=8 stages=[{size=32,batch=4}] validation_pairs=0 workers=0".split()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    command += ["--main_process_port", str(port), "-m", "harmonize_composite.cli", "train", "--data", small_photos]
    command += ["--out", tmp_path / "run", "--set", *settings]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert "on 2 x cpu" in read_metadata(tmp_path / "run/weights.safetensors")["training"]


# Fine-tuning


@pytest.mark.parametrize("layout", ["photographs", "iHarmony4"])
def test_fine_tuning_begins_with_the_named_weights(layout, small, uninterrupted, small_photos, tmp_path):
    start_file = tmp_path / "start.safetensors"
    network = HDNet(HDNetConfig(base_channels=6, neighbours=3))
    near_identity_(network)
    save_network(network, start_file)
    data = small_photos
    if layout == "iHarmony4":
        data = tmp_path / "pairs"
        synthesize(small_photos, data, 8, size=48, workers=1)
    command = ["train", "--config", str(uninterrupted / "options.toml"), "--data", str(data), "--init", str(start_file)]
    for steps, rate in ((1, 0), (4, 0.001)):
        out = tmp_path / f"run-{steps}"
        changes = [f"steps={steps}", f"learning_rate={rate}", "validation_pairs=1", "base_channels=0"]
        assert main([*command, "--out", str(out), "--set", *changes]) == 0
    unmoved, moved = (load_network(tmp_path / f"run-{steps}" / "weights.safetensors") for steps in (1, 4))
    assert unmoved.config == moved.config == network.config
    assert largest_difference(unmoved.state_dict(), network.state_dict()) == 0
    assert checkpoint(tmp_path / "run-1")[0].best == checkpoint(tmp_path / "run-1")[0].fmse
    assert largest_difference(moved.state_dict(), network.state_dict()) > 0


def test_a_resumption_does_without_the_weights_it_began_from(small, tmp_path):
    start_file, folder = tmp_path / "start.safetensors", tmp_path / "run"
    save_network(HDNet(HDNetConfig(base_channels=4)), start_file)
    options = replace(small, base_channels=0, init=str(start_file), steps=3, validation_pairs=0)
    train(options, folder)
    start_file.unlink()
    assert train(replace(options, steps=6), folder, resume=True)
    assert checkpoint(folder)[0].step == 6


def test_the_shipped_weights_can_be_tuned(small, tmp_path):
    options = replace(small, base_channels=0, init="hdnet-lite", steps=1, learning_rate=0.0)
    assert train(options, tmp_path / "run")
    shipped, tuned = load_network("hdnet-lite"), load_network(tmp_path / "run" / "weights.safetensors")
    assert largest_difference(shipped.state_dict(), tuned.state_dict()) == 0
    assert shipped.acting is not None and tuned.acting is None  # the rule was fitted to other weights


PRODUCTS = """
import torch
from harmonize_composite.training.loop.cpu import exact_on_cpu

def placed(factor, offset):
    memory = torch.empty(factor.numel() + 32)
    start = -memory.data_ptr() // 4 % 16 + offset
    return memory[start : start + factor.numel()].view_as(factor).copy_(factor)

torch.set_num_threads(1)
torch.manual_seed(0)
with exact_on_cpu():
    for rows, inner, columns in ((173, 178, 8), (86, 52, 11), (216, 186, 1)):
        one, other = torch.randn(rows, inner), torch.randn(columns, inner)
        expected = placed(one, 0) @ placed(other, 0).T
        for offset in (1, 4, 7, 9):
            assert torch.equal(placed(one, offset) @ placed(other, offset).T, expected), (rows, inner, columns)
            assert torch.equal(placed(one, 0) @ placed(other, offset).T, expected), (rows, inner, columns)
"""


def test_products_do_not_depend_on_where_in_memory_their_factors_lie():
    """In a process of its own: MKL must be told before its first product."""
    environment = {name: value for name, value in os.environ.items() if name != "MKL_CBWR"}
    result = subprocess.run([sys.executable, "-c", PRODUCTS], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_bad_input_is_one_line_and_exit_code_2(tmp_path, capsys):
    for arguments, message in {
        ("--out", "run"): "Say what to train on",
        ("--data", "nothing", "--out", "run"): "no such folder",
        ("--out", "run", "--set", "stepz=4"): "did you mean 'steps'",
        ("--data", "x", "--out", "run", "--init", "hdnet-light"): "no such folder",
    }.items():
        assert main(["train", *arguments]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1


def count_page_faults():
    """Exits with the number of thousand pages that five large temporaries cost."""
    with exact_on_cpu():
        for _ in range(4):
            torch.ones(2**24)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(5):
            torch.ones(2**24)  # 64 MiB, 16,384 pages
        os._exit((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // 1000)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc" or torch.cuda.is_available(), reason="glibc on a CPU")
def test_large_temporaries_are_not_paged_in_again_and_again():
    assert end_of(start(count_page_faults)) < 40  # of the 80 that coming back each time would cost
