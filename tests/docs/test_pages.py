"""The pages of docs/ say what is there: commands, nodes, rooms and files."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

from harmonize_composite.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
NODES = json.loads((ROOT / "locales" / "en" / "nodeDefs.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def command_line():
    pytest.importorskip("mkdocs", reason="the extra docs is not installed")
    spec = importlib.util.spec_from_file_location("docs_hooks", ROOT / "docs" / "hooks.py")
    hooks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hooks)
    return hooks.command_line()


def test_the_page_of_the_command_line_has_every_command_and_sub_command(command_line):
    headings = re.findall(r"^#+ harmonize (.+)$", command_line, re.MULTILINE)
    assert [heading for heading in headings if " " not in heading] == list(COMMANDS)
    assert {"weights list", "weights convert", "weights fetch"} <= set(headings)


def test_an_option_is_shown_with_its_meaning_and_default(command_line):
    row = next(line for line in command_line.splitlines() if line.startswith("| <code>--weights W</code> |"))
    assert "(default: hdnet-lite-semantic)" in row
    assert "| <code>--resolution N&#124;native</code> |" in command_line
    assert "%(" not in command_line


@pytest.mark.parametrize("node", NODES)
def test_every_node_is_in_the_menu_and_in_the_changelog(node):
    name = NODES[node]["display_name"]
    assert f"{name}: nodes/{node}.md" in (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert name in " ".join((ROOT / "CHANGELOG.md").read_text(encoding="utf-8").split())


def test_the_page_of_the_architecture_names_files_that_exist():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:hdnet|weights|files|training|nodes)/[\w/]+\.py)`", text)
    assert len(named) > 8
    assert [path for path in named if not (ROOT / path).is_file()] == []
    sample = (ROOT / "docs" / "a_samples_way.md").read_text(encoding="utf-8")
    assert [path for path in re.findall(r"`([\w/]+\.py)`", sample) if not (ROOT / path).is_file()] == []


def test_the_version_is_that_of_pyproject_in_a_checkout_under_any_name(tmp_path):
    # as ComfyUI loads it, where the pack was never installed by pip
    pack = tmp_path / "harmonize-composite"
    pack.mkdir()
    (pack / "__init__.py").write_bytes((ROOT / "__init__.py").read_bytes())
    (pack / "pyproject.toml").write_text('[project]\nname = "harmonize-composite"\nversion = "7.8.9"\n')
    spec = importlib.util.spec_from_file_location(str(pack), pack / "__init__.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.__version__ == "7.8.9"
    assert not hasattr(module, "NODE_CLASS_MAPPINGS")
