"""The training loop.

It runs in one process or in many (`accelerate launch`), on CPU or GPU. Every process holds the same network, takes
its share of each batch and receives the mean of all gradients; so the networks stay equal, and rank 0 writes the files.
"""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Iterator
from contextlib import closing, nullcontext
from dataclasses import asdict, replace
from pathlib import Path

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import gather_object
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from ...files.atomic import write_whole
from ...weights import save_network
from ..data.pairs import Batch
from ..evaluation.metrics import average
from ..evaluation.validation import Validation
from ..synthesis.mixture import Mixture
from .batches import chosen, load_batches, training_source
from .checkpoint import (
    Progress,
    disk_failures_explained,
    load_checkpoint,
    load_parts,
    random_states,
    remove_partial_files,
    save_checkpoint,
    set_random_states,
    what_is_kept,
)
from .cpu import exact_on_cpu, trains_on_cpu
from .ema import update_average
from .initial_network import initial_network
from .interruption import Interruption
from .objective import training_loss
from .options import Options, to_toml
from .pretrained_encoder import parameter_groups
from .record import StepStatistics, describe_weights, figures, progress_bar
from .schedule import Schedule

log = logging.getLogger(__name__)

PATIENCE = 10  # steps in a row whose gradient may be not finite


class TrainingError(RuntimeError):
    """The run cannot go on; its last checkpoint is intact."""


def train(options: Options, folder: str | Path, resume: bool = False) -> bool:
    """Trains a network.

    Args:
        options: Of the run.
        folder: Gets `options.toml`, `checkpoint.pt`, `weights.safetensors` (the moving average of the weights, to be
            used), `best.safetensors` (the same where its validation fMSE was lowest) and TensorBoard's events.
        resume: Go on from the checkpoint in `folder`.

    Returns:
        Whether the run is complete; False where it was interrupted and can be resumed.

    Raises:
        ValueError, OSError: The options, the data or the checkpoint are unfit, or a file could not be written.
        TrainingError: Gradients or weights are not finite.
        RuntimeError: A process that reads pictures has failed.
    """
    with exact_on_cpu(), Interruption() as interruption:
        trainer = Trainer(options, Path(folder), resume)
        with disk_failures_explained(trainer.checkpoint, trainer.progress):
            return trainer.run(interruption)


