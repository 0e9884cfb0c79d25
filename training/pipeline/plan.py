"""Plans and runs a recipe: trains its stages in order, makes fusion data, evaluates the result.

    out/0-stm-static/           a run's folder for each stage
    out/3-fusion-data-bl30k/    a fusion set
    out/7-evaluation/           masks, scores, the interactive benchmark
    out/report.md               the results of all steps: tables and images

Each step finds in its own folder what is done, so the same command continues after an interruption.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bl30k_gen.errors import UserError, nearest
from bl30k_gen.text import duration
from training.engine.distributed import Processes
from training.pipeline.estimate import Pace
from training.pipeline.report import write_pipeline_report
from training.pipeline.steps import (
    PlannedEvaluation,
    PlannedFusionData,
    PlannedStep,
    PlannedTraining,
    begin,
    wait_for,
)
from training.schema.data import AnySource, VideoSource, place_of
from training.schema.recipe import EvaluateStep, FusionDataStep, Recipe, StageStep, changes_of, divide_overrides
from training.schema.stage import PROPAGATION, Stage, load_stage

Say = Callable[[str], None]


def plan(
    recipe: Recipe,
    out: Path,
    data: Iterable[str] = (),
    overrides: Iterable[str] = (),
    preset: str | None = None,
    start: Path | None = None,
    say: Say = print,
) -> list[PlannedStep]:
    """The steps of a recipe in order, each with its folder and its input.

    A stage starts from the network of the last stage of the same kind. Fusion is aligned by the propagation network
    trained last. An override of a source applies to the stages that have this source.

    Args:
        data: as for ``load_stage``; names may be those of any stage. A plain PATH is for the stages of whose sources
            none is named. It replaces their sources, which is said.
        start: weights of the first stage.

    Raises:
        UserError: a stage or a step does not fit.
    """
    data = list(data)
    _check_source_names(data, _sources(recipe))
    planner = _Planner(recipe, out, data, divide_overrides(overrides)[1], preset, start, say)
    for number, step in enumerate(recipe.steps):
        planner.add(number, step)
    return planner.planned


def _check_source_names(data: list[str], sources: list[str]) -> None:
    """Raise UserError for a ``--data NAME=PATH`` whose name is no source of the recipe."""
    for place in data:
        name = _source(place)
        if name is not None and name not in sources:
            remedy = nearest(name, sources, f"sources are {', '.join(sources)}")
            raise UserError(f"--data {place}: no stage has this source", remedy)


@dataclass
class _Planner:
    """Plans the steps of a recipe one after the other; later steps use what earlier ones leave.

    stages: the stages planned so far, by name. trained: {network: folder of the last run that trains it}.
    propagation, propagation_stage: the last run of any propagation network, and its stage. fusion_set: fusion data
    that no stage has used yet.
    """

    recipe: Recipe
    out: Path
    data: list[str]
    overrides: list[str]
    preset: str | None
    start: Path | None
    say: Say
    planned: list[PlannedStep] = field(default_factory=list)
    stages: dict[str, Stage] = field(default_factory=dict)
    trained: dict[str, Path] = field(default_factory=dict)
    propagation: Path | None = None
    propagation_stage: Stage | None = None
    fusion_set: Path | None = None

    def add(self, number: int, step: StageStep | FusionDataStep | EvaluateStep) -> None:
        if isinstance(step, StageStep):
            self.planned.append(self._training(number, step))
        elif isinstance(step, FusionDataStep):
            self.planned.append(self._fusion_data(number, step))
        else:
            self.planned.append(self._evaluation(number, step))

    def _training(self, number: int, step: StageStep) -> PlannedTraining:
        base = load_stage(step.stage)
        changes = changes_of(self.recipe, step, base.network)
        if base.network == "fusion" and changes.get("model.difference_aware", True):
            changes = ({"alignment": str(self.propagation)} if self.propagation else {}) | changes
        takes_fusion_set = base.network == "fusion" and self.fusion_set is not None
        if takes_fusion_set:
            data = [f"{next(iter(base.sources))}={self.fusion_set}"]
            self.fusion_set = None
        else:
            data = [place for place in self.data if _source(place) in base.sources]
            data = data or [place for place in self.data if _source(place) is None]
        overrides = [override for override in self.overrides if _is_for(override, base.data)]
        stage = self.stages[step.stage] = load_stage(step.stage, overrides, data, self.preset, changes)
        if not takes_fusion_set:
            _report_substitutes(step.stage, base.sources, stage.data, self.say)
        start = self.trained.get(base.network, None if self.planned else self.start)
        folder = self.trained[base.network] = self.out / f"{number}-{step.stage.replace('/', '-')}"
        if base.network in PROPAGATION:
            self.propagation, self.propagation_stage = folder, stage
        return PlannedTraining(step.stage, folder, stage, start, takes_fusion_set)

    def _fusion_data(self, number: int, step: FusionDataStep) -> PlannedFusionData:
        network, _ = self._require_propagation("fusion_data")
        folder = self.fusion_set = self.out / f"{number}-fusion-data-{step.fusion_data.replace('/', '-')}"
        source = _videos_of(self.stages, step.fusion_data, step.source)
        return PlannedFusionData(f"fusion data of {step.fusion_data}", folder, network, source, step)

    def _evaluation(self, number: int, step: EvaluateStep) -> PlannedEvaluation:
        network, stage = self._require_propagation("evaluate")
        source = _videos_of(self.stages, step.evaluate, step.source)
        return PlannedEvaluation(
            name="evaluation",
            folder=self.out / f"{number}-evaluation",
            network=network,
            fusion=self.trained.get("fusion"),
            s2m=self.trained.get("s2m"),
            stage=stage,
            dataset=place_of(source.path),
            masks=source.masks,
            step=step,
        )

    def _require_propagation(self, step: str) -> tuple[Path, Stage]:
        """The run of the propagation network that a step of this kind uses, and its stage.

        Raises UserError if none is trained before it.
        """
        if self.propagation is None or self.propagation_stage is None:
            raise UserError(f"a step {step} comes before any propagation network", "put a stage of one before it")
        return self.propagation, self.propagation_stage


def run_pipeline(recipe: Recipe, work: list[PlannedStep], out: Path, processes: Processes) -> None:
    """Check all steps, print how much work they are, run them, and write ``out/report.md``."""
    for step in work:
        step.check(processes)
    begin(out, processes)
    if processes.leads:
        print(f"{len(work)} steps into {out}:")
        pace = Pace(processes.device, {step.folder: step.stage for step in work if isinstance(step, PlannedTraining)})
        seconds = 0.0
        for step in work:
            own = step.seconds(pace) / processes.world
            seconds += own
            print(f"  {step.folder.name}: {step.amount()}{f', about {duration(own)}' if own else ''}", flush=True)
        print(
            f"about {duration(seconds)} in all on {processes}, by a few samples and frames of each kind", flush=True
        )
    wait_for(out, processes, [0])  # measuring a network takes minutes
    for step in work:
        step.run(processes)
    if processes.leads:
        print(write_pipeline_report(recipe, work, out))


def _source(place: str) -> str | None:
    """NAME of ``--data NAME=PATH``; None for a plain PATH."""
    name, equals, _ = place.partition("=")
    return name if equals and name.isidentifier() else None


def _sources(recipe: Recipe) -> list[str]:
    """The sources for which a recipe needs data; a stage that uses a fusion set of an earlier step needs none."""
    needed: set[str] = set()
    has_fusion_set = False
    for step in recipe.steps:
        if isinstance(step, FusionDataStep):
            has_fusion_set = True
        elif isinstance(step, StageStep):
            stage = load_stage(step.stage)
            if has_fusion_set and stage.network == "fusion":
                has_fusion_set = False
            else:
                needed |= stage.sources.keys()
    return sorted(needed)


def _is_for(override: str, sources: Collection[str]) -> bool:
    """Whether an override applies to a stage with these sources: it changes one of them, or none at all."""
    parts = override.partition("=")[0].split(".")
    return parts[0] != "data" or len(parts) < 2 or parts[1] in sources


def _videos_of(stages: dict[str, Stage], name: str, source: str | None) -> VideoSource:
    """The source of videos that a step names, or the only source of a stage whose sources were replaced."""
    if name not in stages:
        raise UserError(f"a step takes the videos of {name}", f"stages before it are {', '.join(stages) or 'none'}")
    sources = stages[name].sources
    label = source if source in sources or len(sources) != 1 else next(iter(sources))
    chosen = sources.get(label) if label is not None else None
    if not isinstance(chosen, VideoSource):
        raise UserError(f"stage {name} has no videos {source or 'of one source'}", f"it has {', '.join(sources)}")
    if chosen.path is None:
        raise UserError(f"source {label} of stage {name} has no path", f"give --data {label}=PATH")
    return chosen


def _report_substitutes(name: str, wanted: Mapping[str, AnySource], given: Mapping[str, AnySource], say: Say) -> None:
    """Say which data replace a stage's sources."""
    lacking = [source for source in wanted if source not in given]
    if not lacking or len(wanted) == 1:
        return
    kind = next(iter(wanted.values())).kind
    what = {"images": "still images are", "videos": "real video is"}.get(kind, "data are")
    paths = ", ".join(str(source.path) for source in given.values() if source.weight > 0)
    say(f"{name}: no {what} given ({', '.join(lacking)}); {paths} stands in")
