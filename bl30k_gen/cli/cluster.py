"""Commands for a build on a cluster: estimate, submit, status, resubmit, prune."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from bl30k_gen.cli.options import (
    ConfigFile,
    Count,
    Dataset,
    Device,
    Draft,
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
from bl30k_gen.errors import UserError
from bl30k_gen.text import plural

app = typer.Typer()

SlurmFile = Annotated[Path | None, typer.Option("--slurm", help="Slurm settings; default: slurm/cpu.yaml.")]
SlurmOverrides = Annotated[
    list[str] | None, typer.Option("--slurm-set", metavar="KEY=VALUE", help="Change a setting; repeatable.")
]
PerTask = Annotated[int | None, typer.Option("--videos-per-task", min=1, help="As --slurm-set videos_per_task=K.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the scripts; write and submit nothing.")]


@app.command(
    epilog=examples(
        "python generate.py submit --config bl30k_fast --count 30000 --out /shared/bl30k --dry-run",
        "python generate.py submit --config bl30k_fast --out /shared/bl30k --slurm slurm/gpu.yaml --count 30000",
    )
)
def submit(
    out: Out,
    config: ConfigFile = None,
    count: Count = None,
    indices: Indices = None,
    slurm: SlurmFile = None,
    slurm_overrides: SlurmOverrides = None,
    videos_per_task: PerTask = None,
    store: Store = None,
    dry_run: DryRun = False,
    draft: Draft = False,
    overrides: Overrides = None,
) -> None:
    """Submit a build to a Slurm cluster as job arrays."""
    from bl30k_gen.cluster import worklist
    from bl30k_gen.cluster.slurm import Submissions, load_settings, max_array_size
    from bl30k_gen.dataset.layout import Layout
    from bl30k_gen.library.catalogue.catalogue import open_catalogue
    from bl30k_gen.render import dataset

    wanted = worklist.indices_from(count, None, indices)
    settings = load_settings(slurm, _changes(slurm_overrides, videos_per_task))
    recipe = resolve_config(config, out, overrides, draft, store)
    submissions = Submissions(out)
    if dry_run:
        print("\n".join(submissions.preview(settings, wanted, recipe.runtime.device)))
        return
    dataset.open_for_writing(Layout(out), recipe, open_catalogue(recipe.assets), max_array_size)
    jobs = submissions.submit(settings, wanted, recipe.runtime.device)
    print(f"{plural(len(wanted), 'video')} submitted as job {', '.join(jobs)}; watch them: generate.py status {out}")


@app.command(
    epilog=examples(
        "python generate.py estimate --config bl30k_fast --count 30000 --nodes 20",
        "python generate.py estimate --config bl30k_fast --workers 2 --threads-per-worker 4 --seconds 300",
    )
)
def estimate(
    config: Annotated[Path, typer.Option("--config", help="A YAML, or a name: see `config list`.")],
    count: Annotated[int, typer.Option("--count", min=1, max=2_600_000, help="Videos of the build.")] = 30000,
    nodes: Annotated[int, typer.Option("--nodes", min=1, help="Machines like this one.")] = 1,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Blender processes side by side on each.")] = 1,
    threads: Threads = 0,
    device: Device = None,
    seconds: Annotated[
        float, typer.Option(min=1, help="How long to time scenes; longer if that is too short for three.")
    ] = 90,
    scratch: Scratch = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Render a few frames here and estimate what a build takes: hours and disk, with 95 % intervals."""
    from tqdm import tqdm

    from bl30k_gen.config import load_config
    from bl30k_gen.render.child import allotted_threads
    from bl30k_gen.render.progress import update_seconds
    from bl30k_gen.render.supervisor import Execution
    from bl30k_gen.render.tools.estimate import estimate

    settings = load_config(config, overrides or [])
    threads = threads or allotted_threads(workers)
    execution = Execution(device or settings.runtime.device, threads, workers, scratch)
    layout = "{l_bar}{bar}| {n:.0f} of {total:.0f} s"
    with tqdm(total=seconds, bar_format=layout, mininterval=update_seconds()) as bar:

        def progress(spent: float, scenes: int) -> None:
            waiting = ", a few more are needed" if spent > seconds else ""
            bar.set_description(f"{plural(scenes, 'scene')} timed{waiting}", refresh=False)
            bar.update(min(spent, seconds) - bar.n)

        result = estimate(settings, count, nodes, execution, seconds, progress)
    print_result(as_json, result.to_json(), "\n".join(result.lines()))


