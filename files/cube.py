"""Tables of colours as .cube files, which grading, compositing and painting programs read.

Adobe, "Cube LUT Specification 1.0" (2013).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from .atomic import write_whole
from .errors import PictureError

if TYPE_CHECKING:
    from torch import Tensor


def check_cube(path: Path) -> None:
    """Raises PictureError, before the work is done, where a .cube file cannot be written."""
    if path.suffix.lower() != ".cube":
        raise PictureError(f"{path}: the name of a LUT must end in .cube.")
    if not path.parent.is_dir():
        raise PictureError(f"{path}: the folder {path.parent} does not exist; make it first.")
    if path.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK):
        raise PictureError(f"{path}: this cannot be written; name another file.")


def save_cube(table: Tensor, path: str | Path, title: str = "") -> None:
    """Writes a table, whole or not at all.

    Args:
        table: ``[size, size, size, 3]``, indexed by blue, green and red, which runs fastest in the file too.
        path: Of the file.
        title: Shown by some programs; what is not plain ASCII is left out.
    """
    plain = "".join(each for each in title if " " <= each <= "~" and each != '"')
    lines = [f'TITLE "{plain}"', f"LUT_3D_SIZE {len(table)}", "DOMAIN_MIN 0 0 0", "DOMAIN_MAX 1 1 1"]
    lines += [f"{red:.6f} {green:.6f} {blue:.6f}" for red, green, blue in table.flatten(0, 2).tolist()]
    write_whole(path, lambda file: file.write(("\n".join(lines) + "\n").encode("ascii")))
