"""Runs a recipe: trains its stages one after the other, makes fusion data, evaluates the result.

    out/0-stm-static/           a run's folder for each stage
    out/3-fusion-data-bl30k/    a fusion set
    out/7-evaluation/           masks, scores, the interactive benchmark
    out/report.md               what came of each step: tables and images

Each step looks at its own folder for what is done, so that the same command continues after an interruption.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from bl30k_gen.errors import UserError, nearest
from bl30k_gen.text import duration
from training.engine.distributed import Processes
from training.pipeline.estimate import Pace
from training.pipeline.report import write_pipeline_report
from training.pipeline.steps import PlannedEvaluation, PlannedFusionData, PlannedStep, PlannedTraining
from training.schema.data import AnySource, VideoSource, place_of
from training.schema.recipe import FusionDataStep, Recipe, StageStep, changes_of, divide_overrides
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
    data = list(data)
    needed = _sources(recipe)
    for place in data:
        name = _source(place)
        if name is not None and name not in needed:
            remedy = nearest(name, needed, f"sources are {', '.join(needed)}")
            raise UserError(f"--data {place}: no stage has this source", remedy)
    _, overrides = divide_overrides(overrides)
    work: list[PlannedStep] = []
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
            own = [override for override in overrides if _is_for(override, base.data)]
            stage = stages[step.stage] = load_stage(step.stage, own, places, preset, changes)
            if not fed:
                _report_substitutes(step.stage, base.sources, stage.data, say)
            folder = out / f"{number}-{step.stage.replace('/', '-')}"
            before = trained.get(base.network, start if not work else None)
            work.append(PlannedTraining(step.stage, folder, stage, before, fed))
            trained[base.network] = folder
            made = None if fed else made
        elif isinstance(step, FusionDataStep):
            network = _propagation(trained, "fusion_data")
            name = f"fusion data of {step.fusion_data}"
            folder = made = out / f"{number}-fusion-data-{step.fusion_data.replace('/', '-')}"
            source = _videos_of(stages, step.fusion_data, step.source)
            work.append(PlannedFusionData(name, folder, network, source, step))
        else:
            network = _propagation(trained, "evaluate")
            source = _videos_of(stages, step.evaluate, step.source)
            folder, parts = out / f"{number}-evaluation", (trained.get("fusion"), trained.get("s2m"))
            work.append(
                PlannedEvaluation(
                    "evaluation", folder, network, *parts, Path(place_of(source.path)), source.masks, step
                )
            )
    return work


def run_pipeline(recipe: Recipe, work: list[PlannedStep], out: Path, processes: Processes) -> None:
    """Check all steps, say how much they are, do them, and write ``out/report.md``."""
    for step in work:
        step.check(processes)
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
    for step in work:
        step.run(processes)
    if processes.leads:
        print(write_pipeline_report(recipe, work, out))


def _source(place: str) -> str | None:
    name, equals, _ = place.partition("=")
    return name if equals and name.isidentifier() else None


def _sources(recipe: Recipe) -> list[str]:
    """What a recipe must be given; a fusion set that is made on the way is no part of it."""
    needed: set[str] = set()
    made = False
    for step in recipe.steps:
        if isinstance(step, FusionDataStep):
            made = True
        elif isinstance(step, StageStep):
            stage = load_stage(step.stage)
            fed = made and stage.network == "fusion"
            needed |= set() if fed else stage.sources.keys()
            made = made and not fed
    return sorted(needed)


def _is_for(override: str, sources: Collection[str]) -> bool:
    """Whether an override is none of a source, or of one that a stage has."""
    parts = override.partition("=")[0].split(".")
    return parts[0] != "data" or len(parts) < 2 or parts[1] in sources


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
    label = source if source in sources or len(sources) != 1 else next(iter(sources))
    chosen = sources.get(label) if label is not None else None
    if not isinstance(chosen, VideoSource):
        raise UserError(f"stage {name} has no videos {source or 'of one source'}", f"it has {', '.join(sources)}")
    if chosen.path is None:
        raise UserError(f"source {label} of stage {name} has no path", f"give --data {label}=PATH")
    return chosen


def _report_substitutes(name: str, wanted: Mapping[str, AnySource], given: Mapping[str, AnySource], say: Say) -> None:
    """Say what stands in for a stage's sources."""
    lacking = [source for source in wanted if source not in given]
    if not lacking or len(wanted) == 1:
        return
    kind = next(iter(wanted.values())).kind
    what = {"images": "still images are", "videos": "real video is"}.get(kind, "data are")
    paths = ", ".join(str(source.path) for source in given.values() if source.weight > 0)
    say(f"{name}: no {what} given ({', '.join(lacking)}); {paths} stands in")
