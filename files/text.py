"""Text that others wrote: lists and tables of any program, and what is shown to people."""

from __future__ import annotations

import codecs
import csv
import re
from pathlib import Path

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins like the mark of UTF-16
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_text(path: Path) -> str:
    """Reads a text file: UTF-8, or what its byte order mark says, as PowerShell writes it; UTF-16 also without one.

    Raises:
        ValueError: It is in another encoding; the message names the file.
    """
    data = path.read_bytes()
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), None)
    if encoding is None:  # names are ASCII for the most part, whose other byte is 0
        encoding = "utf-16-le" if b"\0" in data[1:2] else "utf-16-be" if b"\0" in data[:1] else "utf-8"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: this text is not in UTF-8; save it as UTF-8.") from error


def lines_of(text: str) -> list[str]:
    """Lines without their ends, whatever system wrote them; unlike ``splitlines``, names may hold rarer separators."""
    return re.split("\r\n|\r|\n", text)


def read_table(path: Path, needed: set[str]) -> list[dict[str, str]]:
    """Rows of a CSV file with a header, separated by commas, semicolons or tabs.

    Raises:
        ValueError: A column that is needed is missing, or the text cannot be read.
    """
    text = read_text(path)
    lines = [line for line in lines_of(text) if line.strip()]
    if lines and lines[0].lower().startswith("sep="):  # Excel's own way to name the separator
        del lines[0]
    separator = max(",;\t", key=lines[0].count) if lines else ","
    rows = [
        {(key or "").strip().lower(): (value or "").strip() for key, value in row.items() if isinstance(value, str)}
        for row in csv.DictReader(lines, delimiter=separator)
    ]
    if not rows or not needed <= rows[0].keys():
        raise ValueError(f"{path}: needs the columns {' and '.join(repr(name) for name in sorted(needed))}.")
    return rows


def printable(text: object) -> str:
    """Text in one line, without characters that a terminal would obey, such as those that names of files may hold."""
    line = " ".join(str(text).split())
    return "".join(each if each.isprintable() or _is_undecoded(each) else "\N{REPLACEMENT CHARACTER}" for each in line)


def _is_undecoded(character: str) -> bool:
    """Whether it stands for a byte of a file's name that is no text; the stream writes what it can."""
    return "\udc80" <= character <= "\udcff"
