"""Weights from the Hugging Face Hub, by its own client.

``HF_ENDPOINT``, ``HF_HUB_OFFLINE`` and a user's token work as everywhere. The client downloads under a
temporary name and moves the whole file into place.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

from ..files.atomic import sha256_of
from .errors import WeightsError

PATIENCE = 2.5  # seconds to wait for the Hub's first word
DEFAULT_FILE = "model.safetensors"
METADATA_TIMEOUT = 5  # seconds
SOURCE = re.compile(r"hub:(?P<repo>[\w.-]+/[\w.-]+?)(?:/(?P<file>[\w./-]+?))?(?:@(?P<revision>[\w./-]+))?")
# as a browser shows it; a revision with a slash is written %2F there
PAGE = re.compile(
    r"(?:hub:)?(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/(?P<repo>[\w.-]+/[\w.-]+)"
    r"(?:/(?:blob|resolve|raw|tree)/(?P<revision>(?:[\w.-]|%2F)+)(?:/(?P<file>[\w./-]+?))?)?/?(?:[?#].*)?"
)


@dataclass(frozen=True)
class HubFile:
    """A file on the Hub: repository, name in it and revision (branch, tag or commit; None for the newest)."""

    repo: str
    file: str
    revision: str | None

    @classmethod
    def parse(cls, source: str) -> HubFile:
        """Reads ``hub:owner/repo[/file][@revision]``, or the address of a page on huggingface.co.

        Raises:
            WeightsError: It does not look like that, or names no safetensors file.
        """
        page = PAGE.fullmatch(source)
        match = page or SOURCE.fullmatch(source)
        if not match:
            raise WeightsError(
                f"{source!r} is no Hub address; write hub:owner/repo[/file][@revision] or paste the page's address."
            )
        file, revision = match["file"] or DEFAULT_FILE, match["revision"]
        if not file.endswith(".safetensors") or not {"", ".", ".."}.isdisjoint(file.split("/")):
            raise WeightsError(f"{source!r}: only .safetensors files are taken from the Hub, not {file!r}.")
        # the page of a repository shows its main branch, and so does an address that names none
        if page:
            revision = None if revision == "main" else revision and re.sub("(?i)%2F", "/", revision)
        return cls(match["repo"], file, revision)


def fetch(source: str, folder: str | Path | None = None, sha256: str | None = None) -> Path:
    """Returns the local copy of a file on the Hub, downloading it if need be.

    A copy that is here already is used without asking the Hub, unless a revision is named that it may not be.

    Args:
        source: ``hub:owner/repo[/file][@revision]``.
        folder: Where to keep it (as ``owner--repo[@revision]/file``); the Hub client's cache by default.
        sha256: What the file must have; otherwise it is removed and not used.

    Raises:
        WeightsError: It cannot be had; the message says what, from where and where to put it by hand.
    """
    import huggingface_hub

    wanted = HubFile.parse(source)
    target: Path | None = None
    where = "a folder of yours and give its path instead"
    if folder is not None:
        name = wanted.repo.replace("/", "--") + (f"@{wanted.revision.replace('/', '--')}" if wanted.revision else "")
        target = Path(folder) / name / wanted.file
        where = str(target)
        if target.is_file():
            return _checked(target, sha256)
    try:
        if target is None:
            cached = huggingface_hub.try_to_load_from_cache(wanted.repo, wanted.file, revision=wanted.revision)
            return _checked(Path(cached) if isinstance(cached, str) else _download(wanted), sha256)
        with _folder_of(target):
            # checked before it gets its name: nobody ever sees a part of a file, or a wrong one
            with TemporaryDirectory(prefix=".download-", dir=target.parent) as staging:
                os.replace(_checked(_download(wanted, staging), sha256).resolve(), target)
        return target
    except WeightsError:
        raise
    except Exception as error:  # the client's versions raise what requests, httpx, httpx2 or Xet raise
        if missing := _what_is_missing(error):
            raise WeightsError(f"{source}: {missing}; check the address.") from error
        address = huggingface_hub.hf_hub_url(wanted.repo, wanted.file, revision=wanted.revision)
        facts = _facts(error, address, sha256)
        raise WeightsError(
            f"{source}: not to be had ({_reason(error)}); to do without the Hub, put {address}{facts} into {where}. "
            "Without a network, HF_HUB_OFFLINE=1 saves the wait."
        ) from error


@contextmanager
def _folder_of(target: Path) -> Iterator[None]:
    """Makes the folders a file needs, and takes away those that stayed empty."""
    made = [each for each in target.parents if not each.exists()]
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        for each in made:  # the innermost first
            with suppress(OSError):
                each.rmdir()


def _download(wanted: HubFile, cache: str | None = None) -> Path:
    from huggingface_hub import hf_hub_download

    _check_reachable()
    return Path(
        hf_hub_download(
            wanted.repo, wanted.file, revision=wanted.revision, cache_dir=cache, etag_timeout=METADATA_TIMEOUT
        )
    )


def _check_reachable() -> None:
    """Raises ConnectionError where there is no way to the Hub.

    The client itself would try five times, with a warning each, before it says so half a minute later. A thread, since
    the look-up of a name heeds no timeout.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    if constants.HF_HUB_OFFLINE:
        return
    failures: list[Exception] = []

    def ask() -> None:
        try:
            get_session().head(constants.ENDPOINT, timeout=PATIENCE)
        except Exception as error:  # requests, httpx or httpx2
            failures.append(error)

    asking = Thread(target=ask, daemon=True)
    asking.start()
    asking.join(PATIENCE)
    if asking.is_alive() or any("Connect" in type(error).__name__ for error in failures):
        raise ConnectionError(constants.ENDPOINT)


