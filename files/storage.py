"""Folders on this machine and elsewhere: object stores, servers and whatever else fsspec has addresses for."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Folder:
    """A folder, by its path or its address; can be sent to other processes and machines.

    Args:
        place: A path, or an address such as ``s3://bucket/folder``, ``sftp://host/folder`` or ``file:///folder``.

    Raises:
        ValueError: The address is of an unknown kind, or of one that needs a package that is not installed.
    """

    def __init__(self, place: str | Path) -> None:
        self.address = str(place)
        self.path: Path | None = None  # where this machine sees it itself
        if not is_address(place):
            self.path = Path(place).absolute()
            return
        import fsspec
        from fsspec.implementations.local import LocalFileSystem

        try:
            system, self._root = fsspec.core.url_to_fs(self.address)
        except (ImportError, ValueError) as error:
            raise ValueError(f"{self.address}: {_what_to_do(error)}.") from error
        if isinstance(system, LocalFileSystem):
            self.path = Path(self._root)

    def __str__(self) -> str:
        return self.address

    def __truediv__(self, name: str) -> Folder:
        """A folder inside this one."""
        return Folder(
            Path(self.address, name) if not is_address(self.address) else f"{self.address.rstrip('/')}/{name}"
        )

    @contextmanager
    def _storage(self, name: str = "") -> Iterator[Any]:
        """The file system; fsspec keeps one for each thread, as connections are not for several at once.

        Raises:
            OSError: Whatever goes wrong with it, with the address that its reader knows.
        """
        import fsspec

        try:
            yield fsspec.core.url_to_fs(self.address)[0]
        except Exception as error:  # each kind of storage has its own
            raise _named(error, f"{self.address.rstrip('/')}/{name}" if name else self.address) from error

    def is_same_as(self, other: Folder) -> bool:
        """Whether both are one folder."""
        if self.path is not None and other.path is not None:
            return self.path.resolve() == other.path.resolve()
        return (self.path is None) == (other.path is None) and self.address.rstrip("/") == other.address.rstrip("/")

    def exists(self) -> bool:
        """Whether there is such a folder; an object store has it once something lies in it."""
        if self.path is not None:
            return self.path.is_dir()
        with self._storage() as system:
            return bool(system.isdir(self._root))

    def files(self) -> dict[str, int]:
        """The names of its files, without those of folders inside, and how many bytes each has; in order."""
        found: list[tuple[str, int]] = []
        if self.path is not None:
            if self.path.is_dir():
                with os.scandir(self.path) as entries:
                    found = [(each.name, each.stat().st_size) for each in entries if each.is_file()]
        else:
            with self._storage() as system:
                system.invalidate_cache(self._root)
                listed = system.ls(self._root, detail=True) if system.isdir(self._root) else []
            files = [each for each in listed if each["type"] == "file"]
            found = [(each["name"].rpartition("/")[2], each.get("size") or 0) for each in files]
        return dict(sorted(found))

    def fetched(self, name: str, into: Path) -> Path:
        """A file of this folder on this machine: itself, or a copy in another folder.

        Raises:
            OSError: It cannot be read.
        """
        if self.path is not None:
            return self.path / name
        into.mkdir(parents=True, exist_ok=True)
        target = into / name
        with self._storage(name) as system:
            system.get_file(f"{self._root}/{name}", str(target))
        return target

    def has(self, name: str) -> bool:
        """Whether it holds a file of that name, which is then whole."""
        if self.path is not None:
            return (self.path / name).is_file()
        with self._storage(name) as system:
            return bool(system.isfile(f"{self._root}/{name}"))

    def read(self, name: str) -> bytes | None:
        """All of a small file; None where there is none."""
        try:
            if self.path is not None:
                return (self.path / name).read_bytes()
            with self._storage(name) as system:
                return system.cat_file(f"{self._root}/{name}")
        except FileNotFoundError:
            return None

    def place_for(self, name: str, aside: Path) -> Path:
        """Where to write a file of this folder: its own place, or one on this machine, to be sent from there."""
        if self.path is not None:
            self.path.mkdir(parents=True, exist_ok=True)
            return self.path / name
        aside.mkdir(parents=True, exist_ok=True)
        return aside / name

    def send(self, file: Path) -> None:
        """Puts a file into this folder, whole or not at all, if it is not there already.

        Raises:
            OSError: It cannot be written.
        """
        if self.path is None:
            self.write(file.name, file.read_bytes())
            file.unlink()

    def write(self, name: str, content: bytes) -> None:
        """Writes a file, whole or not at all; no reader sees a part.

        Raises:
            OSError: It cannot be written.
        """
        if self.path is not None:
            from .atomic import write_whole

            write_whole(self.path / name, lambda file: file.write(content))
            return
        temporary = f"{self._root}/.{uuid.uuid4().hex}.part"
        with self._storage(name) as system:
            bucket = self._root.partition("/")[0]  # empty where a path starts at a root
            if bucket and not system.exists(bucket):  # nothing to make in passing
                raise FileNotFoundError(errno.ENOENT, f"there is no {bucket}; make it first")
            system.makedirs(self._root, exist_ok=True)
            system.pipe_file(temporary, content)
            system.mv(temporary, f"{self._root}/{name}")


def is_address(place: str | Path) -> bool:
    """Whether it is an address of fsspec, and no path."""
    return "://" in str(place)


def _what_to_do(error: Exception) -> str:
    """An error of fsspec about the kind of an address, with the command that installs what is missing."""
    missing = getattr(error.__cause__, "name", None)
    if missing and missing in str(error):
        return f"this address needs {missing}; install it with: pip install {missing}"
    return str(error).rstrip(".")


def _named(error: Exception, address: str) -> OSError:
    """The error, with the address that its reader knows."""
    number, reason = getattr(error, "errno", None), getattr(error, "strerror", None)
    if isinstance(error, FileNotFoundError):
        number, reason = errno.ENOENT, reason or "there is no such file"
    said = " ".join((reason or str(error)).split()) or type(error).__name__
    return OSError(number or errno.EIO, said, address)
