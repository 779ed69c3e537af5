"""Fair measurements: alternating, repeated, medians; memory in processes of their own."""

from __future__ import annotations

import multiprocessing
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

Result = TypeVar("Result")


@dataclass(frozen=True)
class Seconds:
    """Repeated measurements of one thing.

    Attributes:
        median: Seconds.
        low: The fastest, in seconds.
        high: The slowest, in seconds.
    """

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.3f} ({self.low:.3f}-{self.high:.3f})"


def alternate(jobs: Mapping[str, Callable[[], object]], repeats: int, device: str = "cpu") -> dict[str, Seconds]:
    """Times jobs in turn, ``repeats`` rounds after one round to warm up, so that noise meets all of them.

    Args:
        jobs: By name.
        repeats: Rounds.
        device: Where they work; it has finished when a time is taken.
    """
    taken: dict[str, list[float]] = {name: [] for name in jobs}
    for job in jobs.values():
        job()
    for _ in range(repeats):
        for name, job in jobs.items():
            taken[name].append(timed(job, device))
    return {name: Seconds(statistics.median(each), min(each), max(each)) for name, each in taken.items()}


def timed(job: Callable[[], object], device: str = "cpu") -> float:
    """Seconds of a job, with all that it has set going on a device."""
    wait_for(device)
    start = time.perf_counter()
    job()
    wait_for(device)
    return time.perf_counter() - start


def wait_for(device: str) -> None:
    """Waits until a device has done all that it was told to."""
    import torch

    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def in_own_process(job: Callable[..., Result], *arguments: Any) -> tuple[Result, float]:
    """Runs a picklable job in a fresh process.

    Returns:
        What it returned, and the process's peak memory in GB: on a CUDA device if it has used one, see
        :func:`peak_memory`.

    Raises:
        RuntimeError: The process died, as it does when memory runs out.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(sender, job, arguments))
    process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        raise RuntimeError(f"{job.__name__}{arguments} did not end well; memory may have run out.") from None
    finally:
        process.join()


def _work(sender: Connection, job: Callable, arguments: tuple) -> None:
    result = job(*arguments)
    sender.send((result, peak_memory()))


def peak_memory() -> float:
    """Peak memory of this process in GB: on its CUDA device, if it has used one, else resident.

    NaN where the system does not tell.
    """
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated() / 1e9
    status = Path("/proc/self/status")
    if status.exists():  # Linux; ru_maxrss would begin with what the parent process holds
        peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(peak.split()[1]) * 1024 / 1e9
    try:
        import resource
    except ImportError:
        return float("nan")
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def machine(device: str = "cpu") -> str:
    """Device, processor, threads and versions, in a line."""
    import torch

    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as file:
            name = next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    kind = torch.backends.cpu.get_cpu_capability()
    card = ""
    if torch.device(device).type == "cuda":
        card = f"{torch.cuda.get_device_name(device)}, CUDA {torch.version.cuda}, "
    return (
        f"{card}{name} ({kind}), {torch.get_num_threads()} threads, torch {torch.__version__}, "
        f"Python {platform.python_version()}"
    )
