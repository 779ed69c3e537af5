"""Folders on this machine and elsewhere: object stores, servers and whatever else fsspec has addresses for."""

from __future__ import annotations

import errno
import os
import uuid
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
            raise ValueError(f"{self.address}: {str(error).rstrip('.')}.") from error
        if isinstance(system, LocalFileSystem):
            self.path = Path(self._root)

    def __str__(self) -> str:
        return self.address

    def __truediv__(self, name: str) -> Folder:
        """A folder inside this one."""
        return Folder(
            Path(self.address, name) if not is_address(self.address) else f"{self.address.rstrip('/')}/{name}"
        )

    @property
    def _system(self) -> Any:
        """The file system; fsspec keeps one for each thread, as connections are not for several at once."""
        import fsspec

        return fsspec.core.url_to_fs(self.address)[0]

    def is_same_as(self, other: Folder) -> bool:
        """Whether both are one folder."""
        if self.path is not None and other.path is not None:
            return self.path.resolve() == other.path.resolve()
        return (self.path is None) == (other.path is None) and self.address.rstrip("/") == other.address.rstrip("/")

    def exists(self) -> bool:
        """Whether there is such a folder; an object store has every one."""
        return self.path.is_dir() if self.path is not None else bool(self._system.isdir(self._root))

    def files(self) -> dict[str, int]:
        """The names of its files, without those of folders inside, and how many bytes each has; in order."""
        found: list[tuple[str, int]] = []
        if self.path is not None:
            if self.path.is_dir():
                with os.scandir(self.path) as entries:
                    found = [(each.name, each.stat().st_size) for each in entries if each.is_file()]
        else:
            self._system.invalidate_cache(self._root)
            if self.exists():
                listed = [each for each in self._system.ls(self._root, detail=True) if each["type"] == "file"]
                found = [(each["name"].rpartition("/")[2], each.get("size") or 0) for each in listed]
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
        try:
            self._system.get_file(f"{self._root}/{name}", str(target))
        except Exception as error:  # each kind of storage has its own
            raise _named(error, f"{self.address}/{name}") from error
        return target

    def has(self, name: str) -> bool:
        """Whether it holds a file of that name, which is then whole."""
        if self.path is not None:
            return (self.path / name).is_file()
        return bool(self._system.isfile(f"{self._root}/{name}"))

    def read(self, name: str) -> bytes | None:
        """All of a small file; None where there is none."""
        try:
            if self.path is not None:
                return (self.path / name).read_bytes()
            return self._system.cat_file(f"{self._root}/{name}")
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
        try:
            self._system.makedirs(self._root, exist_ok=True)
            self._system.pipe_file(temporary, content)
            self._system.mv(temporary, f"{self._root}/{name}")
        except Exception as error:
            raise _named(error, f"{self.address}/{name}") from error


def is_address(place: str | Path) -> bool:
    """Whether it is an address of fsspec, and no path."""
    return "://" in str(place)


def _named(error: Exception, address: str) -> OSError:
    """The error, with the address that its reader knows."""
    number, reason = getattr(error, "errno", None), getattr(error, "strerror", None)
    return OSError(number or errno.EIO, reason or str(error) or type(error).__name__, address)
