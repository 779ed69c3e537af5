"""What `harmonize bench` cannot do is told before it measures."""

import sys

import pytest

from harmonize_composite.cli import main


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--networks", "nothing"], "nothing"),
        (["--plot", "missing/a.png"], "the folder missing does not exist"),
        (["--report", "missing/a.json"], "the folder missing does not exist"),
        (["--threads", "99999999999999999999"], "at most 65536"),
        (["--sizes", "-4"], "--sizes"),
    ],
)
def test_wrong_arguments(tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    try:
        assert main(["bench", *arguments]) == 2
    except SystemExit as exit:
        assert exit.code == 2
    shown = capsys.readouterr()
    assert words in shown.err and shown.err.count("\n") == 1 and not shown.out


def test_a_plot_without_its_library(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["bench", "--plot", str(tmp_path / "a.png")]) == 1
    shown = capsys.readouterr()
    assert "this command needs matplotlib" in shown.err and not shown.out
