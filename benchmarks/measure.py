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


def alternate(jobs: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, Seconds]:
    """Times jobs in turn, ``repeats`` rounds after one round to warm up, so that noise meets all of them."""
    taken: dict[str, list[float]] = {name: [] for name in jobs}
    for job in jobs.values():
        job()
    for _ in range(repeats):
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            taken[name].append(time.perf_counter() - start)
    return {name: Seconds(statistics.median(each), min(each), max(each)) for name, each in taken.items()}


def in_own_process(job: Callable[..., Result], *arguments: Any) -> tuple[Result, float]:
    """Runs a picklable job in a fresh process.

    Returns:
        What it returned, and the process's peak memory in GB (NaN where the system does not tell).

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
    """Peak resident memory of this process in GB, NaN where the system does not tell."""
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


def machine() -> str:
    """Processor, threads and versions, in a line."""
    import torch

    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as file:
            name = next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    kind = torch.backends.cpu.get_cpu_capability()
    return (
        f"{name} ({kind}), {torch.get_num_threads()} threads, torch {torch.__version__}, "
        f"Python {platform.python_version()}"
    )