@app.command(
    epilog=examples(
        "python generate.py status /shared/bl30k",
        "python generate.py status /shared/bl30k --watch",
    )
)
def status(
    dataset: Dataset,
    count: Count = None,
    as_json: Json = False,
    watching: Annotated[bool, typer.Option("--watch", help="Print every change until all videos are done.")] = False,
) -> None:
    """Print how far a build is: videos done, running and failed, frames/s, time left, slow nodes."""
    from bl30k_gen.cluster.status import status, watch
    from bl30k_gen.cluster.worklist import checked_number

    if watching and as_json:
        raise UserError("--watch is for people, --json for programs", "give one of them")
    number = None if count is None else checked_number("--count", count)
    for found in watch(dataset, number) if watching else [status(dataset, number)]:
        if watching and sys.stdout.isatty():
            print("\033[H\033[J", end="", file=sys.__stdout__)  # clear the terminal; sys.stdout shows no escapes
        print_result(as_json, found.to_json(), "\n".join(found.lines()))
        sys.stdout.flush()


@app.command(
    epilog=examples(
        "python generate.py resubmit /shared/bl30k",
        "python generate.py resubmit /shared/bl30k --slurm-set memory=32G --dry-run",
    )
)
def resubmit(
    dataset: Dataset,
    count: Count = None,
    slurm: SlurmFile = None,
    slurm_overrides: SlurmOverrides = None,
    videos_per_task: PerTask = None,
    dry_run: DryRun = False,
) -> None:
    """Submit the missing and failed videos of a build again, with the last or other Slurm settings."""
    from bl30k_gen.cluster.slurm import Submissions, load_settings
    from bl30k_gen.cluster.status import wanted_names
    from bl30k_gen.cluster.worklist import checked_number
    from bl30k_gen.render.dataset import open_existing
    from bl30k_gen.render.output.journal import run_entries
    from bl30k_gen.scene.sampler import is_sampled_name, video_index

    layout, config = open_existing(dataset)
    submissions = Submissions(dataset)
    number = None if count is None else checked_number("--count", count)
    segment = config.dataset.videos_per_segment
    names = wanted_names(layout, config, number, list(run_entries(layout)))
    done, under_way = set(layout.published()).intersection(names), set()
    wanted = {video_index(name, segment): name for name in names if is_sampled_name(name, segment)}
    if planned := sorted(set(names) - done - set(wanted.values())):
        print(f"{plural(len(planned), 'planned video')} left out: continue with `render --plan`", file=sys.stderr)
    try:
        under_way = submissions.under_way()
    except UserError as error:
        if not dry_run:
            raise
        print(f"{error.what}: what Slurm has in its queue is not left out", file=sys.stderr)
    missing = [index for index, name in wanted.items() if index not in under_way and name not in done]
    settings = load_settings(slurm or submissions.settings_file(), _changes(slurm_overrides, videos_per_task))
    if not missing:
        print(f"nothing to submit: {len(done)} of {len(names)} videos are done, {len(under_way)} in Slurm's queue")
    elif dry_run:
        print("\n".join(submissions.preview(settings, missing, config.runtime.device)))
    else:
        jobs = submissions.submit(settings, missing, config.runtime.device)
        print(f"{len(missing)} missing videos submitted as job {', '.join(jobs)}")


@app.command(
    epilog=examples(
        "python generate.py prune /shared/bl30k",
        "python generate.py prune /shared/bl30k --scratch /scratch/bl30k --json",
    )
)
def prune(dataset: Dataset, scratch: Scratch = None, as_json: Json = False) -> None:
    """Remove what dead workers left: leases, logs of finished videos, temporary files, this machine's scratch."""
    from bl30k_gen.cluster.prune import prune
    from bl30k_gen.render.dataset import open_existing

    pruned = prune(*open_existing(dataset), scratch)
    leases = f"{len(pruned.leases)} stale leases freed {' '.join(pruned.leases)}".rstrip()
    rest = f"{pruned.logs} logs, {pruned.leftovers} leftovers, {pruned.scratch} scratch folders removed"
    print_result(as_json, vars(pruned), f"{leases}\n{rest}")


def _changes(overrides: list[str] | None, videos_per_task: int | None) -> list[str]:
    per_task = [] if videos_per_task is None else [f"videos_per_task={videos_per_task}"]
    return [*(overrides or []), *per_task]
