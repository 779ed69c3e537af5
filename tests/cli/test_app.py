"""The command `harmonize app`: whom it serves, and what it says when it cannot."""

import argparse
import re
import socket
import sys
from pathlib import Path

import pytest

from command_line import run
from harmonize_composite import cli
from harmonize_composite.cli import app

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs" / "app.md").read_text(encoding="utf-8")


def parsed(*arguments):
    parser = argparse.ArgumentParser()
    app.add_arguments(parser)
    return parser.parse_args(arguments)


def test_it_is_for_this_machine_alone_unless_told_otherwise():
    assert parsed().host == "127.0.0.1"
    assert parsed("--host", "0.0.0.0").host == "0.0.0.0"


def test_without_gradio_one_sentence_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.delitem(sys.modules, "harmonize_composite.cli.app_page", raising=False)
    assert run("app") == 1
    said = capsys.readouterr().err
    assert said == "harmonize: this command needs gradio; install it with: pip install 'harmonize-composite[app]'\n"


def test_a_port_that_is_taken(capsys):
    pytest.importorskip("gradio", reason="the extra app is not installed")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run("app", "--port", port) == 2
    assert capsys.readouterr().err == f"harmonize: 127.0.0.1, port {port}: no page can be served there.\n"


def test_the_space_of_the_documents_serves_all_at_the_port_of_spaces(monkeypatch):
    calls = []
    monkeypatch.setattr(cli, "main", calls.append)
    (example,) = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    exec(compile(example, "app.py", "exec"), {})  # noqa: S102
    (command, *arguments) = calls[0]
    assert command == "app" and parsed(*arguments).host == "0.0.0.0" and parsed(*arguments).port == 7860
    (front,) = re.findall(r"```yaml\n---\n(.*?)---\n```", DOCUMENT, re.DOTALL)
    described = dict(line.split(": ", 1) for line in front.splitlines())
    assert described["sdk"] == "gradio" and described["app_file"] == "app.py"
    assert f"gradio=={described['sdk_version']}\n" in (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert len(described["short_description"]) <= 60  # more is refused
