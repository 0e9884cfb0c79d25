"""The steps of a recipe: train a stage, make fusion data, evaluate. Each finds in its folder what is done."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bl30k_gen.dataset.files import write_atomically
from bl30k_gen.dataset.masks import Meaning
from bl30k_gen.dataset.reader import open_dataset
from bl30k_gen.errors import UserError, require_choice
from bl30k_gen.text import plural
from training.data.mixture import open_mixture, samples_per_process
from training.data.videos import choose_videos
from training.engine.distributed import Processes
from training.engine.dry_run import amount, dry_run, show_settings
from training.pipeline.estimate import Pace
from training.runs.folder import RunFolder
from training.schema.data import VideoSource, place_of
from training.schema.recipe import EvaluateStep, FusionData
from training.schema.stage import Stage

INTERACTIVE = 3 * 8
"""Passes of the interactive benchmark through a video: eight interactions for each of three scribbles."""


class PlannedStep(Protocol):
    """A step with its folder and the paths of its input."""

    @property
    def name(self) -> str: ...

    @property
    def folder(self) -> Path: ...

    def check(self, processes: Processes) -> None:
        """Raise UserError for mistakes that can be found before the work begins."""

    def amount(self) -> str:
        """The amount of work in words, or that it is finished."""

    def seconds(self, pace: Pace) -> float:
        """Estimated seconds for the remaining work in one process."""

    def show(self, device: str) -> None:
        """Print what the step would do."""

    def run(self, processes: Processes) -> None:
        """Do the work, or what is left of it."""


@dataclass(frozen=True)
class PlannedTraining:
    """start: weights, or the folder of an earlier run. made: an earlier step makes the fusion set."""

    name: str
    folder: Path
    stage: Stage
    start: Path | None
    made: bool = False

    def check(self, processes: Processes) -> None:
        if not self.made and not RunFolder(self.folder).network.exists():
            open_mixture(self.stage)
            samples_per_process(self.stage.batch, processes.world)

    def amount(self) -> str:
        if RunFolder(self.folder).network.exists():
            return "finished"
        return amount(self.stage)

    def seconds(self, pace: Pace) -> float:
        run = RunFolder(self.folder)
        if run.network.exists():
            return 0.0
        done = int(run.states()[-1].stem) if run.states() else 0
        return max(0, self.stage.iterations - done) * self.stage.batch * pace.sample(self.stage)

    def show(self, device: str) -> None:
        if self.made and not all(Path(place_of(source.path)).exists() for source in self.stage.sources.values()):
            show_settings(self.stage, self.folder)
            print("its data are made by the step before and are not there yet")
            return
        # Later stages start from weights that do not exist yet.
        first = self.start is None or self.start.suffix or RunFolder(self.start).network.exists()
        stage = self.stage if first else self.stage.model_copy(update={"imagenet": "none"})
        dry_run(stage, self.folder, device, self.start if first else None)

    def run(self, processes: Processes) -> None:
        from training.engine.trainer import Trainer

        run = RunFolder(self.folder)
        if run.network.exists():
            run.require_same(self.stage.sources, self.stage.identity())
            if processes.leads:
                print(f"{self.folder} is finished; its network is {run.network}", flush=True)
            return
        trainer = Trainer(self.stage, self.folder, processes, self.start)  # opens the data
        if processes.leads:
            print(f"{self.name}: training into {self.folder} on {processes}", flush=True)
        trainer.run()


@dataclass(frozen=True)
class PlannedFusionData:
    """Propagations through the videos of ``source`` by ``network``; processes share the videos."""

    name: str
    folder: Path
    network: Path
    source: VideoSource
    numbers: FusionData

    def check(self, processes: Processes) -> None:
        if not self._videos():
            raise UserError(f"{self.source.path} has no videos to make fusion data of", "check split and share")

    def amount(self) -> str:
        return f"{plural(len(self._videos()), 'video')} to propagate through"

    def seconds(self, pace: Pace) -> float:
        from training.pipeline.fusion_data import frames_to_propagate

        store = open_dataset(place_of(self.source.path), masks_mean=self.source.masks)
        numbers, left = self.numbers, [name for name in self._videos() if not (self.folder / name).is_dir()]
        frames = sum(frames_to_propagate(store, name, numbers.separation, numbers.range) for name in left)
        return frames * pace.frame(self.network, store, left[0]) if left else 0.0

    def show(self, device: str) -> None:
        videos = plural(len(self._videos()), "video")
        references = f"with references {plural(self.numbers.separation, 'frame')} apart"
        print(f"propagate through {videos} of {self.source.path} by {self.network}, {references}")

    def run(self, processes: Processes) -> None:
        from training.pipeline.fusion_data import make_fusion_data

        numbers, part = self.numbers, (processes.rank, processes.world)
        begin(self.folder, processes)
        if processes.leads:
            print(f"{self.name}: propagating into {self.folder}", flush=True)
        make_fusion_data(
            self.network,
            place_of(self.source.path),
            self.folder,
            self._videos(),
            numbers.separation,
            numbers.range,
            numbers.memory_every,
            part,
            device=processes.device.type,
            masks=self.source.masks,
        )
        wait_for(self.folder, processes, range(processes.world))

    def _videos(self) -> list[str]:
        return choose_videos(open_dataset(place_of(self.source.path)), self.source)


@dataclass(frozen=True)
class PlannedEvaluation:
    """The semi-supervised protocol, and the interactive benchmark if the step asks for it.

    stage: of the propagation network. masks: what the dataset's masks mean; None: decided over the whole dataset.
    """

    name: str
    folder: Path
    network: Path
    fusion: Path | None
    s2m: Path | None
    stage: Stage
    dataset: str
    masks: Meaning | None
    step: EvaluateStep

    def check(self, processes: Processes) -> None:
        from models.propagation import PropagationNetwork
        from training.evaluation.semi_supervised import PROTOCOLS
        from training.experiments.evaluate import open_annotated, require_complete, require_scorable
        from training.inference.segment import checked_options
        from training.tasks.network import build_network

        require_choice("evaluate.protocol", self.step.protocol, list(PROTOCOLS))
        store, names, _ = open_annotated(self.dataset, self.split()[0], self.masks)
        if self.step.protocol != "all":
            require_scorable(store, names, self.dataset)
        for name in names if self.step.interactive else ():
            require_complete(store, name)
        network = build_network(self.stage.network, self.stage.model, objects=self.stage.objects)
        assert isinstance(network, PropagationNetwork)
        checked_options(network, **self.step.options)

    def split(self) -> tuple[str | None, str]:
        """The list of videos, and a note if the dataset lacks the list that the recipe names."""
        store = open_dataset(self.dataset)
        name = Path(self.step.split).name
        if any(Path(path).stem == name for path in store.image_set_paths()) and store.image_set(self.step.split):
            return self.step.split, ""
        return (
            None,
            f"{self.dataset} holds no video out ({self.step.split}): all are evaluated, also those of training",
        )

    def amount(self) -> str:
        from training.experiments.evaluate import open_annotated

        videos = open_annotated(self.dataset, self.split()[0], self.masks)[1]
        return f"{plural(len(videos), 'video')} to evaluate" + (
            ", also interactively" if self.step.interactive else ""
        )

    def seconds(self, pace: Pace) -> float:
        from training.experiments.evaluate import open_annotated

        store, videos, _ = open_annotated(self.dataset, self.split()[0], self.masks)
        frames = sum(len(store.frames(name)) for name in videos)
        times = 1 + (INTERACTIVE if self.step.interactive else 0)
        return times * frames * pace.frame(self.network, store, videos[0])

    def show(self, device: str) -> None:
        split, note = self.split()
        print(f"evaluate on {self.dataset}, list {split}: {self.step}", note, sep="\n" if note else "")

    def run(self, processes: Processes) -> None:
        from training.experiments.evaluate import evaluate_interactive, evaluate_semi_supervised

        begin(self.folder, processes)
        if processes.leads:
            split, note = self.split()
            print(f"{self.name}: evaluating into {self.folder}", note, sep="\n" if note else "", flush=True)
            options = {"device": processes.device.type, "masks": self.masks, **self.step.options}
            evaluate_semi_supervised(
                self.network, self.dataset, self.folder / "semi_supervised", self.step.protocol, split, **options
            )
            if self.step.interactive:
                if self.s2m is None:
                    print("no S2M was trained: scribbled frames are corrected perfectly", flush=True)
                evaluate_interactive(
                    self.network,
                    self.s2m,
                    self.dataset,
                    self.folder / "interactive",
                    self.fusion or "linear",
                    split=split,
                    **options,
                )
        wait_for(self.folder, processes, [0])


def _marker(folder: Path, rank: int, world: int) -> Path:
    return folder / f".{rank}-of-{world}.done"


def begin(folder: Path, processes: Processes) -> None:
    """Begin work in a folder whose end ``wait_for`` waits for."""
    _marker(folder, processes.rank, processes.world).unlink(missing_ok=True)
    processes.wait()


def wait_for(folder: Path, processes: Processes, ranks: Iterable[int]) -> None:
    """Mark the part of this process as done, and wait for those of ``ranks``.

    Each part is marked by a file, because it may take days and collective operations time out.
    """
    if processes.world == 1:
        return
    write_atomically(_marker(folder, processes.rank, processes.world), "")
    while not all(_marker(folder, rank, processes.world).exists() for rank in ranks):
        time.sleep(1)
