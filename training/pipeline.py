"""A recipe carried out: its stages are trained one after the other, fusion data made, the result judged.

    out/0-stm-static/           a run's folder for each stage
    out/3-fusion-data-bl30k/    a fusion set
    out/7-evaluation/           masks, scores, the interactive benchmark
    out/report.md               what came of each step: tables and pictures

Each step looks at its own folder for what is done, so that the same command goes on after an interruption.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bl30k_gen.dataset.files import write_atomically
from bl30k_gen.dataset.reader import open_dataset
from bl30k_gen.errors import UserError
from training.config import PROPAGATION, Stage, load_stage
from training.data.mixture import Mixture, Order
from training.data.settings import VideoSource
from training.data.videos import choose_videos
from training.distributed import Processes
from training.dry_run import dry_run
from training.recipes import (
    EvaluateStep,
    FusionData,
    FusionDataStep,
    Recipe,
    StageStep,
    changes_of,
    divide_overrides,
)
from training.run_folder import RunFolder

Say = Callable[[str], None]


class Work(Protocol):
    """A step with its folder and where everything lies that it needs."""

    name: str
    folder: Path

    def check(self, processes: Processes) -> None:
        """Raise UserError for what can be known to fail before anything is done."""

    def show(self, device: str) -> None:
        """What the step would do."""

    def run(self, processes: Processes) -> None:
        """Do it, or what is left of it."""


@dataclass(frozen=True)
class Training:
    """start: weights, or the folder of the run before. made: the fusion set comes from a step before."""

    name: str
    folder: Path
    stage: Stage
    start: Path | None
    made: bool = False

    def check(self, processes: Processes) -> None:
        if not self.made and not RunFolder(self.folder).network.exists():
            Order(Mixture(self.stage), self.stage, world=processes.world)

    def show(self, device: str) -> None:
        if self.made and not all(Path(source.path).exists() for source in self.stage.sources.values()):
            print(self.stage.to_yaml())
            print("its data are made by the step before and are not there yet")
            return
        # Later stages take the weights of the one before, which are not there yet.
        first = self.start is None or self.start.suffix or RunFolder(self.start).network.exists()
        stage = self.stage if first else self.stage.model_copy(update={"imagenet": "none"})
        dry_run(stage, self.folder, device, self.start if first else None)

    def run(self, processes: Processes) -> None:
        from training.trainer import Trainer

        run = RunFolder(self.folder)
        if run.network.exists():
            run.agree(self.stage)
            if processes.leads:
                print(f"{self.folder} is finished; its network is {run.network}", flush=True)
            return
        if processes.leads:
            print(f"{self.name}: training into {self.folder} on {processes.world} x {processes.device}", flush=True)
        Trainer(self.stage, self.folder, processes, self.start).run()


@dataclass(frozen=True)
class FusionSetWork:
    """Propagations of ``source``'s videos by ``network``; processes share the videos."""

    name: str
    folder: Path
    network: Path
    source: VideoSource
    numbers: FusionData

    def check(self, processes: Processes) -> None:
        if not self._videos():
            raise UserError(f"{self.source.path} has no videos to make fusion data of", "check split and share")

    def show(self, device: str) -> None:
        print(f"propagate {len(self._videos())} videos of {self.source.path} by {self.network}: {self.numbers}")

    def run(self, processes: Processes) -> None:
        from training.fusion_data import make_fusion_data

        numbers, part = self.numbers, (processes.rank, processes.world)
        _begin(self.folder, processes)
        if processes.leads:
            print(f"{self.name}: propagating into {self.folder}", flush=True)
        make_fusion_data(
            self.network, Path(self.source.path), self.folder, self._videos(), numbers.separation, numbers.range,
            numbers.memory_every, part, device=processes.device.type,
        )  # fmt: skip
        _wait_for(self.folder, processes, range(processes.world))

    def _videos(self) -> list[str]:
        return choose_videos(open_dataset(self.source.path), self.source)


