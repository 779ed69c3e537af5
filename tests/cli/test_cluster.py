"""`--ray`: on the machines of a cluster the same comes out as on one, whatever fails on the way."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from command_line import names, run
from ftp_server import serving
from harmonize_composite.cli.cluster import BATCH, BATCH_BYTES, GONE, Cluster, batches, connected, on_cluster
from harmonize_composite.cli.folder_cluster import SETTINGS

ray = pytest.importorskip("ray")
cluster_utils = pytest.importorskip("ray.cluster_utils")


@pytest.fixture(scope="module")
def machines():
    """Two machines with a core each, as far as Ray can tell."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    machines = cluster_utils.Cluster(True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    machines.add_node(num_cpus=1)
    yield machines
    machines.shutdown()


@pytest.fixture
def folder(tmp_path):
    """Twelve composites of different sizes with their masks."""
    random = np.random.default_rng(0)
    for name in ("composites", "masks"):
        (tmp_path / name).mkdir()
    for number in range(12):
        size = (48 + 4 * number, 40)
        colours = Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8)).resize(size)
        colours.save(tmp_path / "composites" / f"{number:02}.{'jpg' if number % 2 else 'png'}")
        mask = Image.new("L", size)
        mask.paste(255, (12, 10, 30, 30))
        mask.save(tmp_path / "masks" / f"{number:02}.png")
    return tmp_path


def harmonize(root, out, *options):
    return run("folder", f"{root}/composites", f"{root}/masks", "-o", f"{root}/{out}", *options)


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_same(one, other):
    found = contents(other)
    settings = [path for path in found if path.name == SETTINGS]
    assert len(settings) == 1 and found.pop(settings[0])
    assert found == contents(one)


def test_a_folder_is_the_same_as_on_one_machine_and_is_gone_on_with(folder, machines, capsys):
    (folder / "composites" / "broken.png").write_text("no picture")
    (folder / "masks" / "broken.png").write_bytes((folder / "masks" / "00.png").read_bytes())
    (folder / "composites" / "lonely.png").write_bytes((folder / "composites" / "00.png").read_bytes())
    assert harmonize(folder, "alone") == 1
    alone = capsys.readouterr()
    assert harmonize(folder, "out", "--ray", machines.address) == 1
    together = capsys.readouterr()
    assert_same(folder / "alone", folder / "out")
    assert together.out.replace("/out\n", "/alone\n") == alone.out
    assert together.err.splitlines()[-3:] == alone.err.splitlines()[-3:]
    assert "2 of 14 pictures failed" in alone.err

    (folder / "out" / "03.jpg").unlink()
    before = {path: path.stat().st_mtime_ns for path in (folder / "out").iterdir()}
    assert harmonize(folder, "out", "--ray", machines.address) == 1
    assert "12 of 14 pictures written" in (shown := capsys.readouterr().out) and "11 of them before" in shown
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert_same(folder / "alone", folder / "out")

    assert harmonize(folder, "out", "--ray", machines.address, "--strength", "0.5") == 2
    assert "made with other options" in capsys.readouterr().err
    assert_same(folder / "alone", folder / "out")


def test_folders_elsewhere(folder, machines, capsys):
    assert harmonize(folder, "alone") == 0
    with serving(folder) as address:
        assert harmonize(address, "out", "--ray", machines.address) == 0
        (folder / "composites" / "00.png").write_text("no picture")
        (folder / "out" / "00.png").unlink()
        assert harmonize(address, "out", "--ray", machines.address) == 1
    assert f"00.png: {address}/composites/00.png: this is not a picture" in capsys.readouterr().err
    (folder / "alone" / "00.png").unlink()
    assert_same(folder / "alone", folder / "out")


def test_a_machine_that_is_lost_takes_no_picture_along(folder, machines):
    assert harmonize(folder, "alone") == 0
    third = machines.add_node(num_cpus=1)

    def lose():
        while not list((folder / "out").glob("*.*g")):
            time.sleep(0.01)
        machines.remove_node(third, allow_graceful=False)

    losing = threading.Thread(target=lose)
    losing.start()
    try:
        assert harmonize(folder, "out", "--ray", machines.address, "--workers", 3) == 0
    finally:
        (folder / "out" / "so that the thread ends.jpg").touch()
        losing.join()
        (folder / "out" / "so that the thread ends.jpg").unlink()
    assert_same(folder / "alone", folder / "out")


def test_a_run_that_was_stopped_loses_and_repeats_nothing(folder, machines):
    assert harmonize(folder, "alone") == 0
    arguments = ["folder", folder / "composites", folder / "masks", "-o", folder / "out", "--ray", machines.address]
    stopped = subprocess.Popen(
        [sys.executable, "-m", "harmonize_composite.cli", *map(str, arguments), "--workers", "1"]
    )
    while not list(folder.glob("out/*.*g")):
        assert stopped.poll() is None
        time.sleep(0.01)
    stopped.send_signal(signal.SIGKILL)
    stopped.wait()
    time.sleep(1)  # the worker ends when it notices
    done = list(folder.glob("out/*.*g"))
    assert all(path.read_bytes() == (folder / "alone" / path.name).read_bytes() for path in done)
    times = [path.stat().st_mtime_ns for path in done]
    assert run(*arguments) == 0
    assert [path.stat().st_mtime_ns for path in done] == times
    for part in folder.glob("out/.*.part"):  # of what was at work
        part.unlink()
    assert_same(folder / "alone", folder / "out")


