"""Data sets that several files of tests read."""

import pytest

from photographs import write_pair, write_photographs


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
