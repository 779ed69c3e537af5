"""Checkpoints: all that a run needs to go on as if it had never stopped."""

from __future__ import annotations

import errno
import pickle
import random
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from ...files.atomic import save_whole

FORMAT = 1
DISK_FAILURES = errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS


class CheckpointError(ValueError):
    """A checkpoint that is missing, damaged or foreign."""


@dataclass
class Progress:
    """How far a run has come.

    Attributes:
        step: Steps done. Learning rate and stage follow from it, see `schedule`.
        position: Pictures taken from the stream of pairs, where the next batch begins.
        seconds: Time spent, all sessions together.
        skipped: Steps left out because their gradient was not finite.
        best: Lowest validation fMSE so far.
        fmse: Of the last validation; NaN before it.
        psnr: Of the last validation; NaN before it.
    """

    step: int = 0
    position: int = 0
    seconds: float = 0.0
    skipped: int = 0
    best: float = float("inf")
    fmse: float = float("nan")
    psnr: float = float("nan")


def save_checkpoint(path: Path, progress: Progress, **parts: object) -> None:
    """Writes a checkpoint, whole or not at all.

    Args:
        path: The file.
        progress: How far the run has come.
        parts: State dicts and what else is to be kept: tensors, numbers, text, lists and dicts of them.
    """
    save_whole({"format": FORMAT, "progress": asdict(progress), **parts}, path)


def remove_partial_files(folder: Path) -> None:
    """Removes what a run that was killed had begun to write."""
    for part in folder.glob(".*.part"):
        part.unlink()


def what_is_kept(path: Path) -> str:
    """Half a sentence for a run that must end."""
    return f"the checkpoint is intact: {path}" if path.is_file() else "there is no checkpoint yet"


@contextmanager
def disk_failures_explained(path: Path, progress: Progress) -> Iterator[None]:
    """Says of a full or broken disk what has become of the checkpoint at `path`.

    Raises:
        OSError: With that message, in place of the system's own.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_FAILURES:
            raise
        reason = f"{path.parent} cannot be written ({error.strerror})"
        message = f"Training ends at step {progress.step}: {reason}; {what_is_kept(path)}."
        raise OSError(error.errno, message) from error


def load_checkpoint(path: Path) -> tuple[Progress, dict]:
    """Reads what `save_checkpoint` wrote; nothing in it is executed.

    Raises:
        CheckpointError: It is missing, damaged or foreign.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no checkpoint here to resume from.")
    broken = pickle.UnpicklingError, zipfile.BadZipFile, RuntimeError, EOFError, KeyError, AttributeError, TypeError
    try:
        parts = torch.load(path, map_location="cpu", weights_only=True)
        if parts.pop("format") != FORMAT:
            raise CheckpointError(f"{path}: this checkpoint is of another version of Harmonize Composite.")
        return Progress(**parts.pop("progress")), parts
    except broken as error:
        raise CheckpointError(f"{path}: this checkpoint is damaged, or is not one of a training run.") from error


def load_parts(saved: dict, **parts: Any) -> None:
    """Puts state dicts back where they came from.

    Raises:
        CheckpointError: They are those of another network.
    """
    for name, part in parts.items():
        try:
            part.load_state_dict(saved[name])
        except (RuntimeError, ValueError, KeyError) as error:
            raise CheckpointError(
                f"The checkpoint's {name} does not fit the network that the options describe; resume without "
                "changing network, base_channels, in_channels or init."
            ) from error


def random_states() -> dict:
    """The states of all generators of this process. Training draws from none of them; code around it may."""
    name, keys, *rest = cast(tuple, np.random.get_state())
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "python": random.getstate(),
        "numpy": (name, keys.tolist(), *rest),
    }


def set_random_states(states: dict) -> None:
    """Brings the generators of this process back to `random_states()`."""
    torch.set_rng_state(states["torch"])
    if len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])
    random.setstate(states["python"])
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, np.array(keys, np.uint32), *rest))