def _what_is_missing(error: Exception) -> str | None:
    from huggingface_hub import errors

    if isinstance(error, errors.HFValidationError):
        return "the Hub has no names like this"
    if isinstance(error, errors.RepositoryNotFoundError):
        return "the Hub has no such repository, or it is not public"
    if isinstance(error, errors.RevisionNotFoundError):
        return "the repository has no such revision"
    if isinstance(error, errors.EntryNotFoundError) and not isinstance(error, errors.LocalEntryNotFoundError):
        return "the repository has no such file"
    return None


def _reason(error: Exception) -> str:
    from huggingface_hub import errors

    if isinstance(error, errors.LocalEntryNotFoundError):
        return "it is not on this machine, and the Hub cannot be asked"
    if isinstance(error, ConnectionError) and not error.errno:
        return f"it is not on this machine, and the Hub cannot be asked: {error} is out of reach"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}"
    return f"the download failed: {type(error).__name__}"


def _facts(error: Exception, address: str, sha256: str | None) -> str:
    """Size and digest of a file, in parentheses, as far as known; the Hub may answer where its store does not."""
    from huggingface_hub import errors, get_hf_file_metadata

    facts = []
    if not isinstance(error, (errors.LocalEntryNotFoundError, ConnectionError)):  # else it did not answer before
        with suppress(Exception):
            found = get_hf_file_metadata(address, timeout=METADATA_TIMEOUT)
            facts = [f"{found.size:,} bytes"] if found.size else []
            sha256 = sha256 or (found.etag if re.fullmatch("[0-9a-f]{64}", found.etag or "") else None)
    if sha256:
        facts.append(f"sha256 {sha256}")
    return f" ({', '.join(facts)})" if facts else ""


def _checked(path: Path, sha256: str | None) -> Path:
    """The path, if the file has this digest, or the one that the Hub gave for it."""
    named = path.resolve().name  # the Hub's cache names large files by their digest
    wanted = sha256 or (named if re.fullmatch("[0-9a-f]{64}", named) else None)
    if wanted is not None and sha256_of(path) != wanted:
        size = path.stat().st_size
        path.resolve().unlink()
        raise WeightsError(
            f"{path.name}: the downloaded file ({size} bytes) has not the sha256 {wanted} and was removed; try again."
        )
    return path