@dataclass(frozen=True)
class Judging:
    """The semi-supervised protocol, and the interactive benchmark if the step asks for it."""

    name: str
    folder: Path
    network: Path
    fusion: Path | None
    s2m: Path | None
    dataset: Path
    step: EvaluateStep

    def check(self, processes: Processes) -> None:
        from training.inference.evaluate import open_annotated

        open_annotated(self.dataset, self.split()[0])

    def split(self) -> tuple[str | None, str]:
        """The list of videos, and a note if it cannot be the one that the recipe names."""
        store = open_dataset(self.dataset)
        name = Path(self.step.split).name
        if any(Path(path).stem == name for path in store.image_set_paths()) and store.image_set(self.step.split):
            return self.step.split, ""
        return None, f"{self.dataset} holds no video out ({self.step.split}): all are judged, those of training, too"

    def show(self, device: str) -> None:
        split, note = self.split()
        print(f"judge on {self.dataset}, list {split}: {self.step}", note, sep="\n" if note else "")

    def run(self, processes: Processes) -> None:
        from training.inference.evaluate import evaluate_interactive, evaluate_semi_supervised

        _begin(self.folder, processes)
        if processes.leads:
            split, note = self.split()
            print(f"{self.name}: judging into {self.folder}", note, sep="\n" if note else "", flush=True)
            options = {"device": processes.device.type, **_options(self.step.options)}
            evaluate_semi_supervised(
                self.network, self.dataset, self.folder / "semi_supervised", self.step.protocol, split, **options
            )
            if self.step.interactive:
                if self.s2m is None:
                    print("no S2M was trained: scribbled frames are corrected perfectly", flush=True)
                evaluate_interactive(
                    self.network, self.s2m, self.dataset, self.folder / "interactive", self.fusion or "linear",
                    split=split, **options,
                )  # fmt: skip
        _wait_for(self.folder, processes, [0])


def plan(
    recipe: Recipe,
    out: Path,
    data: Iterable[str] = (),
    overrides: Iterable[str] = (),
    preset: str | None = None,
    start: Path | None = None,
    say: Say = print,
) -> list[Work]:
    """The work of a recipe, in order.

    A stage begins with what the last stage of the same network left; fusion is aligned by the propagation network
    trained last. An override of a source counts for the stages that have it.

    Args:
        data: as for ``load_stage``; names may be those of any stage. A plain PATH is for the stages of whose sources
            none is named, and stands in for them, which is said.
        start: what the first stage begins with.

    Raises:
        UserError: a stage or a step does not fit.
    """
    data, named = list(data), set()
    _, overrides = divide_overrides(overrides)
    work: list[Work] = []
    stages: dict[str, Stage] = {}
    trained: dict[str, Path] = {}
    made: Path | None = None
    for number, step in enumerate(recipe.steps):
        if isinstance(step, StageStep):
            base = load_stage(step.stage)
            known = base.sources
            places = [place for place in data if _source(place) in known] or [p for p in data if not _source(p)]
            changes = changes_of(recipe, step, base.network)
            if base.network == "fusion":
                if changes.get("model.difference_aware", True):
                    changes = _alignment(trained) | changes
            fed = base.network == "fusion" and made is not None
            if fed:
                places = [f"{next(iter(known))}={made}"]
            else:
                named.update(known)
            own = [override for override in overrides if _is_for(override, base)]
            stage = stages[step.stage] = load_stage(step.stage, own, places, preset, changes)
            if not fed:
                _announce(step.stage, base, stage, say)
            folder = out / f"{number}-{step.stage.replace('/', '-')}"
            before = trained.get(base.network, start if not work else None)
            work.append(Training(step.stage, folder, stage, before, fed))
            trained[base.network] = folder
            made = None if fed else made
        elif isinstance(step, FusionDataStep):
            network = _propagation(trained, "fusion_data")
            name = f"fusion data of {step.fusion_data}"
            folder = made = out / f"{number}-fusion-data-{step.fusion_data.replace('/', '-')}"
            source = _videos_of(stages, step.fusion_data, step.source)
            work.append(FusionSetWork(name, folder, network, source, step))
        else:
            network = _propagation(trained, "evaluate")
            source = _videos_of(stages, step.evaluate, step.source)
            folder, parts = out / f"{number}-evaluation", (trained.get("fusion"), trained.get("s2m"))
            work.append(Judging("evaluation", folder, network, *parts, Path(source.path), step))
    for place in data:
        if _source(place) and _source(place) not in named:
            raise UserError(f"--data {place}: no stage has this source", f"sources are {', '.join(sorted(named))}")
    return work


