"""Folders on this machine and elsewhere do the same."""

import pickle
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ftp_server
import s3_server
from harmonize_composite.files.storage import Folder, is_address

NAMES = st.text(st.characters(exclude_characters="/\\\0:?#*", exclude_categories=["C", "Z"]), min_size=1, max_size=20)
NAMES = NAMES.filter(lambda name: not name.startswith("."))


@pytest.fixture(scope="module")
def s3():
    with s3_server.serving() as address:
        yield address


@pytest.fixture(params=["path", "file", "memory", "ftp", "s3"])
def folder(request, tmp_path):
    """An empty folder; elsewhere it need not exist before."""
    if request.param == "s3":
        yield Folder(f"{request.getfixturevalue('s3')}/{uuid.uuid4().hex}/a")
        return
    if request.param == "ftp":
        with ftp_server.serving(tmp_path) as address:
            yield Folder(f"{address}/some/folder")
        return
    name = f"{request.param}{uuid.uuid4().hex}"
    yield Folder(
        {"path": tmp_path / name, "file": f"file://{tmp_path}/{name}", "memory": f"memory://{name}/a"}[request.param]
    )


def test_what_is_written_is_there(folder, tmp_path):
    assert not folder.files() and folder.read("a") is None and not folder.has("a.txt")
    folder.write("b.txt", b"twelve bytes")
    folder.write("a.txt", b"")
    folder.write("a.txt", b"again")  # in place of the one before
    (folder / "inside").write("c.txt", b"c")
    assert folder.exists() and folder.has("a.txt") and not folder.has("inside")
    assert folder.files() == {"a.txt": 5, "b.txt": 12}
    assert folder.read("b.txt") == b"twelve bytes" and (folder / "inside").read("c.txt") == b"c"
    assert folder.fetched("a.txt", tmp_path / "copies").read_bytes() == b"again"
    assert not list(tmp_path.rglob("*.part"))


def test_a_file_made_here_is_sent(folder, tmp_path):
    place = folder.place_for("a.png", tmp_path / "aside")
    place.write_bytes(b"pixels")
    folder.send(place)
    assert folder.files() == {"a.png": 6} and folder.read("a.png") == b"pixels"
    assert folder.path is not None or not place.exists()


def test_what_is_not_there_is_named(folder, tmp_path):
    folder.write("a.txt", b"a")
    with pytest.raises(OSError) as error:
        folder.fetched("b.txt", tmp_path / "copies").read_bytes()
    assert "b.txt" in str(error.value)


def test_it_is_the_same_in_other_processes_and_threads(folder):
    folder.write("a.txt", b"a" * 100_000)
    other = pickle.loads(pickle.dumps(folder))
    assert other.is_same_as(folder) and not other.is_same_as(folder / "inside")
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: other.read("a.txt"), range(12))) == {b"a" * 100_000}


@given(
    names=st.sets(
        NAMES,
        max_size=5,
    ),
    content=st.binary(max_size=100),
)
def test_any_name_and_content(names, content):
    folder = Folder(f"memory://{uuid.uuid4().hex}")
    for name in names:
        folder.write(name, content)
    assert folder.files() == dict.fromkeys(sorted(names), len(content))


def test_a_reader_never_sees_a_part(tmp_path, monkeypatch):
    """A file grows under another name, and a machine that fails leaves what was there before."""
    import fsspec

    folder = Folder(f"memory://{uuid.uuid4().hex}")
    folder.write("a.txt", b"before")

    def fail(*_, **__):
        raise OSError("the machine is gone")

    monkeypatch.setattr(fsspec.get_filesystem_class("memory"), "mv", fail)
    with pytest.raises(OSError, match="gone.*a.txt"):
        folder.write("a.txt", b"after")
    assert folder.read("a.txt") == b"before"


def test_paths_and_addresses(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Folder("a").is_same_as(Folder(tmp_path / "a")) and Folder("a").is_same_as(Folder(f"file://{tmp_path}/a/"))
    assert not Folder("memory://a").is_same_as(Folder("a"))
    assert str(Folder("a") / "b") == str(Path("a/b")) and str(Folder("memory://a/") / "b") == "memory://a/b"
    assert is_address("s3://bucket/folder") and not is_address("C:\\folder")


@pytest.mark.parametrize("address", ["nothing://a/b", "s3nothing://"])
def test_an_unknown_kind_of_address_costs_one_sentence(address):
    with pytest.raises(ValueError, match=address) as error:
        Folder(address)
    assert "\n" not in str(error.value)


def test_what_an_address_needs_is_told_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(
        ValueError, match="gs://bucket/a: this address needs gcsfs; install it with: pip install gcsfs.$"
    ):
        Folder("gs://bucket/a")


def test_a_bucket_is_not_made_in_passing(s3):
    with pytest.raises(FileNotFoundError, match="there is no other-bucket"):
        Folder("s3://other-bucket/a").write("a.txt", b"a")
    assert not Folder("s3://other-bucket").exists()


def test_storage_that_does_not_answer_costs_one_sentence(monkeypatch):
    import fsspec

    def refuse(*_, **__):
        raise RuntimeError("Unable to locate\ncredentials")

    monkeypatch.setattr(fsspec.get_filesystem_class("memory"), "isdir", refuse)
    for use in (Folder.exists, Folder.files):
        with pytest.raises(OSError, match="Unable to locate credentials: 'memory://bucket/a'"):
            use(Folder("memory://bucket/a"))
