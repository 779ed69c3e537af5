"""Calls of the command line, and what it wrote."""

import numpy as np
from PIL import Image

from harmonize_composite.cli import main


def listing(folder):
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def run(*arguments):
    """The exit code, whether argparse or the command gave it."""
    try:
        return main([str(each) for each in arguments])
    except SystemExit as exit:
        return exit.code


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def names(path):
    return sorted(each.name for each in path.iterdir())
