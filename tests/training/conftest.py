"""Data sets and runs that several files of tests read."""

from dataclasses import replace

import pytest
from accelerate.state import AcceleratorState

from harmonize_composite.training.loop.train import train
from photographs import write_pair, write_photographs
from runs import SMALL, write_small_photographs


@pytest.fixture
def photos(tmp_path):
    return write_photographs(tmp_path / "photos")


@pytest.fixture(scope="module")
def folder_of_photos(tmp_path_factory):
    """The same for tests that only read."""
    return write_photographs(tmp_path_factory.mktemp("data") / "photos")


@pytest.fixture
def iharmony4(tmp_path):
    """Two subsets, with lists as they are downloaded."""
    root = tmp_path / "iHarmony4"
    train = [write_pair(root, "HCOCO", f"c{n}_9", j=j) for n in range(6) for j in (1, 2)]
    train += [write_pair(root, "Hmine", f"x{n}") for n in range(4)]
    test = [write_pair(root, "HCOCO", "c77_9"), write_pair(root, "Hmine", "x77")]
    (root / "IHD_train.txt").write_text("\n".join(train) + "\n")
    (root / "IHD_test.txt").write_text("\n".join(test) + "\n")
    return root


@pytest.fixture(scope="session")
def small_photos(tmp_path_factory):
    return write_small_photographs(tmp_path_factory.mktemp("data") / "photos")


@pytest.fixture(scope="session")
def small(small_photos):
    """The options of a small run."""
    return replace(SMALL, data=str(small_photos))


@pytest.fixture(scope="session")
def uninterrupted(small, tmp_path_factory):
    """The folder of a small run that came to its end."""
    folder = tmp_path_factory.mktemp("runs") / "uninterrupted"
    assert train(small, folder)
    AcceleratorState._reset_state(reset_partial_state=True)
    return folder


@pytest.fixture(autouse=True)
def fresh_accelerator():
    """Accelerate keeps its settings for the life of a process; here, a process trains many times."""
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
