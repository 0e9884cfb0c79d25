"""The training loop, in one or several processes; an interrupted run continues as if it had never stopped."""

import contextlib
import logging
import math
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from bl30k_gen.dataset.files import clear_disk_errors, write_atomically, write_json
from bl30k_gen.errors import UserError
from models import checkpoint
from models.propagation import PropagationNetwork
from training.data.mixture import SampleOrder, loader, open_mixture
from training.engine import visualisation
from training.engine.distributed import Processes
from training.engine.held_out import validate
from training.runs.card import card
from training.runs.folder import RunFolder, describe_environment, describe_weights
from training.schema.stage import Optimiser, Stage, ValidationVideos
from training.tasks import speed
from training.tasks.losses import hard_pixel_ratio
from training.tasks.network import AnyBatch, AnyStep, build_network, build_step, freeze_batchnorm
from training.tasks.speed import choose_precision

if TYPE_CHECKING:
    from training.engine.validation import Validation

log = logging.getLogger(__name__)


class Stopped(Exception):
    """The run was stopped by a signal. Its state is saved, and the same command continues."""


def open_validation(videos: ValidationVideos) -> "Validation | None":
    """A stage's ``Validation``, if it has videos for it."""
    if videos.path is None:
        return None
    from training.engine.validation import Validation  # imported here: it loads the inference engine

    return Validation(videos)


def learning_rate(optimiser: Optimiser, iteration: int) -> float:
    """The learning rate in an iteration: linear warm-up, then steps of decay."""
    warm = min(1.0, (iteration + 1) / optimiser.warm_up) if optimiser.warm_up else 1.0
    return optimiser.learning_rate * warm * optimiser.decay ** sum(iteration >= at for at in optimiser.decay_at)