def run_pipeline(recipe: Recipe, work: list[Work], out: Path, processes: Processes) -> None:
    """Check all steps, do them, and write ``out/report.md``."""
    from training.pipeline_report import write_pipeline_report

    for step in work:
        step.check(processes)
    for step in work:
        step.run(processes)
    if processes.leads:
        print(write_pipeline_report(recipe, work, out))


def _source(place: str) -> str | None:
    name, equals, _ = place.partition("=")
    return name if equals and name.isidentifier() else None


def _is_for(override: str, stage: Stage) -> bool:
    """Whether an override is none of a source, or of one that the stage has."""
    parts = override.partition("=")[0].split(".")
    return parts[0] != "data" or len(parts) < 2 or parts[1] in stage.data


def _alignment(trained: dict[str, Path]) -> dict[str, Any]:
    networks = [folder for name, folder in trained.items() if name in PROPAGATION]
    return {"alignment": str(networks[-1])} if networks else {}


def _propagation(trained: dict[str, Path], what: str) -> Path:
    networks = [folder for name, folder in trained.items() if name in PROPAGATION]
    if not networks:
        raise UserError(f"a step {what} comes before any propagation network", "put a stage of one before it")
    return networks[-1]


def _videos_of(stages: dict[str, Stage], name: str, source: str | None) -> VideoSource:
    """The source of videos that a step names, or the only one where something stands in for it."""
    if name not in stages:
        raise UserError(f"a step takes the videos of {name}", f"stages before it are {', '.join(stages) or 'none'}")
    sources = stages[name].sources
    chosen = sources.get(source) or (next(iter(sources.values())) if len(sources) == 1 else None)
    if not isinstance(chosen, VideoSource) or chosen.path is None:
        raise UserError(f"stage {name} has no videos {source or ''}", f"give --data {source or 'NAME'}=PATH")
    return chosen


def _announce(name: str, base: Stage, stage: Stage, say: Say) -> None:
    """Say what stands in for a stage's sources."""
    lacking = [source for source in base.sources if source not in stage.data]
    if not lacking or len(base.sources) == 1:
        return
    kind = next(iter(base.sources.values())).kind
    what = {"images": "still images are", "videos": "real video is"}.get(kind, "data are")
    paths = ", ".join(str(source.path) for source in stage.sources.values())
    say(f"{name}: no {what} given ({', '.join(lacking)}); {paths} stands in")


def _options(options: dict[str, Any]) -> dict[str, Any]:
    from models.memory import Reading

    if "top_k" not in options:
        return options
    rest = {key: value for key, value in options.items() if key != "top_k"}
    return {"reading": Reading(top_k=options["top_k"]), **rest}


def _marker(folder: Path, rank: int, world: int) -> Path:
    return folder / f".{rank}-of-{world}.done"


def _begin(folder: Path, processes: Processes) -> None:
    _marker(folder, processes.rank, processes.world).unlink(missing_ok=True)
    processes.wait()


def _wait_for(folder: Path, processes: Processes, ranks: Iterable[int]) -> None:
    """Say that this process has done its part, and wait for others' parts.

    They may take days, longer than a collective operation waits, so that this is a file of each.
    """
    if processes.world == 1:
        return
    write_atomically(_marker(folder, processes.rank, processes.world), "")
    while not all(_marker(folder, rank, processes.world).exists() for rank in ranks):
        time.sleep(1)
