"""Commands that render on this machine: doctor, plan, render, replay."""

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bl30k_gen.cli.options import (
    ConfigFile,
    Count,
    Dataset,
    Device,
    Draft,
    Index,
    Indices,
    Json,
    Out,
    Overrides,
    Scratch,
    Store,
    Threads,
    print_result,
    resolve_config,
)
from bl30k_gen.command_line import examples
from bl30k_gen.errors import STOPPED, UserError
from bl30k_gen.text import plural

if TYPE_CHECKING:
    from bl30k_gen.config import Config
    from bl30k_gen.library.catalogue.catalogue import Catalogue
    from bl30k_gen.render.progress import ProgressBar
    from bl30k_gen.render.supervisor import RenderSummary, Supervisor

app = typer.Typer()


@app.command(
    epilog=examples(
        "python generate.py doctor",
        "python generate.py doctor --device cuda --threads-per-worker 4",
    )
)
def doctor(
    out: Annotated[Path, typer.Option("--out", help="Where datasets will be written.")] = Path("out"),
    device: Device = None,
    threads: Threads = 0,
    as_json: Json = False,
) -> None:
    """Check this machine: Python, Blender, devices, disk, and the time of a test frame."""
    from bl30k_gen.render.tools import doctor

    checks = doctor.examine(device or "auto", threads, out)
    print_result(as_json, [vars(check) for check in checks], doctor.table(checks))
    raise typer.Exit(0 if all(c.ok for c in checks) else 1)


@app.command(
    epilog=examples(
        "python generate.py plan --config demo --count 4 --out out/plan",
        "python generate.py plan --config bl30k_fast --index 7 --out out/plan --set camera.speed=0.2",
    )
)
def plan(
    out: Out,
    config: ConfigFile = None,
    count: Count = None,
    index: Index = None,
    indices: Indices = None,
    overrides: Overrides = None,
    draft: Draft = False,
) -> None:
    """Write the scenes of videos as JSON, to read, edit, and render with `render --plan`."""
    from bl30k_gen.cluster import worklist
    from bl30k_gen.render import dataset

    settings = resolve_config(config, out, overrides, draft)
    wanted = worklist.indices_from(count, index, indices)
    describe = dataset.sampler(settings, _catalogue(settings))
    count = dataset.write_plan(out, settings, (describe(name).spec for name in _names(settings, wanted)))
    print(
        f"{plural(count, 'scene')} in {out / dataset.SCENES}; render them: generate.py render --plan {out} --out DIR"
    )


@app.command(
    epilog=examples(
        "python generate.py render --config demo --out out/demo --count 4",
        "python generate.py render --config bl30k_fast --out out/bl30k --count 1000 --workers 2 --store tar",
    )
)
def render(
    out: Out,
    config: ConfigFile = None,
    count: Count = None,
    index: Index = None,
    indices: Indices = None,
    plan: Annotated[Path | None, typer.Option("--plan", help="A folder that `plan` wrote.")] = None,
    shard: Annotated[str | None, typer.Option("--shard", help="I/N: the I-th of N slices; or slurm.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=0, help="Render N unfinished videos at most.")] = None,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Blender processes side by side.")] = 1,
    threads: Threads = 0,
    device: Device = None,
    scratch: Scratch = None,
    store: Store = None,
    draft: Draft = False,
    sheet: Annotated[
        Path | None, typer.Option("--sheet", help="A contact sheet that grows video by video: .jpg .webp .png.")
    ] = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Render videos into a dataset. The same command continues where it stopped; finished videos are kept."""
    from bl30k_gen.cluster.worklist import indices_from, parse_shard, take_shard
    from bl30k_gen.dataset.layout import Layout
    from bl30k_gen.dataset.preview import GrowingSheet
    from bl30k_gen.render import dataset, progress
    from bl30k_gen.render.child import allotted_threads
    from bl30k_gen.render.supervisor import Execution, Supervisor

    layout = Layout(out)
    growing_sheet = None if sheet is None else GrowingSheet(out, sheet)
    settings = resolve_config(config, plan or out, overrides, draft, store)
    catalogue = _catalogue(settings)
    if plan is not None:
        names, describe = dataset.planned(plan, settings, catalogue)
        if (count, index, indices) != (None, None, None):
            raise UserError("--plan with --count, --index or --indices", "delete the scenes you do not want instead")
    else:
        names, describe = _names(settings, indices_from(count, index, indices)), dataset.sampler(settings, catalogue)
    if shard is not None:
        names = take_shard(names, *parse_shard(shard))
    if limit is not None:
        names = [name for name in names if not layout.is_published(name)][:limit]
    threads = threads or allotted_threads(workers)
    execution = Execution(device or settings.runtime.device, threads, workers, scratch)
    supervisor = Supervisor(settings, layout, describe, execution, lambda event: bar(event))
    _open_dataset(supervisor, catalogue, count)
    bar = progress.ProgressBar(len(names), settings.video.frames, growing_sheet)
    summary = _run(supervisor, names, bar)
    print_result(as_json, vars(summary), "\n".join(progress.summary_lines(summary, str(out))))
    if summary.stopped:
        raise typer.Exit(STOPPED)
    raise typer.Exit(1 if summary.failed else 0)


def _open_dataset(supervisor: "Supervisor", catalogue: "Catalogue", count: int | None) -> None:
    """Begin the dataset or continue it, and record how many videos were asked for, for `status`."""
    from bl30k_gen.render.dataset import open_for_writing
    from bl30k_gen.render.output.journal import ASKED

    try:
        open_for_writing(supervisor.layout, supervisor.config, catalogue, supervisor.prepare)
        if count is not None:
            supervisor.journal.write({"event": ASKED, "count": count})
    except BaseException:
        supervisor.close()
        raise


def _run(supervisor: "Supervisor", names: list[str], bar: "ProgressBar") -> "RenderSummary":
    """Render videos until all are done or a signal comes, then write the lists of published videos."""
    from bl30k_gen.dataset.layout import write_image_sets

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.stop())
    try:
        return supervisor.run(names)
    finally:
        bar.close()
        if supervisor.layout.root.exists():
            write_image_sets(supervisor.layout)


@app.command(
    epilog=examples(
        "python generate.py replay out/demo a00000",
        "python generate.py replay out/demo a00000 --device cpu --json",
    )
)
def replay(
    dataset: Dataset,
    video: Annotated[str, typer.Argument(help="Name of the video.")],
    device: Device = None,
    threads: Threads = 0,
    as_json: Json = False,
) -> None:
    """Render a published video again from its own metadata, and report how many pixels differ."""
    from bl30k_gen.render.child import allotted_threads
    from bl30k_gen.render.tools.replay import replay

    result = replay(dataset, video, device, threads or allotted_threads(1))
    print_result(as_json, vars(result), result.sentence())
    raise typer.Exit(0 if result.same else 1)


def _catalogue(settings: "Config") -> "Catalogue":
    from bl30k_gen.library.catalogue.catalogue import open_catalogue

    return open_catalogue(settings.assets)


def _names(settings: "Config", indices: list[int]) -> list[str]:
    from bl30k_gen.scene.sampler import video_name

    return [video_name(index, settings.dataset.videos_per_segment) for index in indices]
