"""Training: tests that really train, a small network on small photographs."""

import contextlib
import logging
import multiprocessing
import os
import platform
import random
import resource
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from harmonize_composite.cli import main
from harmonize_composite.files.training_images import PictureError
from harmonize_composite.hdnet import HDNet, HDNetConfig
from harmonize_composite.hdnet.network.initialisation import near_identity_
from harmonize_composite.training.data.pairs import collate, open_source
from harmonize_composite.training.data.synthesize import synthesize
from harmonize_composite.training.loop import train as loop
from harmonize_composite.training.loop.checkpoint import (
    CheckpointError,
    Progress,
    load_checkpoint,
    random_states,
    save_checkpoint,
    set_random_states,
)
from harmonize_composite.training.loop.cpu import exact_on_cpu
from harmonize_composite.training.loop.ema import update_average
from harmonize_composite.training.loop.initial_network import initial_network
from harmonize_composite.training.loop.objective import blend, foreground_mse
from harmonize_composite.training.loop.options import Options, Stage, load_options
from harmonize_composite.training.loop.train import TrainingError, train
from harmonize_composite.weights import load_network, read_metadata, save_network

torch.set_num_threads(1)

SMALL = Options(
    data="set by the fixture",
    base_channels=4,
    steps=12,
    stages=(Stage(2, 32, 4), Stage(1, (32, 48), 2, 0.5)),
    clip=1.0,
    ema=0.99,
    crop=1.0,
    flip=0.5,
    mask_jitter=0.2,
    loose_region=0.5,
    soft_edge=0.5,
    clean_rim=0.5,
    untouched=0.1,
    device="cpu",
    workers=0,
    validation_pairs=2,
    validation_size=32,
    validate_every=6,
    checkpoint_every=3,
    log_every=2,
)


def write_photographs(root):
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    rows, columns = np.mgrid[:48, :64]
    for number in range(12):
        rng = np.random.default_rng(number)
        grid = (rng.uniform(0.2, 0.8, 3) + rng.uniform(-0.2, 0.2, (4, 5, 3))) * 255
        picture = Image.fromarray(grid.clip(0, 255).astype(np.uint8)).resize((64, 48), Image.Resampling.BICUBIC)
        picture.save(root / f"images/shot_{number:02}.png")
        inside = np.hypot(columns - 20 - 2 * number, rows - 24) < 10 + number % 5
        Image.fromarray(inside).save(root / f"masks/shot_{number:02}.png")
    return root


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photographs(tmp_path_factory.mktemp("data") / "photos")


@pytest.fixture(scope="module")
def small(photos):
    return replace(SMALL, data=str(photos))


@pytest.fixture(autouse=True)
def fresh_accelerator():
    """Accelerate keeps its settings for the life of a process; here, a process trains many times."""
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


# Processes of their own: a server imports torch once, and every one is a fork of it.

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["harmonize_composite.training.loop.train"])


def start(function, *arguments):
    process = PROCESSES.Process(target=function, args=arguments)
    process.start()
    return process


def end_of(process):
    process.join(120)
    hangs = process.exitcode is None
    if hangs:
        process.kill()  # else pytest waits for it at its end
    assert not hangs, "it hangs"
    return process.exitcode


def train_and_die(options, folder, resume, at_step=None, while_writing=False):
    """Trains until SIGKILL: after `at_step` steps, or when a checkpoint is written but not yet in its place."""
    torch.set_num_threads(1)
    step, save = loop.Run._step, loop.save_checkpoint

    def deadly_step(run, parts):
        result = step(run, parts)
        if at_step == run.progress.step:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    def deadly_save(*arguments, **parts):
        os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
        save(*arguments, **parts)

    loop.Run._step = deadly_step
    if while_writing:
        loop.save_checkpoint = deadly_save
    train(options, folder, resume)


def train_as(process, processes, port, options, folder):
    torch.set_num_threads(1)
    os.environ.update(
        RANK=str(process),
        LOCAL_RANK=str(process),
        WORLD_SIZE=str(processes),
        LOCAL_WORLD_SIZE=str(processes),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
    )
    train(options, folder)


