"""Batches composed on the device, from layers of photographs that are kept there.

A GPU trains on far more pictures a second than the CPUs beside it make composites. So the CPUs only take photographs
apart; a pool of such layers stays in the device's memory, and each batch is composed there, of layers drawn from it at
random. The same layers serve several times, with another camera, light and mask each time, until new ones replace them.

Which layers are in the pool at which step depends on how fast they come. So unlike a run without a pool, a resumed one
draws its pool anew and does not end with the same numbers as one that was not interrupted.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from itertools import count

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ...files.training_images import PictureError
from ..data.pairs import Batch
from ..data.photos import Photographs
from ..sample import Source
from ..synthesis.compose_batch import PLANES, compose_batch
from .checkpoint import Progress
from .interruption import leave_signals_to_parent
from .options import Options
from .schedule import Schedule

log = logging.getLogger(__name__)

FIRST = 2048  # layers with which training begins, at most
CHUNK = 16  # layers that a process hands over together
WAITING = 8  # chunks that may wait for the next batch
TRIES = 100  # photographs in a row


class LayerStream(Dataset[np.ndarray]):
    """An endless stream of layers; number N follows from the seed and N alone.

    A photograph that cannot be read is reported once; one whose object is too thin is passed over.

    Args:
        photographs: They are taken apart, in random order.
        side: Of the layers, in pixels.
        seed: Of the whole stream.
    """

    def __init__(self, photographs: Photographs, side: int, seed: tuple[int, ...]) -> None:
        self.photographs, self.side, self.seed = photographs, side, seed
        self._broken: set[int] = set()

    def __getitem__(self, number: int) -> np.ndarray:
        """Uint8 `[10, side, side]`, see `compose_batch.pack`; ValueError where no photograph can be taken apart."""
        rng = np.random.default_rng([*self.seed, number])
        for _ in range(TRIES):
            index = int(rng.integers(len(self.photographs)))
            try:
                layers = self.photographs.layers(index, rng, self.side)
            except PictureError as error:
                if index not in self._broken:
                    self._broken.add(index)
                    log.warning("Skipped: %s", error)
            else:
                if layers is not None:
                    return layers
        raise ValueError(
            f"{self.photographs.root}: of {TRIES} photographs in a row none could be read and has an object that is "
            "thick enough to be cut out"
        )


class LayerPool:
    """A pool of layers on a device, whose oldest are replaced as new ones come.

    Processes take photographs apart, a thread receives what they made, and the next batch copies it to the device:
    beside the training where that is a GPU.

    Args:
        stream: Gives the layers.
        capacity: Layers to keep.
        workers: Processes that make them, at least 1.
        generator: Decides which layers a batch is made of, and how; its device is the pool's.

    Attributes:
        made: Layers that have come so far.

    Raises:
        ValueError: The pool does not fit into the device's memory.
    """

    def __init__(self, stream: LayerStream, capacity: int, workers: int, generator: torch.Generator) -> None:
        self.made, self._capacity, self._generator = 0, capacity, generator
        self._device = generator.device
        on_gpu = self._device.type == "cuda"
        self._layers = _allocate((capacity, PLANES, stream.side, stream.side), self._device)
        self._uploads = torch.cuda.Stream(self._device) if on_gpu else None  # beside the training
        if self._uploads:  # the memory may have served before, in work that is still going on
            self._uploads.wait_stream(torch.cuda.current_stream(self._device))
        loader = DataLoader(
            stream,
            batch_sampler=(list(range(start, start + CHUNK)) for start in count(0, CHUNK)),
            num_workers=workers,
            pin_memory=on_gpu,  # else copies would wait for the training, and the training for them
            worker_init_fn=leave_signals_to_parent,
            generator=torch.Generator(),  # else it would draw from the global one
        )
        self._chunks: queue.Queue[Tensor | Exception] = queue.Queue(WAITING)
        self._closed = threading.Event()
        self._receiver = threading.Thread(target=self._receive, args=(iter(loader),), daemon=True)
        self._receiver.start()

    def batch(self, pictures: int, size: int, untouched: float) -> Batch:
        """Composes a batch; see `compose_batch`.

        Raises:
            RuntimeError: A process that takes photographs apart has failed.
        """
        with self._uploading():
            while self.made < min(FIRST, self._capacity):
                self._add(self._chunks.get())
        if self._uploads:  # what has been copied must have arrived
            torch.cuda.current_stream(self._device).wait_stream(self._uploads)
        there = min(self.made, self._capacity)
        drawn = torch.randint(there, (pictures,), generator=self._generator, device=self._device)
        layers = self._layers[drawn]
        if self._uploads:  # nothing may be replaced while it is read
            self._uploads.wait_stream(torch.cuda.current_stream(self._device))
        with self._uploading():
            for _ in range(self._chunks.qsize()):
                self._add(self._chunks.get())
        return Batch(*compose_batch(layers, size, untouched, self._generator))

    def close(self) -> None:
        """Ends the processes."""
        self._closed.set()
        log.info("%d layers came into the pool.", self.made)
        while self._receiver.is_alive():
            try:
                self._chunks.get(timeout=0.1)  # it may be waiting for room
            except queue.Empty:
                pass

    def _receive(self, chunks: Iterator[Tensor]) -> None:
        """In a thread: takes what the processes make, so that they go on while the device trains."""
        try:
            while not self._closed.is_set():
                self._chunks.put(next(chunks))
        except Exception as error:
            self._chunks.put(error.with_traceback(None))  # which would keep `chunks`, and the processes with it

    def _add(self, chunk: Tensor | Exception) -> None:
        """Puts a chunk `[N, 10, S, S]` in the place of the oldest layers."""
        if isinstance(chunk, Exception):
            reason = str(chunk).strip().splitlines()[-1]  # before it stands the traceback of the process
            raise RuntimeError(f"A process that takes photographs apart failed: {reason}.") from chunk
        place = self.made % self._capacity
        room = self._layers[place : place + len(chunk)]
        room.copy_(chunk[: len(room)], non_blocking=True)
        self.made += len(room)

    def _uploading(self) -> AbstractContextManager[object]:
        return torch.cuda.stream(self._uploads) if self._uploads else nullcontext()


def pooled_batches(
    options: Options, photographs: Photographs, schedule: Schedule, progress: Progress, device: torch.device
) -> Generator[Batch, None, None]:
    """Micro-batches from a pool, to the end of the run; closing the generator ends the processes."""
    side = max(size for stage in options.stages for size in stage.size)
    seed = options.seed, progress.step  # a resumed run must not see again what it has seen
    generator = torch.Generator(device).manual_seed(sum(seed))
    stream = LayerStream(photographs, side, seed)
    with closing(LayerPool(stream, options.pool, options.workers, generator)) as pool:
        for keys in schedule.micro_batches(progress.step, progress.position, 0, 1):
            yield pool.batch(len(keys), keys[0][1], options.untouched)


def photographs_for_pool(options: Options, source: Source, processes: int) -> Photographs:
    """The photographs that a pool can be made of.

    Raises:
        ValueError: The options, the data or the number of processes do not go with a pool.
    """
    if not isinstance(source, Photographs):
        raise ValueError("pool needs photographs with masks (images/ and masks/); for pairs, set pool=0.")
    if not options.workers:
        raise ValueError("pool needs processes that take photographs apart: set workers to at least 1.")
    if processes > 1:
        raise ValueError("A pool serves one training process: start it without accelerate launch, or set pool=0.")
    return source


def _allocate(shape: tuple[int, ...], device: torch.device) -> Tensor:
    try:
        return torch.empty(shape, dtype=torch.uint8, device=device)
    except RuntimeError as error:
        size = np.prod(shape, dtype=float) / 2**30
        raise ValueError(f"pool={shape[0]} needs {size:.1f} GiB on the device, which it does not have.") from error
