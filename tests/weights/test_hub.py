"""Weights from the Hub: its own client, in a process of its own, against a server on this machine."""

import hashlib
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from harmonize_composite.weights import WeightsError, catalogue, load_network
from harmonize_composite.weights.hub import HubFile, fetch
from hub_server import COMMIT, hub

WEIGHTS = catalogue.CATALOGUE["hdnet-lite"].path.read_bytes()
REPO = "someone/hdnet-weights"

WITHOUT_PAUSES = "import sys, time; time.sleep = lambda _: None\n"  # between the client's attempts
COMMAND = "from harmonize_composite.cli import main; sys.exit(main())"


@pytest.fixture
def server():
    with hub(REPO, {"model.safetensors": WEIGHTS, "more/lite.safetensors": WEIGHTS}) as running:
        yield running


@pytest.fixture
def run(server, tmp_path):
    """Runs `harmonize weights …` against the server and returns exit code, stdout and the last line of stderr."""

    def run(*arguments, script=COMMAND, **settings):
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))}
        finished = subprocess.run(
            [sys.executable, "-c", WITHOUT_PAUSES + script, "weights", *map(str, arguments)],
            cwd=tmp_path,
            env={**inherited, "HF_ENDPOINT": server.address, "HF_HOME": str(tmp_path / "hf"), **settings},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert "Traceback" not in finished.stderr or script != COMMAND
        return finished.returncode, finished.stdout.strip(), (finished.stderr.strip().splitlines() or [""])[-1]

    return run


def files(folder):
    """Everything under a folder that is not the Hub client's own bookkeeping."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# --- what is there


def test_a_file_is_downloaded_once_and_loads(server, run, tmp_path):
    code, path, _ = run("fetch", f"hub:{REPO}")
    assert code == 0
    with open(path, "rb") as file:
        assert file.read() == WEIGHTS
    server.asked.clear()
    assert run("fetch", f"hub:{REPO}") == (0, path, "")
    assert server.asked == []
    assert load_network(path).config == load_network("hdnet-lite").config


def test_a_folder_keeps_the_file_under_a_readable_name_and_nothing_else(run, tmp_path):
    code, path, _ = run("fetch", f"hub:{REPO}/more/lite.safetensors@v1", "--folder", tmp_path / "models")
    assert code == 0
    assert path == str(tmp_path / "models" / "someone--hdnet-weights@v1" / "more" / "lite.safetensors")
    assert files(tmp_path / "models") == ["someone--hdnet-weights@v1/more/lite.safetensors"]


def test_a_commit_is_asked_for_as_it_was_named(server, run):
    assert run("fetch", f"hub:{REPO}@{COMMIT}")[0] == 0
    assert f"HEAD /{REPO}/resolve/{COMMIT}/model.safetensors" in server.asked


def test_a_token_goes_to_the_hub_but_to_nobody_else(server, run):
    assert run("fetch", f"hub:{REPO}", HF_TOKEN="hf_secret")[0] == 0
    resolve = f"HEAD /{REPO}/resolve/main/model.safetensors"
    assert resolve in server.trusted
    assert "GET /large/model.safetensors" in server.asked
    assert not any("/large/" in each for each in server.trusted)


@pytest.mark.parametrize("before", ["hub:", ""])
@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("https://huggingface.co/owner/repo", HubFile("owner/repo", "model.safetensors", None)),
        ("huggingface.co/owner/repo/", HubFile("owner/repo", "model.safetensors", None)),
        ("https://hf.co/owner/repo/tree/main", HubFile("owner/repo", "model.safetensors", None)),
        ("https://huggingface.co/owner/repo/tree/v1", HubFile("owner/repo", "model.safetensors", "v1")),
        ("https://huggingface.co/owner/repo/blob/main/a/b.safetensors", HubFile("owner/repo", "a/b.safetensors", None)),
        (
            "https://huggingface.co/o/r/resolve/refs%2Fpr%2F1/x.safetensors?download=true",
            HubFile("o/r", "x.safetensors", "refs/pr/1"),
        ),
    ],
)
def test_an_address_pasted_from_the_browser_is_understood(before, address, wanted):
    assert HubFile.parse(before + address) == wanted


@pytest.mark.parametrize(
    "address",
    [
        "https://huggingface.co/owner",
        "https://huggingface.co/datasets/owner/repo",
        "https://huggingface.co/owner/repo/blob/main/model.pth",
        "https://huggingface.co/owner/repo/tree/main/folder",
        "https://huggingface.co.example.org/owner/repo",
        "https://example.org/owner/repo/model.safetensors",
    ],
)
def test_other_addresses_are_refused(address):
    with pytest.raises(WeightsError, match="Hub address|only .safetensors"):
        load_network(address)


# --- what is not


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("hub:nobody/nothing", "no such repository"),
        (f"hub:{REPO}@v9", "no such revision"),
        (f"hub:{REPO}/other.safetensors", "no such file"),
    ],
)
def test_what_the_hub_has_not_is_said_in_one_sentence(run, tmp_path, source, words):
    code, out, error = run("fetch", source, "--folder", tmp_path / "models")
    assert (code, out) == (2, "")
    assert error.startswith(f"harmonize: {source}: ") and words in error
    assert files(tmp_path / "models") == []


@pytest.mark.parametrize("status", [403, 500, 503])
def test_a_hub_that_does_not_answer_leaves_advice(server, run, tmp_path, status):
    server.status = status
    code, _, error = run("fetch", f"hub:{REPO}", "--folder", tmp_path / "models")
    assert code == 2
    assert f"put {server.address}/{REPO}/resolve/main/model.safetensors into {tmp_path}" in error
    assert files(tmp_path / "models") == []


def test_no_hub_at_all(server, run, tmp_path):
    server.server_close()
    code, _, error = run("fetch", f"hub:{REPO}")
    assert code == 2
    assert "not on this machine, and the Hub cannot be asked" in error


def test_offline_uses_what_is_here_and_says_what_is_not(server, run, tmp_path):
    code, path, _ = run("fetch", f"hub:{REPO}")
    kept = run("fetch", f"hub:{REPO}", "--folder", tmp_path / "models")
    server.asked.clear()
    assert run("fetch", f"hub:{REPO}", HF_HUB_OFFLINE="1") == (0, path, "")
    assert run("fetch", f"hub:{REPO}", "--folder", tmp_path / "models", HF_HUB_OFFLINE="1")[:2] == kept[:2]
    code, out, error = run("fetch", f"hub:{REPO}/more/lite.safetensors", HF_HUB_OFFLINE="1")
    assert (code, out) == (2, "")
    assert "not on this machine" in error and "/resolve/main/more/lite.safetensors" in error
    assert server.asked == []


# --- what goes wrong on the way


@pytest.mark.parametrize("folder", [(), ("--folder", "models")])
def test_a_connection_cut_midway_leaves_no_file(server, run, tmp_path, folder):
    server.cuts = 1000
    code, out, error = run("fetch", f"hub:{REPO}", *folder)
    assert (code, out) == (2, "")
    assert "not to be had" in error
    assert f"({len(WEIGHTS):,} bytes, sha256 {hashlib.sha256(WEIGHTS).hexdigest()})" in error
    assert list(tmp_path.rglob("*.safetensors")) == []
    assert not folder or files(tmp_path / "models") == []
    server.cuts = 0
    assert run("fetch", f"hub:{REPO}", *folder)[0] == 0


def test_a_connection_cut_once_is_taken_up_again(server, run):
    server.cuts = 1
    code, path, _ = run("fetch", f"hub:{REPO}")
    assert code == 0
    with open(path, "rb") as file:
        assert file.read() == WEIGHTS


@pytest.mark.parametrize("folder", [(), ("--folder", "models")])
def test_a_file_with_another_digest_than_promised_is_removed(server, run, tmp_path, folder):
    server.promised["model.safetensors"] = "0" * 64
    code, out, error = run("fetch", f"hub:{REPO}", *folder)
    assert (code, out) == (2, "")
    assert "sha256" in error and "removed" in error
    assert not any(path.exists() for path in tmp_path.rglob("*.safetensors"))
    assert not folder or files(tmp_path / "models") == []
    server.promised.clear()
    assert run("fetch", f"hub:{REPO}", *folder)[0] == 0


def test_a_cached_file_that_was_damaged_is_downloaded_again(run):
    _, path, _ = run("fetch", f"hub:{REPO}")
    with open(path, "r+b") as file:
        file.truncate(1000)
    code, _, error = run("fetch", f"hub:{REPO}")
    assert code == 2 and "removed; try again" in error
    assert run("fetch", f"hub:{REPO}")[:2] == (0, path)


def test_a_pickle_under_the_name_of_safetensors_is_not_opened(server, run, tmp_path):
    server.files["model.safetensors"] = b"\x80\x02cposix\nsystem\nX\x0e\x00\x00\x00touch explodedq\x00\x85q\x01R."
    code, out, error = run("inspect", f"hub:{REPO}")
    assert (code, out) == (2, "")
    assert "pickled checkpoint" in error
    assert not (tmp_path / "exploded").exists()


def test_a_file_that_should_have_a_digest_is_checked(run, tmp_path):
    fetch = "from harmonize_composite.weights.hub import fetch; fetch({!r}, {!r}, sha256={!r})"
    code, _, error = run(script=fetch.format(f"hub:{REPO}", str(tmp_path / "models"), "1" * 64))
    assert code == 1
    assert "has not the sha256 111" in error
    assert files(tmp_path / "models") == []


def test_two_at_once_get_the_same_whole_file(run, tmp_path):
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda _: run("fetch", f"hub:{REPO}", "--folder", "models"), range(2)))
    assert results[0][:2] == results[1][:2]
    assert results[0][0] == 0
    assert files(tmp_path / "models") == ["someone--hdnet-weights/model.safetensors"]


# --- addresses


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("hub:a/b", HubFile("a/b", "model.safetensors", None)),
        ("hub:a/b@v1.0", HubFile("a/b", "model.safetensors", "v1.0")),
        ("hub:a/b@refs/pr/1", HubFile("a/b", "model.safetensors", "refs/pr/1")),
        ("hub:a-1/b.c_d/x.safetensors", HubFile("a-1/b.c_d", "x.safetensors", None)),
        ("hub:a/b/x/y.safetensors@main", HubFile("a/b", "x/y.safetensors", "main")),
    ],
)
def test_an_address_names_repository_file_and_revision(source, expected):
    assert HubFile.parse(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        "hub:",
        "hub:a",
        "hub:a/",
        "hub:/b",
        "hub:a/b@",
        "hub:a/b/x.pth",
        "hub:a/b/x.bin@v1",
        "hub:a/b/../x.safetensors",
        "hub:a/b//etc/x.safetensors",
        "hub:a/b/./x.safetensors",
        "hub:a b/c",
        "hub:a/b?x=1",
        "hub:../..",
        "hub:a/..",
        "hub:a--b/c",
        "hub:https://somewhere/a/b",
    ],
)
def test_what_is_no_address_of_safetensors_is_refused(source, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for folder in (None, tmp_path):
        with pytest.raises(WeightsError) as caught:
            fetch(source, folder)
        assert source in str(caught.value)
        assert files(tmp_path) == []


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://huggingface.co/owner/repo", ("owner/repo", "model.safetensors", None)),
        ("https://huggingface.co/owner/repo/tree/main", ("owner/repo", "model.safetensors", None)),
        ("https://huggingface.co/o/r/blob/main/a/b.safetensors", ("o/r", "a/b.safetensors", None)),
        ("hf.co/o/r/resolve/v1.2/b.safetensors?download=true", ("o/r", "b.safetensors", "v1.2")),
    ],
)
def test_addresses_of_the_browser_are_taken(address, expected):
    found = HubFile.parse(f"hub:{address}")
    assert (found.repo, found.file, found.revision) == expected


def test_without_a_network_it_is_given_up_soon_and_leaves_nothing(server, run, tmp_path):
    server.server_close()
    start = time.monotonic()
    code, _, error = run("fetch", f"hub:{REPO}", "--folder", tmp_path / "new" / "models")
    assert code == 2 and time.monotonic() - start < 10  # of which Python takes its part
    assert "HF_HUB_OFFLINE=1" in error and not (tmp_path / "new").exists()


def test_a_hub_that_never_answers_is_given_up_soon(monkeypatch, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        start = time.monotonic()
        with pytest.raises(WeightsError, match="out of reach"):
            fetch(f"hub:{REPO}", tmp_path / "models")
        assert time.monotonic() - start < 3.5
    assert not (tmp_path / "models").exists()