def command_and_signal(arguments, number, at_step, output):
    """Runs the command line and lets a signal arrive in step `at_step`."""
    torch.set_num_threads(1)
    step = loop.Run._step

    def step_with_signal(run, parts):
        if run.progress.step == at_step:
            os.kill(os.getpid(), number)
        return step(run, parts)

    loop.Run._step = step_with_signal
    with open(output, "w") as file, contextlib.redirect_stdout(file):
        code = main(arguments)
    os._exit(code)


def checkpoint(folder):
    return load_checkpoint(Path(folder) / "checkpoint.pt")


def assert_same_run(one, other):
    """Everything bit for bit, but for the time it took."""
    progress, parts = checkpoint(one)
    others_progress, others = checkpoint(other)
    assert replace(progress, seconds=0) == replace(others_progress, seconds=0)
    assert flat(parts, "random").keys() == flat(others, "random").keys()
    for name, value in flat(parts, "random").items():
        other_value = flat(others, "random")[name]
        same = torch.equal(value, other_value) if isinstance(value, torch.Tensor) else value == other_value
        assert same, name
    for name in ("weights.safetensors", "best.safetensors"):
        one_network, other_network = (load_network(Path(folder) / name) for folder in (one, other))
        assert largest_difference(one_network.state_dict(), other_network.state_dict()) == 0


def flat(tree, leave_out=None, prefix=""):
    if not isinstance(tree, (dict, list, tuple)):
        return {prefix: tree}
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    leaves = {}
    for key, value in items:
        if key != leave_out:
            leaves |= flat(value, prefix=f"{prefix}/{key}")
    return leaves


def largest_difference(state, other):
    assert state.keys() == other.keys()
    return max(float((state[name] - other[name]).abs().max()) for name in state)


# The objective


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), size=st.sampled_from([(64, 64), (128, 256), (256, 256)]), radius=st.integers(0, 60))
def test_the_objective_is_equation_1(seed, size, radius):
    rng = np.random.default_rng(seed)
    output, composite, real = rng.uniform(-1, 1, (3, 2, 3, *size))
    rows, columns = np.mgrid[: size[0], : size[1]]
    mask = np.stack([np.hypot(rows - 30, columns - 30) < r for r in (radius, 25)])[:, None].astype(float)
    losses = []
    for o, c, y, m in zip(output, composite, real, mask):
        predicted = np.where(m == 1, o, c)
        smallest = 100 * (size[0] * size[1]) / (256 * 256)
        losses.append(((predicted - y) ** 2).sum() / (3 * max(smallest, m.sum())))
    o, c, y, m = (torch.from_numpy(array).float() for array in (output, composite, real, mask))
    torch.testing.assert_close(foreground_mse(blend(o, c, m), y, m).double().item(), np.mean(losses), rtol=1e-4, atol=0)


def test_only_the_foreground_of_the_output_has_a_gradient():
    output = torch.zeros(1, 3, 16, 16, requires_grad=True)
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., 4:9, 4:9] = 1
    foreground_mse(blend(output, torch.rand(1, 3, 16, 16), mask), torch.ones(1, 3, 16, 16), mask).backward()
    assert torch.equal(output.grad != 0, mask.expand_as(output) == 1)


@pytest.mark.parametrize(("step", "decay"), [(1, 2 / 11), (90, 0.91), (91, 0.91), (10**6, 0.91)])
def test_the_moving_average_forgets_its_start_soon(step, decay):
    average, network = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    wanted = decay * average.weight + (1 - decay) * network.weight
    update_average(average, network, 0.91, step)
    torch.testing.assert_close(average.weight, wanted)


# A whole run


