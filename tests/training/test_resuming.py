"""Runs that are stopped or killed go on as if they had not been."""

import os
import random
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch

from harmonize_composite.cli import main
from harmonize_composite.training.loop.checkpoint import (
    CheckpointError,
    Progress,
    load_checkpoint,
    random_states,
    save_checkpoint,
    set_random_states,
)
from harmonize_composite.training.loop.train import train
from runs import assert_same_run, checkpoint, command_and_signal, end_of, start, train_and_die


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
