"""The command `harmonize`: parses, calls, prints.

Exit codes: 0 done, 1 failed at work, 2 bad input, 130 interrupted. Heavy modules are imported when a command runs.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import logging
import os
import sys
import warnings
from typing import NoReturn

from ..files.text import printable

PACKAGE = __package__
ROOT = PACKAGE.rpartition(".")[0]

# name: what it does; the module of that name is imported when its command is the one called
COMMANDS = {
    "image": "harmonize one picture",
    "folder": "harmonize a folder of pictures",
    "video": "harmonize a film",
    "app": "open a page in the browser that harmonizes pictures",
    "demo": "show what it does on a picture of its own",
    "weights": "list, inspect, convert, calibrate, fetch and package weights",
    "evaluate": "measure weights on pairs with ground truth",
    "train": "train weights",
    "synthesize": "make composites with ground truth from photographs",
    "prepare": "write a resized copy of a data set",
    "bench": "measure speed and memory",
}

EXTRAS = {"av": "video", "gradio": "app", "ray": "ray"}  # what brings a module; all others come with "train"


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: What stands behind ``harmonize``; the process's own by default.

    Returns:
        The exit code.
    """
    for stream in (sys.stdout, sys.stderr):  # what a code page lacks must not lose the rest
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, force=True)
    for handler in logging.root.handlers:
        handler.setFormatter(_OneLine("harmonize: %(message)s"))
    warnings.filterwarnings("ignore", message="Image size .* exceeds limit")  # up to the limit that raises
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        args = _parser(arguments).parse_args(arguments)
        code = args.run(args)
        if sys.stdout is not None:  # without a console, as under pythonw, there is none
            sys.stdout.flush()
        return code
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("harmonize: interrupted", file=sys.stderr)
        return 130
    except ModuleNotFoundError as error:
        return _say(_missing(error), 1)
    except (ValueError, OSError) as error:
        return _say(error, 1 if _is_machine_failure(error) else 2)
    except (RuntimeError, MemoryError) as error:
        return _say(error or "out of memory", 1)


class _OneLine(logging.Formatter):
    """A line for each message, without what a terminal would obey."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {printable(message)} (see {self.prog} --help)\n")


def _parser(arguments: list[str]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="harmonize",
        description="Make a pasted or inpainted foreground match its background.",
        epilog="'harmonize COMMAND --help' says more. Begin with 'harmonize demo -o demo'.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    chosen = next((each for each in arguments if not each.startswith("-")), None)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        if name == chosen:
            module = importlib.import_module(f".{name}", PACKAGE)
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    return parser


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from .. import __version__

        print(f"harmonize-composite {__version__}")
        parser.exit()


def sentence(error: object) -> str:
    """What an error says to people, in one line."""
    said = error
    if isinstance(error, OSError) and error.filename:
        said = f"{error.filename}: {error.strerror}."
    elif isinstance(error, OSError) and error.strerror:  # a sentence of ours; str() would put a number before it
        said = error.strerror
    return printable(said) or type(error).__name__


def _say(error: object, code: int) -> int:
    print(f"harmonize: {sentence(error)}", file=sys.stderr)
    return code


def _missing(error: ModuleNotFoundError) -> str:
    if (error.name or "").startswith(ROOT):
        return f"this command is not part of this installation ({error.name} is missing)."
    extra = EXTRAS.get(error.name or "", "train")
    name = "PyAV" if error.name == "av" else error.name
    return f"this command needs {name}; install it with: pip install 'harmonize-composite[{extra}]'"


def _is_machine_failure(error: BaseException) -> bool:
    """Whether the machine failed, rather than what it was given."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EMFILE)