@pytest.fixture(scope="module")
def uninterrupted(small, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "uninterrupted"
    assert train(small, folder)
    return folder


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


def test_a_network_learns_the_pairs_it_is_shown(small, photos, tmp_path):
    pairs = tmp_path / "pairs"
    synthesize(photos, pairs, 8, size=32, split="train", workers=1)
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


# Stopped and resumed


def test_killed_at_random_steps_and_resumed_the_weights_are_those_of_the_uninterrupted_run(
    small, uninterrupted, tmp_path
):
    options, folder = replace(small, workers=1), tmp_path / "run"
    steps = sorted(random.sample(range(4, 12), 2))
    for at_step in steps:
        resume = (folder / "checkpoint.pt").exists()
        assert end_of(start(train_and_die, options, folder, resume, at_step)) == -signal.SIGKILL
        assert checkpoint(folder)[0].step == (at_step - 1) // 3 * 3, steps
    assert end_of(start(train_and_die, options, folder, True)) == 0
    assert_same_run(folder, uninterrupted)


def test_killed_while_a_checkpoint_is_written_the_one_before_is_intact(small, uninterrupted, tmp_path):
    folder = tmp_path / "run"
    assert end_of(start(train_and_die, small, folder, False, 4)) == -signal.SIGKILL
    before = (folder / "checkpoint.pt").read_bytes()
    assert end_of(start(train_and_die, small, folder, True, None, True)) == -signal.SIGKILL
    assert (folder / "checkpoint.pt").read_bytes() == before
    assert list(folder.glob(".*.part"))  # the part that was written
    assert train(small, folder, resume=True)
    assert not list(folder.glob(".*"))
    assert_same_run(folder, uninterrupted)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_writes_a_checkpoint_and_says_how_to_go_on(number, small, uninterrupted, tmp_path):
    folder = tmp_path / "run"
    (tmp_path / "small.toml").write_text((uninterrupted / "options.toml").read_text())
    arguments = ["train", "--config", str(tmp_path / "small.toml"), "--out", str(folder), "--set", "workers=1"]
    child = start(command_and_signal, arguments, number, 4, tmp_path / "said")
    assert end_of(child) == 130
    assert f"harmonize train --resume {folder}" in (tmp_path / "said").read_text()
    assert checkpoint(folder)[0].step == 5
    if number == signal.SIGINT:
        assert main(["train", "--resume", str(folder)]) == 0
        assert_same_run(folder, uninterrupted)


def test_a_folder_with_a_run_in_it_is_not_overwritten(small, uninterrupted, tmp_path, capsys):
    with pytest.raises(ValueError, match="there is a run here already"):
        train(small, uninterrupted)
    with pytest.raises(CheckpointError, match="there is no checkpoint here"):
        train(small, tmp_path, resume=True)
    assert main(["train", "--resume", str(tmp_path)]) == 2
    assert "there is no run in this folder" in capsys.readouterr().err


def test_a_checkpoint_of_another_network_is_told(small, uninterrupted):
    with pytest.raises(CheckpointError, match="does not fit the network"):
        train(replace(small, base_channels=5), uninterrupted, resume=True)


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"no" * 99])
def test_a_damaged_checkpoint_is_told(uninterrupted, tmp_path, damage):
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(damage((uninterrupted / "checkpoint.pt").read_bytes()))
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(path)


def test_a_checkpoint_runs_no_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "evil"),))

    torch.save({"format": 1, "progress": Evil()}, tmp_path / "checkpoint.pt")
    with pytest.raises(CheckpointError, match="damaged, or is not one"):
        load_checkpoint(tmp_path / "checkpoint.pt")
    assert not (tmp_path / "evil").exists()


def test_random_states_return_with_a_checkpoint(tmp_path):
    def draw():
        return torch.rand(3).tolist(), random.random(), np.random.rand(3).tolist()

    save_checkpoint(tmp_path / "checkpoint.pt", Progress(), random=random_states())
    drawn = draw()
    set_random_states(load_checkpoint(tmp_path / "checkpoint.pt")[1]["random"])
    assert draw() == drawn


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


def test_accelerate_launch_joins_processes_on_a_machine_without_gpu(photos, tmp_path):
    settings = "steps=2 base_channels=8 stages=[{size=32,batch=4}] validation_pairs=0 workers=0".split()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    command += ["--main_process_port", str(port), "-m", "harmonize_composite.cli", "train", "--data", photos]
    command += ["--out", tmp_path / "run", "--set", *settings]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert "on 2 x cpu" in read_metadata(tmp_path / "run/weights.safetensors")["training"]


# What can go wrong


@pytest.fixture
def spoiled(monkeypatch):
    """Makes the loss NaN in some steps."""

    def spoil(steps):
        calls = iter(range(10**6))

        def loss(harmonized, real, mask):
            good = foreground_mse(harmonized, real, mask)
            return good * float("nan") if next(calls) in steps else good

        monkeypatch.setattr(loop, "foreground_mse", loss)

    return spoil


