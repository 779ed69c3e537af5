"""Judges a way to harmonize on pairs of composite and real picture."""

import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..sample import Sample
from .metrics import Metrics, measure, speckle, to_8bit

if TYPE_CHECKING:
    from ...hdnet import Harmonizer

log = logging.getLogger(__name__)

Protocol = Literal["real-background", "composite-background"]
PROTOCOLS = ("real-background", "composite-background")

Harmonize = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Composite float32 `[H,W,3]` in 0..1 and foreground boolean `[H,W]` to a picture like the composite."""


@dataclass(frozen=True)
class Case:
    """A pair to be judged on, read when its turn comes.

    Attributes:
        name: Tells the pair from the others, for people.
        subset: The part of the data set it is counted under.
        load: Returns the sample. Raises `OSError` or `ValueError` where it cannot.
    """

    name: str
    subset: str
    load: Callable[[], Sample]


@dataclass(frozen=True)
class Score:
    """What every method reached on one case.

    Attributes:
        foreground_ratio: Share of the picture that is foreground, 0..1.
        metrics: Of each method by name; "composite" is the untouched input.
        agreement: Of each method, the mean product of proposed and true change over the foreground, on the scale of
            fMSE; divided by the composite's fMSE it is the share of the true change that was made.
        speckle: Of each method, where it was asked for; see `metrics.speckle`.
    """

    name: str
    subset: str
    width: int
    height: int
    foreground_ratio: float
    metrics: dict[str, Metrics]
    agreement: dict[str, float] = field(default_factory=dict)
    speckle: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Failure:
    """A case that could not be judged, and why."""

    name: str
    reason: str


def evaluate(
    cases: Iterable[Case],
    methods: dict[str, Harmonize],
    protocol: Protocol = "real-background",
    *,
    edges: bool = False,
    workers: int = 2,
    progress: Callable[[Iterable], Iterable] = iter,
) -> tuple[list[Score], list[Failure]]:
    """Measures each method on each case.

    Cases are read and measured in `workers` threads; a method is called from one thread at a time.

    Args:
        cases: What to judge on.
        methods: Ways to harmonize by name. The composite itself is always measured as well.
        protocol: `real-background`: the background of input and output is the real picture's, so that only the
            foreground can err (the paper's). `composite-background`: it is the composite's own, as in use.
        edges: Whether to count speckle on the edges.
        workers: Number of threads.
        progress: Wraps the iteration over the results, for a progress bar.

    Returns:
        The scores in the order of the cases, and the cases that failed.

    Raises:
        ValueError: If the protocol is unknown.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"The protocol must be one of {', '.join(PROTOCOLS)}, not '{protocol}'.")
    lock = Lock()

    def judge(case: Case) -> Score | Failure:
        try:
            sample = case.load()
            foreground, real = sample.foreground, sample.real
            before = input_picture(sample, protocol)
            metrics = {"composite": measure(before, real, foreground)}
            agreement: dict[str, float] = {}
            speckles: dict[str, float] = {}
            for name, harmonize in methods.items():
                with lock:
                    after = harmonized(before, foreground, harmonize)
                metrics[name] = measure(after, real, foreground)
                agreement[name] = _agreement(before, after, real, foreground)
                if edges:
                    speckles[name] = speckle(before, after, sample.mask)
        except (OSError, ValueError) as error:
            log.warning("%s: %s", case.name, error)
            return Failure(case.name, str(error))
        height, width = foreground.shape
        return Score(case.name, case.subset, width, height, float(foreground.mean()), metrics, agreement, speckles)

    pool = ThreadPoolExecutor(workers)
    try:
        results = list(progress(pool.map(judge, cases)))
    finally:
        pool.shutdown(cancel_futures=True)
    return [r for r in results if isinstance(r, Score)], [r for r in results if isinstance(r, Failure)]


def _agreement(before: np.ndarray, after: np.ndarray, real: np.ndarray, foreground: np.ndarray) -> float:
    proposed, true = (picture[foreground].astype(np.float32) - before[foreground] for picture in (after, real))
    return float((proposed * true).mean())


def input_picture(sample: Sample, protocol: Protocol) -> np.ndarray:
    """The composite as the protocol hands it to the method, uint8 `[H,W,3]`."""
    if protocol == "composite-background":
        return sample.composite
    return np.where(sample.foreground[..., None], sample.composite, sample.real)


def harmonized(before: np.ndarray, foreground: np.ndarray, harmonize: Harmonize) -> np.ndarray:
    """Prediction·M + input·(1−M) in 8 bits: uint8 `[H,W,3]` in, uint8 `[H,W,3]` out."""
    prediction = harmonize(before.astype(np.float32) / 255, foreground)
    return np.where(foreground[..., None], to_8bit(prediction), before)


def by_network(harmonizer: "Harmonizer", resolution: int | str = "native", **options: Any) -> Harmonize:
    """A `hdnet.Harmonizer` as a method to evaluate, with options of its call."""
    import torch

    def harmonize(composite: np.ndarray, foreground: np.ndarray) -> np.ndarray:
        image, mask = torch.from_numpy(composite)[None], torch.from_numpy(foreground.astype(np.float32))[None]
        return harmonizer(image, mask, resolution=resolution, **options)[0].cpu().numpy()

    return harmonize
