"""Files that appear whole or not at all."""

import hashlib
import io
import os
import stat
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


def write_whole(path: str | Path, write: Callable[[BinaryIO], object]) -> None:
    """Lets `write` fill a temporary file beside `path`, then puts it in its place.

    A reader, or a crash, sees the old file or the new one and never a part. Missing folders are made.

    Raises:
        OSError: It cannot be written; the error names `path`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # a name of its own length might be too long with anything added; other machines may write the same file
    temporary = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():  # who may read the old file may read the new one, and nobody else
            os.chmod(temporary, stat.S_IMODE(path.stat().st_mode))
        os.replace(temporary, path)
    except OSError as error:  # nobody knows the temporary file's name
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def save_whole(content: object, path: str | Path) -> None:
    """`torch.save` by way of `write_whole`; in memory first, for torch hides the system's reason for a failure.

    Raises:
        OSError: It cannot be written; the error names `path`.
    """
    import torch

    memory = io.BytesIO()
    torch.save(content, memory)
    write_whole(path, lambda file: file.write(memory.getbuffer()))


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
