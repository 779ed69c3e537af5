"""What mkdocs adds to the pages of this folder: pages that stand elsewhere in the repository, and the command line's.

Everything is said once: help pages of the nodes, cards of weights, changelog and so on are shown from where they are.
"""

from __future__ import annotations

import argparse
import html
import importlib
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]

# pattern in the repository: folder of the site
SHOWN = {
    "web/docs/*.*": "nodes",
    "web/*.*": "web",
    "weights/*.md": "weights",
    "training/README.md": "training",
    "training/configs/*.toml": "training/configs",
    "example_workflows/*.jpg": "example_workflows",
    "CHANGELOG.md": "",
    "CONTRIBUTING.md": "",
}
ROLE = re.compile(r":(?:class|func|meth|mod|data|attr):<code>~?\.*(?:[\w.]+\.)?(\w+)</code>")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages and pictures that stand elsewhere, and the page of the command line."""
    for pattern, folder in SHOWN.items():
        for path in sorted(ROOT.glob(pattern)):
            files.append(File.generated(config, f"{folder}/{path.name}".lstrip("/"), abs_src_path=str(path)))
    files.append(File.generated(config, "command_line.md", content=command_line()))
    return files


def on_page_content(content: str, **_) -> str:
    """Shows the roles of Sphinx in docstrings as code."""
    return ROLE.sub(r"<code>\1</code>", content)


def command_line() -> str:
    """The page of the command line, made from the parsers."""
    from harmonize_composite.cli import COMMANDS

    page = [(ROOT / "docs" / "command_line_intro.txt").read_text(encoding="utf-8")]
    for name, summary in COMMANDS.items():
        parser = argparse.ArgumentParser(prog=f"harmonize {name}", description=f"{summary[0].upper()}{summary[1:]}.")
        importlib.import_module(f"harmonize_composite.cli.{name}").add_arguments(parser)
        page += _section(parser, "##")
    return "\n\n".join(page) + "\n"


def _section(parser: argparse.ArgumentParser, heading: str) -> list[str]:
    """Heading, description, usage, table of arguments and epilog of a command; then its sub-commands."""
    parts = [f"{heading} {parser.prog}", _escape(parser.description or "")]
    commands = {}
    rows = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            commands = action.choices
        elif not isinstance(action, argparse._HelpAction):
            rows.append(f"| {_names(action)} | {_meaning(action, parser)} |")
    if not commands:
        parts.append(f"```\n{_usage(parser)}\n```")
    if rows:
        parts.append("\n".join(["| argument | meaning |", "|---|---|", *rows]))
    if parser.epilog:
        verbatim = parser.formatter_class is argparse.RawDescriptionHelpFormatter
        text = parser.epilog.replace("%%", "%")
        parts.append(f"```\n{text.strip()}\n```" if verbatim else _escape(text))
    for command in commands.values():
        parts += _section(command, heading + "#")
    return parts


def _usage(parser: argparse.ArgumentParser) -> str:
    parser.formatter_class, kept = lambda prog: argparse.HelpFormatter(prog, width=80), parser.formatter_class
    usage = parser.format_usage().removeprefix("usage: ").strip()
    parser.formatter_class = kept
    return re.sub(r"\n {7}", "\n", usage)


def _names(action: argparse.Action) -> str:
    value = "" if action.nargs == 0 else action.metavar or "|".join(map(str, action.choices or ()))
    names = [f"{name} {value}".strip() for name in action.option_strings] or [value or action.dest]
    # a bar would end the cell of the table, in code as well
    return ", ".join(f"<code>{html.escape(name).replace('|', '&#124;')}</code>" for name in names)


def _meaning(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    text = (action.help or "") % {**vars(action), "prog": parser.prog}
    text = _escape(f"{text[:1].upper()}{text[1:]}").replace("|", "&#124;")
    required = " **Required.**" if action.required and action.option_strings else ""
    return f"{text.removesuffix('.')}.{required}"


def _escape(text: str) -> str:
    """What Markdown would take for markup is shown as it is."""
    return re.sub(r"([<>*_\[\]])", r"\\\1", text)
