"""The dataset builder's commands. Each does its work in another module; here are words and exit codes.

Exit codes: 0 done, 1 done but something is wrong with the result, 2 a mistake the user can mend, 143 stopped by
SIGTERM (the same command goes on).
"""

import json
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from bl30k_gen import cli_assets, cli_cluster
from bl30k_gen.cli_options import (
    ConfigFile,
    CountOption,
    Dataset,
    Device,
    Draft,
    IndexOption,
    IndicesOption,
    Json,
    Out,
    Overrides,
    Scratch,
    StoreOption,
    Threads,
    with_store,
)
from bl30k_gen.config import Config, draft_of, load_config
from bl30k_gen.errors import UserError
from bl30k_gen.settings import difference

STOPPED = 143

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
config_app = typer.Typer(no_args_is_help=True, help="Show configurations and how they differ.")
app.add_typer(config_app, name="config")
app.add_typer(cli_cluster.app)
app.add_typer(cli_assets.app, name="assets")


def main() -> None:
    """Run the command line: mistakes become one line on standard error and exit code 2."""
    try:
        app()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


@app.command()
def doctor(
    out: Annotated[Path, typer.Option("--out", help="Where datasets will be written.")] = Path("out"),
    device: Device = None,
    threads: Threads = 0,
    as_json: Json = False,
) -> None:
    """Check this machine: Python, Blender, devices, disk, and the time of a test frame."""
    from bl30k_gen.cluster import doctor

    checks = doctor.examine(device or "auto", threads, out)
    print(json.dumps([vars(c) for c in checks], indent=1) if as_json else doctor.table(checks))
    raise typer.Exit(0 if all(c.ok for c in checks) else 1)


@app.command()
def plan(
    out: Out,
    config: ConfigFile = None,
    count: CountOption = None,
    index: IndexOption = None,
    indices: IndicesOption = None,
    overrides: Overrides = None,
    draft: Draft = False,
) -> None:
    """Write the scenes of videos as JSON, to be read, edited, and rendered with `render --plan`."""
    from bl30k_gen.cluster import dataset, worklist
    from bl30k_gen.dataset.files import write_atomically
    from bl30k_gen.dataset.layout import Layout

    settings = _config(config, out, overrides, draft)
    wanted = worklist.indices_from(count, index, indices)
    describe = dataset.sampler(settings, _catalogue(settings))
    for name in _names(settings, wanted):
        write_atomically(out / dataset.SCENES / f"{name}.json", describe(name).spec.dumps())
    write_atomically(Layout(out).config, settings.to_yaml())
    print(f"{len(wanted)} scenes in {out / dataset.SCENES}; render them: generate.py render --plan {out} --out DIR")


