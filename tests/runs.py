"""Training runs for tests: a small network on small photographs, in processes of their own where they are to die."""

import contextlib
import multiprocessing
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from harmonize_composite.cli import main
from harmonize_composite.training.loop import train as loop
from harmonize_composite.training.loop.checkpoint import load_checkpoint
from harmonize_composite.training.loop.options import Options, Stage
from harmonize_composite.training.loop.train import train
from harmonize_composite.weights import load_network

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


def write_small_photographs(root):
    """Twelve photographs with a mask each, of 64x48 pixels."""
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
    step, save = loop.Trainer._step, loop.save_checkpoint

    def deadly_step(trainer, micro_batches):
        result = step(trainer, micro_batches)
        if at_step == trainer.progress.step:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    def deadly_save(*arguments, **parts):
        os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
        save(*arguments, **parts)

    loop.Trainer._step = deadly_step
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
    step = loop.Trainer._step

    def step_with_signal(trainer, micro_batches):
        if trainer.progress.step == at_step:
            os.kill(os.getpid(), number)
        return step(trainer, micro_batches)

    loop.Trainer._step = step_with_signal
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