class Trainer:
    """One run of a stage in a folder. ``run()`` continues from the newest state in it.

    The sample order, the learning rate and the kept share depend on the iteration alone, so the iteration is all that
    a state stores of them.
    """

    def __init__(self, stage: Stage, out: Path, processes: Processes, start: Path | None = None):
        self.stage, self.start, self.processes, self.device = stage, start, processes, processes.device
        self.folder = RunFolder(Path(out))
        self.mixture = open_mixture(stage)
        self.folder.require_same(stage.sources, stage.identity())
        state = self.folder.latest(stage.iterations)
        self.network = build_network(
            stage.network,
            stage.model,
            objects=stage.objects,
            imagenet=stage.imagenet if state is None else "none",
            seed=stage.seed,
            start=start if state is None else None,
        )
        self.step: AnyStep | DistributedDataParallel
        step = build_step(self.network, stage.loss, stage.runtime, self.device, stage.alignment, processes.world)
        self.step = step
        self.parameters = [p for p in self.network.parameters() if p.requires_grad]
        rate, decay = stage.optimiser.learning_rate, stage.optimiser.weight_decay
        self.optimiser = torch.optim.Adam(self.parameters, lr=rate, weight_decay=decay)
        self.autocast, half = choose_precision(stage.runtime.precision, self.device)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=half)
        self.iteration, self.bad_steps = 0, 0
        self.window = RunningMeans()
        self.corrupt: list[str] = []
        self.best: dict[str, Any] = {}
        self.validation = open_validation(stage.validation_videos)
        self.stopping = False
        if state is not None:
            self._restore(state)
        self.order = self._order()
        processes.wait()  # until all could be set up
        if processes.leads:
            self.folder.claim(stage.to_yaml())  # after the network was built: a mistake claims no folder
        if processes.world > 1:
            self.step = DistributedDataParallel(step, broadcast_buffers=False)

    def _order(self) -> SampleOrder:
        """The order of the remaining samples. Raises UserError if S2M would get single samples."""
        stage, processes = self.stage, self.processes
        order = SampleOrder(
            self.mixture,
            stage.iterations,
            stage.batch,
            stage.runtime.batch_per_step,
            stage.curriculum,
            first=self.iteration,
            rank=processes.rank,
            world=processes.world,
        )
        if stage.network == "s2m" and order.step * processes.world < 2:
            remedy = "choose a batch that runtime.batch_per_step divides"
            if stage.batch < 2 or stage.runtime.batch_per_step < 2:
                remedy = f"set {'batch' if stage.batch < 2 else 'runtime.batch_per_step'} to 2 or more"
            raise UserError(
                f"S2M's batch norms need two samples at once, and batch {stage.batch} is taken one by one", remedy
            )
        return order

    def run(self) -> None:
        """Train to the last iteration, then write the network and its card.

        Raises:
            Stopped: SIGTERM or SIGINT came; the state is saved.
            UserError: too many consecutive steps had no finite gradient, too many files are damaged, the data have
                changed since the run began, the disk is full, or another process trains in the folder.
        """
        lock = self.folder.lock() if self.processes.leads else contextlib.nullcontext()
        with clear_disk_errors(self.folder.config), lock:
            self._run()

    def _run(self) -> None:
        stage, leads = self.stage, self.processes.leads
        if self.folder.network.exists() and self.iteration >= stage.iterations:
            if leads:
                print(f"{self.folder.root} is finished; its network is {self.folder.network}")
            return
        shown = None
        if leads:
            self.folder.quarantine_after(self.iteration)
            self.folder.forget_after(self.iteration)
            environment = self._environment()
            self._compare(environment)
            write_json(self.folder.environment, environment | {"from_iteration": self.iteration})
        order = self.order
        batches = loader(self.mixture, order, stage.runtime.workers, pin_memory=self.device.type == "cuda")
        bar = tqdm(total=stage.iterations, initial=self.iteration, disable=None if leads else True, unit="it")
        writing = open_writer(self.folder.tensorboard, self.iteration) if leads else contextlib.nullcontext()
        with writing as writer, self._signals(), contextlib.closing(bar):
            while self.iteration < stage.iterations:
                shown = self._iterate(batches, order.steps)
                bar.update()
                if self._is_due(stage.runtime.log_every):
                    self._log(writer, bar)
                if writer is not None and self.iteration % stage.runtime.picture_every == 0:
                    writer.add_image("samples", visualisation.show(*shown), self.iteration, dataformats="HWC")
                if self.validation and self._is_due(stage.validation_videos.every):
                    self._validate_on_videos(self.validation, writer)
                if writer is not None and stage.validation and self._is_due(stage.validation.every):
                    self._validate_on_images(writer)
                stop = self.processes.any(self.stopping)
                if stop or self._is_due(stage.runtime.save_every):
                    self._save()
                if stop:
                    raise Stopped(f"stopped after iteration {self.iteration}; the same command continues")
        if leads:
            if shown:
                visualisation.save(self.folder.samples, *shown)
            write_atomically(self.folder.card, card(self.folder, stage, environment, self.folder.network))
            checkpoint.save(self.network, self.folder.network)  # last: with it the run is finished
        self.processes.wait()

    def _is_due(self, every: int) -> bool:
        """Whether this iteration is a multiple of ``every``, or the last one."""
        return self.iteration % every == 0 or self.iteration == self.stage.iterations

    def _environment(self) -> dict[str, Any]:
        """What the result depends on; a run that continues keeps its record of the first weights."""
        if self.iteration:
            start = self.folder.read_environment().get("start")
        else:
            start = describe_weights(self.start) if self.start else None
        alignment = describe_weights(Path(self.stage.alignment)) if self.stage.alignment else None
        return describe_environment(self.device, self.processes.world, self.mixture.describe(), start, alignment)

    def _compare(self, environment: dict[str, Any]) -> None:
        """Say and log what has changed since the run was last started.

        Raises UserError for other data, and for another network that aligns fusion.
        """
        if not self.iteration:
            return
        changes = self.folder.changes(environment)
        for key, (before, now) in changes.items():
            if key.startswith("data.") and key.endswith(".digest"):
                raise UserError(
                    f"{self.folder.root} began with other items in {key.split('.')[1]}",
                    "restore its list of items, or choose another --out",
                )
            if key == "alignment.sha256" and before is not None:  # older runs do not record it
                raise UserError(
                    f"{self.folder.root} began with another alignment than {self.stage.alignment}",
                    "give the weights of its first start, or choose another --out",
                )
            print(f"{key} was {before} when the run was last started, and is {now}", flush=True)
        if changes:
            self._event({"event": "other environment", "changes": changes})

    def _validate_on_videos(self, validation: "Validation", writer: Any) -> None:
        """Compute J&F on the validation videos, and save the network if it is the best so far."""
        assert isinstance(self.network, PropagationNetwork)  # checked by Stage
        self.network.eval()
        with speed.as_built(self.network):
            score = validation.score(self.network, self.processes)
        freeze_batchnorm(self.network)
        better = score > self.best.get("J&F", -1)
        if better:
            self.best = {"iteration": self.iteration, "J&F": score}
        if self.processes.leads:
            self.folder.record({"iteration": self.iteration, "J&F": score})
            writer.add_scalar("validation/J&F", score, self.iteration)
            print(f"{self.iteration}/{self.stage.iterations} J&F {score:.1f} on the validation videos", flush=True)
            if better:
                checkpoint.save(self.network, self.folder.best)

    def _iterate(self, batches: Iterator[AnyBatch], steps: int) -> tuple[AnyBatch, torch.Tensor]:
        """One iteration: ``steps`` batches, one step of the optimiser."""
        stage, began = self.stage, time.perf_counter()
        rate = learning_rate(stage.optimiser, self.iteration)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        share = hard_pixel_ratio(self.iteration, stage.loss.warm_up, stage.loss.kept)
        self.optimiser.zero_grad(set_to_none=True)
        waited, values = 0.0, RunningMeans()
        for number in range(steps):
            before = time.perf_counter()
            batch = next(batches)
            waited += time.perf_counter() - before
            self._skip(batch.skipped)
            batch = batch.to(self.device)
            last = number == steps - 1
            parallel = self.step if isinstance(self.step, DistributedDataParallel) else None
            with parallel.no_sync() if parallel is not None and not last else contextlib.nullcontext():
                with torch.autocast(self.device.type, self.autocast, enabled=self.autocast is not None):
                    total, parts, masks = self.step(batch, share)
                self.scaler.scale(total / steps).backward()
            values.add({"loss": total.detach(), **parts})
        self.scaler.unscale_(self.optimiser)
        norm = nn.utils.clip_grad_norm_(self.parameters, stage.optimiser.clip or math.inf).item()
        if self._take_step(norm):
            self.window.add(values.means(), {"gradient": norm})
        self.iteration += 1
        self.window.add({"seconds": time.perf_counter() - began, "waiting": waited})
        return batch, masks

    def _take_step(self, norm: float) -> bool:
        """Take a step if the gradient is finite. All processes have the same gradient, so all do the same."""
        finite = math.isfinite(norm)
        if finite:
            self.scaler.step(self.optimiser)
            self.bad_steps = 0
        else:
            self.bad_steps += 1
            self._event({"event": "bad step", "in_a_row": self.bad_steps})
            if self.bad_steps > self.stage.runtime.bad_steps:
                raise UserError(
                    f"{self.bad_steps} steps in a row up to iteration {self.iteration + 1} had no finite gradient",
                    "lower optimiser.learning_rate, or set runtime.precision=fp32; the last saved state is sound",
                )
        self.scaler.update()
        return finite

    def _skip(self, skipped: list[str]) -> None:
        for text in skipped:
            if text not in self.corrupt:
                self.corrupt.append(text)
                if self.processes.leads:
                    self._event({"event": "damaged file", "text": text})
                    log.warning("skipped: %s", text)
        if len(self.corrupt) > self.stage.runtime.corrupt_files:
            raise UserError(
                f"{len(self.corrupt)} files are damaged, the last: {self.corrupt[-1]}",
                "restore the data (log.jsonl names all), or raise runtime.corrupt_files",
            )

    def _event(self, values: dict[str, Any]) -> None:
        if self.processes.leads:
            self.folder.record({"iteration": self.iteration + 1, **values})

    def _log(self, writer, bar: tqdm) -> None:
        values = self.window.close(self.processes)
        self._skip(self.processes.join(self.corrupt))
        if not self.processes.leads:
            return
        rate = learning_rate(self.stage.optimiser, self.iteration - 1)
        epoch = (self.iteration * self.stage.batch - 1) // self.mixture.epoch_length()
        loss = self.stage.loss
        share = hard_pixel_ratio(self.iteration - 1, loss.warm_up, loss.kept)
        record = {"iteration": self.iteration, "epoch": epoch, "learning_rate": rate, "kept": share, **values}
        self.folder.record(record)
        for key, value in record.items():
            if key != "iteration":
                writer.add_scalar(key, value, self.iteration)
        shown: dict[str, object] = {key: f"{values[key]:.4f}" for key in ("loss", "iou") if key in values}
        bar.set_postfix(shown)
        if bar.disable:
            words = " ".join(f"{key} {value}" for key, value in shown.items())
            seconds = f"{values['seconds']:.2f} s/it, {values['waiting']:.2f} s of it waiting for data"
            print(f"{self.iteration}/{self.stage.iterations} {words} {seconds}", flush=True)

    def _validate_on_images(self, writer) -> None:
        assert self.stage.validation is not None
        step = self.step.module if isinstance(self.step, DistributedDataParallel) else self.step
        samples, batch_size = self.stage.validation.samples, self.stage.runtime.batch_per_step
        with torch.autocast(self.device.type, self.autocast, enabled=self.autocast is not None):
            result = validate(step, self.mixture, samples, batch_size, self.device)
        self._skip(result.skipped)
        means = {f"validation_{key}": value for key, value in result.means.items()}
        self.folder.record({"iteration": self.iteration, "validated": result.samples, **means})
        for key, mean in means.items():
            writer.add_scalar(key, mean, self.iteration)
        if result.image is not None:
            writer.add_image("validation", result.image, self.iteration, dataformats="HWC")

    def _save(self) -> None:
        self.window.share(self.processes)
        if self.processes.leads:
            state = {
                "iteration": self.iteration,
                "position": self.iteration * self.stage.batch,
                "network": self.network.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "scaler": self.scaler.state_dict(),
                "random": random_state(self.device),
                "window": self.window.state(),
                "bad_steps": self.bad_steps,
                "corrupt": self.corrupt,
                "best": self.best,
            }
            self.folder.save(state, self.stage.runtime.keep)
        self.processes.wait()

    def _restore(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        if state["scaler"]:  # that of another precision is empty
            self.scaler.load_state_dict(state["scaler"])
        self.iteration, self.bad_steps, self.corrupt = state["iteration"], state["bad_steps"], state["corrupt"]
        self.best = state["best"]
        self.window = RunningMeans(**state["window"])
        torch.set_rng_state(state["random"]["cpu"])
        if self.device.type == "cuda" and "cuda" in state["random"]:
            torch.cuda.set_rng_state(state["random"]["cuda"], self.device)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Let SIGTERM (a batch system's warning) and SIGINT end the run after the current iteration."""

        def stop(number, frame):
            self.stopping = True

        before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class RunningMeans:
    """Means since the last record. Sums stay on the device and are read once per record."""

    def __init__(self, sums: dict[str, float] | None = None, counts: dict[str, int] | None = None):
        self.sums: dict[str, Any] = dict(sums or {})
        self.counts = dict(counts or {})

    def add(self, *groups: dict[str, Any]) -> None:
        for values in groups:
            for key, value in values.items():
                self.sums[key] = self.sums.get(key, 0.0) + value
                self.counts[key] = self.counts.get(key, 0) + 1

    def state(self) -> dict[str, dict]:
        return {"sums": {k: float(v) for k, v in self.sums.items()}, "counts": dict(self.counts)}

    def share(self, processes: Processes) -> None:
        """Replace the sums by their means over all processes: one process saves them, and all continue from it."""
        if processes.world > 1 and self.sums:
            sums = torch.tensor([float(value) for value in self.sums.values()], dtype=torch.float64)
            self.sums = dict(zip(self.sums, processes.mean(sums.to(processes.device)).tolist(), strict=True))

    def means(self) -> dict[str, Any]:
        return {key: total / self.counts[key] for key, total in self.sums.items()}

    def close(self, processes: Processes) -> dict[str, float]:
        """Return the means over all processes, and reset the sums."""
        self.share(processes)
        values = {key: float(mean) for key, mean in self.means().items()}
        self.sums, self.counts = {}, {}
        return values


def random_state(device: torch.device) -> dict[str, torch.Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def open_writer(folder: Path, iteration: int):
    """A TensorBoard writer that discards records after ``iteration``."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UserError("tensorboard is not installed", "pip install tensorboard") from None
    return SummaryWriter(str(folder), purge_step=iteration + 1)
