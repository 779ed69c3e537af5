"""How training ends when somebody else ends it, and what a full disk leaves of a file."""

import contextlib
import errno
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from harmonize_composite.cli import main
from harmonize_composite.training.loop.checkpoint import load_checkpoint
from harmonize_composite.weights import catalogue
from runs import write_small_photographs

pytestmark = pytest.mark.skipif(os.name != "posix", reason="process groups and SIGKILL are POSIX's")
READERS = 2


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_small_photographs(tmp_path_factory.mktemp("data") / "photos")


@contextlib.contextmanager
def training(photos, folder):
    """A run of the command line in a process group of its own, with its readers at work: the process, the readers."""
    options = "device=cpu", f"workers={READERS}", "steps=100000", "stages=[{size=32, batch=2}]", "validation_pairs=0"
    command = "import sys; from harmonize_composite.cli import main; sys.exit(main())"
    with subprocess.Popen(
        [sys.executable, "-c", command, "train", "--data", photos, "--out", folder, "--set", *options],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process, wait_for(lambda: readers_at_work(process.pid), "readers")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def readers_at_work(pid):
    readers = psutil.Process(pid).children()
    return readers if len(readers) == READERS and all(each.cpu_times().user > 0.1 for each in readers) else None


def wait_for(happens, what, seconds=60):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if result := happens():
            return result
        time.sleep(0.1)
    pytest.fail(f"no {what} within {seconds} s")


def test_sigterm_to_the_whole_group_writes_a_checkpoint(photos, tmp_path):
    """As service managers and clusters send it: the reading processes get it as well."""
    with training(photos, tmp_path / "run") as (process, _):
        os.killpg(process.pid, signal.SIGTERM)
        out, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "go on with: harmonize train --resume" in out
    assert load_checkpoint(tmp_path / "run" / "checkpoint.pt")[0].step > 0


def test_readers_end_when_their_training_is_killed(photos, tmp_path):
    with training(photos, tmp_path / "run") as (process, readers):
        process.kill()
        process.wait(10)
        gone, left = psutil.wait_procs(readers, timeout=3)  # without a watch of theirs, torch's takes 5 s and more
        assert len(gone) == READERS and not left


def test_fewer_steps_than_are_done_are_refused_and_as_many_are_complete(photos, tmp_path, capsys):
    folder = str(tmp_path / "run")
    options = "device=cpu", "workers=0", "stages=[{size=32, batch=2}]", "validation_pairs=0"
    assert main(["train", "--data", str(photos), "--out", folder, "--set", "steps=3", *options]) == 0
    assert main(["train", "--resume", folder, "--set", "steps=2"]) == 2
    assert "has done 3 steps already, more than the 2" in capsys.readouterr().err
    assert main(["train", "--resume", folder]) == 0
    assert "Done" in capsys.readouterr().out


# A full disk


@pytest.fixture
def full_disk(monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "some/temporary/name")

    monkeypatch.setattr(os, "fsync", full)
    monkeypatch.setattr("shutil.copyfile", full)


@pytest.mark.parametrize(
    ("command", "target"),
    [("weights export hdnet-lite", "x.pth"), ("weights package hdnet-lite", "repository")],
)
def test_a_full_disk_is_named_with_the_file_that_was_asked_for(full_disk, tmp_path, capsys, command, target):
    before = {}
    if target.endswith(".pth"):
        (tmp_path / target).write_bytes(b"old")
        before = {tmp_path / target: b"old"}
    assert main([*command.split(), str(tmp_path / target)]) == 1
    assert capsys.readouterr().err == f"harmonize: {tmp_path / target}: No space left on device.\n"
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
def test_what_torch_writes_to_a_full_device_fails_with_the_systems_reason(tmp_path, capsys, monkeypatch):
    import harmonize_composite.files.atomic as atomic

    monkeypatch.setattr(atomic, "open", lambda _, mode: open("/dev/full", mode), raising=False)
    assert main(["weights", "export", str(catalogue.CATALOGUE["hdnet-lite"].path), str(tmp_path / "x.pth")]) == 1
    assert "No space left on device" in capsys.readouterr().err


def test_a_full_disk_ends_training_in_a_sentence(full_disk, photos, tmp_path, capsys):
    options = "device=cpu", "workers=0", "stages=[{size=32, batch=2}]", "validation_pairs=0", "steps=3"
    assert main(["train", "--data", str(photos), "--out", str(tmp_path / "run"), "--set", *options]) == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("harmonize: ") and "No space left on device" in last and "Errno" not in last