@app.command()
def render(
    out: Out,
    config: ConfigFile = None,
    count: CountOption = None,
    index: IndexOption = None,
    indices: IndicesOption = None,
    plan: Annotated[Path | None, typer.Option("--plan", help="A folder that `plan` wrote.")] = None,
    shard: Annotated[str | None, typer.Option("--shard", help="I/N: the I-th of N slices; or slurm.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=0, help="At most so many unfinished videos.")] = None,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Blender processes side by side.")] = 1,
    threads: Threads = 0,
    device: Device = None,
    scratch: Scratch = None,
    store: StoreOption = None,
    draft: Draft = False,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Render videos. The same command goes on where it was stopped; finished videos are left alone."""
    from bl30k_gen.cluster import dataset, progress, slurm, worklist
    from bl30k_gen.cluster.worker import Execution, Supervisor
    from bl30k_gen.dataset.layout import Layout, write_image_sets

    layout = Layout(out)
    settings = _config(config, plan or out, with_store(overrides, store), draft)
    catalogue = _catalogue(settings)
    if plan is not None:
        names, describe = dataset.planned(plan)
        if (count, index, indices) != (None, None, None):
            raise UserError("--plan with --count, --index or --indices", "delete the scenes you do not want instead")
    else:
        wanted = worklist.indices_from(count, index, indices)
        if shard is not None:
            wanted = worklist.take_shard(wanted, *worklist.parse_shard(shard))
        names, describe = _names(settings, wanted), dataset.sampler(settings, catalogue)
    dataset.open_for_writing(layout, settings, catalogue)
    if limit is not None:
        names = [name for name in names if not layout.is_published(name)][:limit]
    bar = progress.Progress(len(names), settings.video.frames)
    threads = threads or slurm.allotted_threads(workers)
    execution = Execution(device or settings.runtime.device, threads, workers, scratch)
    supervisor = Supervisor(settings, layout, describe, execution, bar)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.stop())
    try:
        summary = supervisor.run(names)
    finally:
        bar.close()
        write_image_sets(layout)
    print(json.dumps(vars(summary), indent=1) if as_json else "\n".join(progress.summary_lines(summary, str(out))))
    if summary.stopped:
        raise typer.Exit(STOPPED)
    raise typer.Exit(1 if summary.set_aside else 0)


@app.command()
def preview(
    dataset: Dataset,
    videos: Annotated[list[str] | None, typer.Argument(metavar="[VIDEO]...", help="Names; default: some.")] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for the pictures.")] = Path("out/preview"),
    columns: Annotated[int, typer.Option(min=1, help="Frames of each video on the sheet.")] = 6,
) -> None:
    """Write a contact sheet (PNG) and an animation of the first video (WebP), masks drawn over the frames."""
    from bl30k_gen.dataset import preview
    from bl30k_gen.dataset.reader import open_dataset

    for path in preview.write(open_dataset(dataset), videos or None, out, columns):
        print(path)


@app.command()
def info(dataset: Dataset, as_json: Json = False) -> None:
    """What a dataset holds."""
    from bl30k_gen.dataset.info import summarise
    from bl30k_gen.dataset.reader import open_dataset

    facts = summarise(open_dataset(dataset))
    print(json.dumps(facts, indent=1) if as_json else "\n".join(f"{key}: {value}" for key, value in facts.items()))


@app.command()
def verify(
    dataset: Dataset,
    deep: Annotated[bool, typer.Option("--deep", help="Decode every image, too.")] = False,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    repair: Annotated[bool, typer.Option("--repair", help="Render the bad videos again, and look again.")] = False,
    as_json: Json = False,
) -> None:
    """Check a dataset against its metadata: files, checksums, and with --deep every pixel.

    Exit code 1 where something is wrong; with --repair, where it still is.
    """
    from tqdm import tqdm

    from bl30k_gen.dataset.verify import verify

    with tqdm(unit="video", disable=as_json) as bar:
        report = verify(dataset, deep, workers=workers, progress=lambda _: bar.update())
    answer, ok = report.to_json(), report.ok
    if not as_json:
        print(report.table(), flush=True)
    if repair and not ok:
        from bl30k_gen.cluster import repair as repairing

        done = repairing.repair(dataset, report)
        answer, ok = answer | {"repair": done.to_json()}, done.ok
        if not as_json:
            print(done.table())
    if as_json:
        print(json.dumps(answer, indent=1))
    raise typer.Exit(0 if ok else 1)


@app.command()
def pack(
    dataset: Dataset,
    out: Annotated[Path, typer.Option("--out", help="Folder for the shards.")],
    to: Annotated[str, typer.Option("--to", help="tar or hdf5.")] = "tar",
) -> None:
    """Pack a dataset into one shard a segment, with MD5 and SHA-256 lists."""
    from bl30k_gen.dataset.pack import pack
    from bl30k_gen.dataset.reader import open_dataset
    from bl30k_gen.dataset.writers import SUFFIX

    if to not in SUFFIX:
        raise UserError(f"--to {to}", f"give one of {', '.join(SUFFIX)}")
    for path in pack(open_dataset(dataset), out, to, progress=print):
        print(path)


@app.command()
def unpack(
    source: Annotated[Path, typer.Argument(metavar="SHARDS", help="A tar or HDF5 shard, or a folder of them.")],
    out: Out,
) -> None:
    """Unpack shards into a dataset's folder; videos that are there are left alone."""
    from tqdm import tqdm

    from bl30k_gen.dataset.pack import unpack

    with tqdm(unit="video") as bar:
        count = unpack(source, out, progress=lambda _: bar.update())
    print(f"{count} videos unpacked into {out}")


@app.command()
def report(
    dataset: Dataset,
    out: Annotated[Path | None, typer.Option(help="Folder for the page and the credits. Default: DATASET.")] = None,
    videos: Annotated[int, typer.Option("--samples", min=0, help="Videos to show frames of.")] = 6,
    as_json: Json = False,
) -> None:
    """Write a page (HTML) of samples, statistics, assets, costs and failures, and CREDITS.md and credits.csv."""
    from tqdm import tqdm

    from bl30k_gen.cluster import history
    from bl30k_gen.dataset import report
    from bl30k_gen.dataset.files import write_atomically
    from bl30k_gen.dataset.reader import open_dataset
    from bl30k_gen.library import credits

    store = open_dataset(dataset)
    config, uses = store.config(), credits.Uses()
    numbers = report.collect(store, uses.add, lambda names: tqdm(names, unit=" videos", disable=as_json or not names))
    used = uses.credits(config and config.assets, credits.recorded(store))
    numbers["assets"] = report.asset_numbers(used)
    numbers["samples"] = report.choose(store, videos)
    numbers["render"] = history.render_time(store.root)
    numbers["failures"] = report.failure_list(history.failures(store.root, set(store.videos)))
    folder = out or store.root
    write_atomically(folder / report.PAGE, report.page(numbers, report.samples(store, numbers["samples"])))
    if used:
        credits.write(used, numbers["name"], folder)
    print(json.dumps(numbers, indent=1) if as_json else folder / report.PAGE)


@app.command()
def replay(
    dataset: Dataset,
    video: Annotated[str, typer.Argument(help="Its name.")],
    device: Device = None,
    threads: Threads = 0,
    as_json: Json = False,
) -> None:
    """Render a published video again from its own metadata, and report how many pixels differ."""
    from bl30k_gen.cluster.replay import replay

    result = replay(dataset, video, device, threads)
    print(json.dumps(vars(result), indent=1) if as_json else result.sentence())
    raise typer.Exit(0 if result.same else 1)


@config_app.command("show")
def config_show(
    config: Annotated[Path, typer.Option("--config", help="A YAML, e.g. render_configs/demo.yaml.")],
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Print the resolved configuration: what it extends and all overrides applied."""
    settings = load_config(config, overrides or [])
    print(json.dumps(settings.model_dump(mode="json"), indent=1) if as_json else settings.to_yaml().rstrip())


@config_app.command("diff")
def config_diff(
    one: Annotated[Path, typer.Argument(help="A YAML.")],
    other: Annotated[Path, typer.Argument(help="Another one.")],
    as_json: Json = False,
) -> None:
    """Print the keys in which two configurations differ."""
    left, right = (load_config(path) for path in (one, other))
    changes: dict[str, Any] = difference(left.flat(), right.flat())
    lines = [f"{key}: {old} -> {new}" for key, (old, new) in changes.items()]
    print(json.dumps(changes, indent=1) if as_json else "\n".join(lines) or "no difference")


def _config(config: Path | None, folder: Path, overrides: list[str] | None, draft: bool) -> Config:
    from bl30k_gen.cluster.dataset import config_of

    settings = config_of(config, folder, overrides or [])
    return draft_of(settings) if draft else settings


def _catalogue(config: Config) -> Any:
    from bl30k_gen.library.catalogue import open_catalogue

    return open_catalogue(config.assets)


def _names(config: Config, indices: list[int]) -> list[str]:
    from bl30k_gen.scene.sampler import video_name

    return [video_name(index, config.dataset.videos_per_segment) for index in indices]
