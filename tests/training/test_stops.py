"""Training that is told to end: the checkpoint is written, nothing stays behind."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no process groups of this kind")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos")
    for folder in ("images", "masks"):
        (root / folder).mkdir()
    for number in range(4):
        rng = np.random.default_rng(number)
        small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8))
        small.resize((48, 48), Image.Resampling.BICUBIC).save(root / "images" / f"{number}.png")
        mask = np.zeros((48, 48), np.uint8)
        mask[10:30, 10:30] = 255
        Image.fromarray(mask).save(root / "masks" / f"{number}.png")
    return root


def start(photos, out):
    options = ["steps=1000000", "stages=[{size=16,batch=2}]", "validation_pairs=0", "checkpoint_every=100000"]
    command = [
        sys.executable,
        "-m",
        "harmonize_composite.cli",
        "train",
        "--data",
        photos,
        "--out",
        out,
        "--set",
        *options,
    ]
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for _ in range(600):
        # the reader is the second process of the group
        if len(members(process.pid)) > 1 and list(out.glob("events*")):
            break
        time.sleep(0.2)
    time.sleep(2)
    return process


def members(group):
    listed = subprocess.run(["ps", "-eo", "pgid=,pid=,stat="], capture_output=True, text=True).stdout.splitlines()
    return [line.split()[1] for line in listed if line.split()[0] == str(group) and "Z" not in line.split()[2]]


def nobody_is_left(group, seconds=15):
    deadline = time.monotonic() + seconds
    while members(group) and time.monotonic() < deadline:
        time.sleep(0.2)
    return not members(group)


@pytest.mark.skipif(not os.path.exists("/bin/ps") and not os.path.exists("/usr/bin/ps"), reason="needs ps")
def test_a_signal_to_the_whole_group_leaves_a_checkpoint_and_nobody_behind(photos, tmp_path):
    process = start(photos, tmp_path / "run")
    os.killpg(process.pid, signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors.decode()
    assert (tmp_path / "run" / "checkpoint.pt").is_file()
    assert nobody_is_left(process.pid)
    resume = [sys.executable, "-m", "harmonize_composite.cli", "train", "--resume", tmp_path / "run"]
    options = tmp_path / "run" / "options.toml"
    options.write_text(options.read_text().replace("steps = 1000000", "steps = 1"))
    done = subprocess.run(resume, capture_output=True, text=True)
    assert done.returncode == 2 and "more than the 1" in done.stderr


@pytest.mark.skipif(not os.path.exists("/bin/ps") and not os.path.exists("/usr/bin/ps"), reason="needs ps")
def test_readers_of_a_training_that_was_killed_end(photos, tmp_path):
    process = start(photos, tmp_path / "run")
    assert len(members(process.pid)) > 1
    process.kill()
    process.communicate(timeout=30)
    assert nobody_is_left(process.pid)