def test_workers_that_die_are_replaced_and_what_kills_every_worker_is_given_up(tmp_path, machines, monkeypatch):
    monkeypatch.setattr("harmonize_composite.cli.cluster.LIVES", 2)

    def start():
        import os
        import pathlib

        def work(batch):
            for item in batch:
                mark = pathlib.Path(tmp_path, f"tried {item}")
                tried = mark.exists()
                mark.touch()
                if item == 29 or (item == 5 and not tried):
                    os.kill(os.getpid(), 9)
                yield item, ValueError("broken") if item == 11 else None

        return work

    with connected(machines.address) as cluster:
        told = list(on_cluster(cluster, start, [list(range(begin, begin + 8)) for begin in range(0, 40, 8)]))
    assert sorted(item for item, _ in told) == list(range(40))
    failures = {item: str(error) for item, error in told if error is not None}
    assert failures == {11: "broken", 29: GONE}


def test_what_a_worker_cannot_load_ends_the_run_with_a_sentence(folder, machines, capsys):
    assert harmonize(folder, "out", "--ray", machines.address, "--weights", "nothing-like-this") == 2
    shown = capsys.readouterr()
    assert "nothing-like-this" in shown.err and shown.err.count("\n") == 1
    assert names(folder / "out") == [SETTINGS]


def test_composites_from_photographs_are_the_same(tmp_path, machines, capsys):
    random = np.random.default_rng(0)
    for name in ("images", "masks"):
        (tmp_path / "photos" / name).mkdir(parents=True)
    for number in range(12):
        colours = Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8)).resize((64, 48))
        colours.save(tmp_path / "photos" / "images" / f"{number}.jpg")
        mask = Image.new("L", (64, 48))
        mask.paste(255, (10, 10, 30 + number, 40))
        mask.save(tmp_path / "photos" / "masks" / f"{number}.png")
    (tmp_path / "photos" / "images" / "3.jpg").write_text("no picture")
    Image.new("L", (32, 48), 255).save(tmp_path / "photos" / "masks" / "5.png")  # not of its photograph's size
    given = ("--pairs", 30, "--size", 32)
    assert run("synthesize", tmp_path / "photos", tmp_path / "alone", *given) == 1
    alone = capsys.readouterr().err
    with serving(tmp_path) as address:
        assert run("synthesize", f"{address}/photos", f"{address}/far", *given, "--ray", machines.address) == 1
    shown = capsys.readouterr().err.replace(f"{address}/photos", str(tmp_path / "photos"))
    assert shown.splitlines()[-6:] == alone.splitlines()[-6:]
    assert contents(tmp_path / "far") == contents(tmp_path / "alone")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--ray", "127.0.0.1:1"], "no Ray cluster at this address"),
        (["--ray", "ray://127.0.0.1:10001"], "Ray Client is not supported"),
        (["--workers", "2"], "give --ray ADDRESS"),
        (["--threads", "2"], "give --ray ADDRESS"),
        (["--ray", "local", "--lut", "a.cube"], "leave --lut and --guides out"),
    ],
)
def test_wrong_options_cost_one_sentence(folder, capsys, options, words):
    assert harmonize(folder, "out", *options) == 2
    shown = capsys.readouterr()
    assert words in shown.err and shown.err.count("\n") == 1 and not shown.out
    assert not (folder / "out").exists()


def test_addresses_need_a_cluster(folder, capsys):
    assert run("folder", "memory://a", folder / "masks", "-o", folder / "out") == 2
    assert "memory://a: an address works with --ray only" in capsys.readouterr().err


def test_more_than_the_cluster_has(machines):
    with pytest.raises(ValueError, match="2 cores, enough for 1 workers of 2 threads"):
        with connected(machines.address, 2, 2):
            pass
    with connected(machines.address, None, 2, wants_gpu=True) as cluster:
        assert cluster == Cluster(1, 2, on_gpu=False)


@given(st.lists(st.integers(0, BATCH_BYTES * 2), max_size=200))
def test_batches_are_of_like_size(sizes):
    items = list(enumerate(sizes))
    cut = list(batches(items, lambda item: item[1]))
    assert [item for batch in cut for item in batch] == items
    for batch in cut:
        assert len(batch) <= BATCH
        assert len(batch) == 1 or sum(size for _, size in batch) <= BATCH_BYTES
    for one, other in zip(cut, cut[1:]):  # none could have been larger
        assert len(one) == BATCH or sum(size for _, size in one) + other[0][1] > BATCH_BYTES