class Trainer:
    """A training run in one of its processes; see `train`.

    Attributes:
        network: The bare network, whose parameters are trained.
        model: The same as Accelerate wraps it: mixed precision, and the exchange of gradients between processes.
        ema: The moving average of the network's weights, which is validated and saved for use.
        rates: Factors to the learning rate, of each group of parameters.
        writer: TensorBoard's; only rank 0 has one, and only rank 0 writes files.
    """

    def __init__(self, options: Options, folder: Path, resume: bool) -> None:
        self.checkpoint = folder / "checkpoint.pt"
        if not resume and self.checkpoint.exists():
            raise ValueError(f"{folder}: there is a run here already; resume it, or choose another folder.")
        self.options, self.folder, self.failures = options, folder, 0
        self.progress, saved = load_checkpoint(self.checkpoint) if resume else (Progress(), None)
        self.accelerator = Accelerator(
            mixed_precision=options.precision,
            cpu=trains_on_cpu(options.device),
            # images without foreground leave the local dynamics without a gradient
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
        )
        if options.precision == "fp16" and self.accelerator.device.type == "cpu":
            raise ValueError("precision=fp16 needs a GPU; on a CPU, use bf16 or no.")
        rank, processes = self.accelerator.process_index, self.accelerator.num_processes
        source = training_source(options)
        self.pictures = len(source)
        self.schedule = Schedule(options, self.pictures)
        if self.progress.step > self.schedule.steps:
            raise ValueError(
                f"{folder}: this run has done {self.progress.step} steps already, more than the {self.schedule.steps} "
                "asked for; raise steps with --set, or use its weights.safetensors as they are."
            )
        self.schedule.check_split(processes)
        mixture = replace(chosen(Mixture, options), untouched=0.0)
        self.validation = Validation(
            options.data, options.validation_pairs, options.validation_size, rank, processes, mixture
        )
        device = self.accelerator.device
        self.batches = load_batches(options, source, self.schedule, self.progress, rank, processes, device)
        self._build(saved)
        if saved:
            set_random_states(saved["random"][rank % len(saved["random"])])
        self.writer: SummaryWriter | None = None
        if self.accelerator.is_main_process:
            remove_partial_files(folder)
            write_whole(folder / "options.toml", lambda file: file.write(to_toml(options).encode()))
            self.writer = SummaryWriter(str(folder), purge_step=self.progress.step + 1 if resume else None)

    def _build(self, saved: dict | None) -> None:
        options, accelerator = self.options, self.accelerator
        self.memory_format = torch.channels_last if options.channels_last else torch.contiguous_format
        network = initial_network(options, saved and saved["config"])
        network = network.to(accelerator.device).to(memory_format=self.memory_format)  # type: ignore[call-overload]
        self.network, self.ema = network, copy.deepcopy(network).requires_grad_(False).eval()
        parameters, self.rates = parameter_groups(network, options.encoder_rate)
        optimizer = torch.optim.Adam(parameters, options.learning_rate, (options.beta1, options.beta2))
        if saved:
            load_parts(saved, network=network, average=self.ema, optimizer=optimizer)
        if options.compile:
            if network.local_dynamics is not None:  # its shapes differ from picture to picture
                setattr(network.local_dynamics, "forward", torch.compiler.disable(network.local_dynamics.forward))  # noqa: B010
            network.compile(dynamic=False)
        self.model, self.optimizer = accelerator.prepare(network, optimizer)
        if saved and saved["scaler"] and accelerator.scaler is not None:
            accelerator.scaler.load_state_dict(saved["scaler"])

    def run(self, interruption: Interruption) -> bool:
        """Trains to the end, or until interrupted."""
        options, progress, steps = self.options, self.progress, self.schedule.steps
        started = time.monotonic() - progress.seconds
        self.composite = average(gather_object(self.validation.composite_scores()))
        stopped, statistics = False, StepStatistics()
        bar = progress_bar(steps, progress.step, shown=bool(self.writer))
        with closing(self.batches) as micro_batches, self.writer or nullcontext(), bar:
            if options.validation_pairs and progress.step == 0:
                self._validate()  # the initial weights, for comparison
            while progress.step < steps and not stopped:
                statistics.add(*self._step(micro_batches))
                bar.update()
                progress.seconds = time.monotonic() - started
                step, last = progress.step, progress.step == steps
                stopped = self._in_any_process(interruption.requested)
                if step % options.log_every == 0 or last:
                    self._log(statistics, bar)
                    statistics = StepStatistics()
                if options.validation_pairs and (step % options.validate_every == 0 or last):
                    self._validate()
                if step % options.checkpoint_every == 0 or last or stopped:
                    self._save()
        self._end_processes()
        return progress.step == steps

    def _step(self, micro_batches: Iterator[Batch]) -> tuple[Tensor, Tensor, int, float]:
        """One optimizer step; returns its loss, the norm of its gradient, its images and seconds."""
        begun = time.monotonic()
        options, accelerator, progress = self.options, self.accelerator, self.progress
        for group, rate in zip(self.optimizer.param_groups, self.rates):
            group["lr"] = rate * self.schedule.learning_rate(progress.step)
        total = torch.zeros((), device=accelerator.device)
        for left in reversed(range(options.accumulate)):
            composite, mask, real = self._to_device(next(micro_batches))
            # gradients are reduced over the processes once a step, after its last micro-batch
            with accelerator.no_sync(self.model) if left else nullcontext():
                output = self.model(composite, mask)
                loss = training_loss(output, composite, mask, real, options.affine_loss, options.emphasis)
                loss = loss / options.accumulate
                accelerator.backward(loss)
            total += loss.detach()
        self.last_input = composite[:1], mask[:1]
        norm = accelerator.clip_grad_norm_(self.network.parameters(), options.clip or math.inf)
        finite = bool(norm.isfinite())
        if finite or accelerator.scaler is not None:  # fp16: the scaler skips the step and lowers its scale
            self.optimizer.step()
        self.optimizer.zero_grad()
        batch = self.schedule.stage(progress.step).batch
        progress.step += 1
        progress.position += batch
        if finite:
            self.failures = 0
            update_average(self.ema, self.network, options.ema, progress.step)
        else:
            self._count_failure()
        return total, norm, batch, time.monotonic() - begun

    @torch.no_grad()
    def _output_is_finite(self) -> bool:
        """Whether the network's output for the image it saw last is finite."""
        return bool(self.network.forward(*self.last_input).isfinite().all())  # forward is never compiled

    def _to_device(self, batch: Batch) -> list[Tensor]:
        device = self.accelerator.device
        return [each.to(device, non_blocking=True, memory_format=self.memory_format) for each in batch]

    def _count_failure(self) -> None:
        self.progress.skipped += 1
        self.failures += 1
        if self.accelerator.scaler is None:
            log.warning("Step %d left out: its loss or gradient is not finite.", self.progress.step)
        if self.failures == PATIENCE:
            self._abort(f"{PATIENCE} steps in a row had a loss or gradient that is not finite")

    def _abort(self, reason: str) -> None:
        raise TrainingError(
            f"Training ends at step {self.progress.step}: {reason}. Try a lower learning_rate, clip=1 or "
            f"precision=no; {what_is_kept(self.checkpoint)}."
        )

    def _in_any_process(self, here: bool) -> bool:
        """Whether a condition holds in any of the processes."""
        if self.accelerator.num_processes == 1:
            return here
        return bool(self.accelerator.reduce(torch.tensor(float(here), device=self.accelerator.device)))

    def _log(self, statistics: StepStatistics, bar: tqdm) -> None:
        loss, norm = self.accelerator.reduce(statistics.means(), "mean").tolist()
        if not self.writer:
            return
        step = self.progress.step
        size, rate = self.schedule.size(step - 1), self.schedule.learning_rate(step - 1)
        scalars = {"loss": loss, "gradient_norm": norm, "learning_rate": rate, "size": size}
        for name, value in (scalars | {"pictures_per_second": statistics.speed}).items():
            self.writer.add_scalar(f"training/{name}", value, step)
        bar.set_postfix_str(f"loss {loss:.4f}, {size} px, {statistics.speed:.1f} pictures/s")

    def _validate(self) -> None:
        """Measures the moving average and keeps it where it is the best so far."""
        progress, pairs = self.progress, self.validation
        scores = average(gather_object(pairs.scores(self.ema)))
        progress.fmse, progress.psnr = scores.fmse, scores.psnr
        better = scores.fmse < progress.best
        progress.best = min(progress.best, scores.fmse)
        if not self.writer:
            return
        for name in ("fmse", "psnr", "mse"):
            self.writer.add_scalar(f"validation/{name}", getattr(scores, name), progress.step)
        if pairs.pairs:
            grid = pairs.picture_grid(self.ema)
            self.writer.add_image("composite, mask, result, real", grid, progress.step, dataformats="HWC")
        log.info("Step %d: %s.", progress.step, figures(progress, self.composite))
        if better:
            save_network(self.ema, self.folder / "best.safetensors", self._metadata())

    def _save(self) -> None:
        """Writes the checkpoint and the weights."""
        if self._in_any_process(not self._output_is_finite()):
            self._abort("the network's output is no longer finite")
        states = gather_object([random_states()])
        if not self.writer:
            return
        save_checkpoint(
            self.checkpoint,
            self.progress,
            config=asdict(self.network.config),
            network=self.network.state_dict(),
            average=self.ema.state_dict(),
            optimizer=self.optimizer.state_dict(),
            scaler=self.accelerator.scaler.state_dict() if self.accelerator.scaler else {},
            random=states,
        )
        save_network(self.ema, self.folder / "weights.safetensors", self._metadata())

    def _end_processes(self) -> None:
        """Destroys the process group."""
        if self.accelerator.num_processes > 1:
            # Deadlock: Gloo's threads need the GIL to free the buffers they sent last, and destroying the process group
            # waits for those threads while it holds the GIL. So they get time to finish first.
            time.sleep(0.5)
        self.accelerator.end_training()

    def _metadata(self) -> dict[str, str]:
        device = f"{self.accelerator.num_processes} x {self.accelerator.device.type}"
        return describe_weights(self.options, self.progress, self.pictures, self.composite, device)