def test_a_step_whose_gradient_is_not_finite_is_left_out(small, spoiled, tmp_path, caplog):
    spoiled({4})
    assert train(small, tmp_path / "run")
    progress, parts = checkpoint(tmp_path / "run")
    assert progress.skipped == 1 and progress.step == 12
    assert all(value.isfinite().all() for value in parts["network"].values())
    assert "Step 5 left out" in caplog.text


def test_a_loss_that_stays_nan_ends_the_run_and_the_last_good_checkpoint_is_intact(small, spoiled, tmp_path):
    spoiled(range(4, 100))
    with pytest.raises(TrainingError, match="10 steps in a row .* the checkpoint is intact: .*checkpoint.pt"):
        train(replace(small, steps=40), tmp_path / "run")
    _, parts = checkpoint(tmp_path / "run")
    assert all(value.isfinite().all() for value in parts["network"].values())
    load_network(tmp_path / "run" / "weights.safetensors")  # refuses what is not finite


def test_weights_that_are_not_finite_are_never_written(small, tmp_path):
    train(replace(small, steps=3, checkpoint_every=3), tmp_path / "run")
    before = (tmp_path / "run" / "checkpoint.pt").read_bytes()
    with pytest.raises(TrainingError, match="not finite|no longer finite"):
        train(replace(small, learning_rate=1e38, checkpoint_every=1), tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "checkpoint.pt").read_bytes() == before


def test_a_full_disk_ends_the_run_and_the_last_checkpoint_is_intact(small, tmp_path):
    folder = tmp_path / "run"
    train(replace(small, steps=3, validation_pairs=0), folder)
    before = (folder / "checkpoint.pt").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, hard))  # the system refuses the second half
    try:
        with pytest.raises(OSError, match="ends at step 6: .*/run cannot be written .* the checkpoint is intact"):
            train(replace(small, validation_pairs=0), folder, resume=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (folder / "checkpoint.pt").read_bytes() == before
    assert not list(folder.glob(".*"))


def cut_short(path):
    path.write_bytes(path.read_bytes()[:200])


def test_a_corrupt_picture_is_skipped_and_named(small, tmp_path, caplog):
    root = write_photographs(tmp_path / "photos")
    held_out = {path.name for path in open_source(root, "val").pictures}
    broken = next(path for path in sorted((root / "images").iterdir()) if path.name not in held_out)
    cut_short(broken)
    assert train(replace(small, data=str(root)), tmp_path / "run")
    assert f"Skipped: {broken}" in caplog.text
    assert checkpoint(tmp_path / "run")[0].step == 12


def test_a_corrupt_validation_picture_is_named_before_training_begins(small, tmp_path):
    root = write_photographs(tmp_path / "photos")
    for path in open_source(root, "val").pictures:
        cut_short(path)
    with pytest.raises(PictureError, match="photos/images/shot_.*(damaged|not a picture)"):
        train(replace(small, data=str(root)), tmp_path / "run")


def test_too_few_photographs_to_validate_on_are_told_with_what_to_do(small, tmp_path):
    root = write_photographs(tmp_path / "photos")
    for path in sorted((root / "images").iterdir())[1:]:
        path.unlink()
    with pytest.raises(ValueError, match="set validation_pairs=0"):
        train(replace(small, data=str(root)), tmp_path / "run")
    assert train(replace(small, data=str(root), validation_pairs=0, steps=2), tmp_path / "run")


# Fine-tuning


@pytest.mark.parametrize("layout", ["photographs", "iHarmony4"])
def test_fine_tuning_begins_with_the_named_weights(layout, small, uninterrupted, photos, tmp_path):
    start_file = tmp_path / "start.safetensors"
    network = HDNet(HDNetConfig(base_channels=6, neighbours=3))
    near_identity_(network)
    save_network(network, start_file)
    data = photos
    if layout == "iHarmony4":
        data = tmp_path / "pairs"
        synthesize(photos, data, 8, size=48, workers=1)
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


@pytest.fixture(autouse=True)
def quiet_again():
    root = logging.getLogger()
    before = root.handlers[:]
    yield
    root.handlers[:] = before
    logging.getLogger("harmonize_composite.training").setLevel(logging.NOTSET)


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
