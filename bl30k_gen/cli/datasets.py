"""Commands for an existing dataset: preview, info, verify, pack, unpack, annotations, report."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bl30k_gen.cli.options import Json, Out, Source, print_result
from bl30k_gen.command_line import examples
from bl30k_gen.errors import UserError
from bl30k_gen.remote import is_url, local, place
from bl30k_gen.text import plural

if TYPE_CHECKING:
    from bl30k_gen.annotations.check import Finding

app = typer.Typer()


@app.command(
    epilog=examples(
        "python generate.py preview out/demo",
        "python generate.py preview out/demo a00000 a00001 --columns 8 --out out/look",
    )
)
def preview(
    dataset: Source,
    videos: Annotated[
        list[str] | None, typer.Argument(metavar="VIDEO", help="Names of videos. Default: a few.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder, or the sheet's file: .jpg .webp .png.")] = Path(
        "out/preview"
    ),
    columns: Annotated[int, typer.Option(min=1, help="Frames of each video on the sheet.")] = 6,
    annotated: Annotated[
        bool, typer.Option("--annotations", help="A sheet of depth, flow and others of the first video, too.")
    ] = False,
) -> None:
    """Write a contact sheet (JPEG below 1 MB) and an animation of the first video (WebP), with the masks drawn in."""
    from bl30k_gen.dataset import preview
    from bl30k_gen.dataset.reader import open_dataset

    store = open_dataset(dataset)
    sheet, animation = preview.write(store, videos or None, out, columns)
    print(sheet, animation, sep="\n")
    if annotated:
        from bl30k_gen.annotations import visualise

        print(visualise.write(store, (videos or store.videos)[0], sheet.parent, columns))


@app.command(
    epilog=examples(
        "python generate.py info out/demo",
        "python generate.py info s3://bucket/bl30k_tar --json",
    )
)
def info(dataset: Source, as_json: Json = False) -> None:
    """Print the numbers of a dataset: videos, frames, size, splits, bytes."""
    from bl30k_gen.dataset.info import lines, summarise
    from bl30k_gen.dataset.reader import open_dataset

    facts = summarise(open_dataset(dataset))
    print_result(as_json, facts, "\n".join(lines(facts)))


@app.command(
    epilog=examples(
        "python generate.py verify out/demo --deep",
        "python generate.py verify out/demo --deep --workers 4 --repair",
    )
)
def verify(
    dataset: Source,
    deep: Annotated[bool, typer.Option("--deep", help="Decode every image, too.")] = False,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    repair: Annotated[bool, typer.Option("--repair", help="Render the bad videos again, and verify again.")] = False,
    annotated: Annotated[
        bool,
        typer.Option("--annotations", help="Check depth, flow and others by masks, images and each other."),
    ] = False,
    stored: Annotated[
        Path | None, typer.Option("--stored", help="Folder of stored annotations to check, as --annotations.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check a dataset against its metadata: files, checksums, and with --deep every pixel.

    Annotations are checked in a few frames of each video, with --deep in all.

    Exit code 1 where something is wrong; with --repair, where it still is.
    """
    from tqdm import tqdm

    from bl30k_gen.dataset.verify import verify

    with tqdm(unit="video", disable=as_json) as bar:
        report = verify(dataset, deep, workers=workers, progress=lambda _: bar.update())
    facts, ok = report.to_json(), report.ok
    if not as_json:
        print(report.table(), flush=True)
    if repair and not ok:
        from bl30k_gen.render.tools.repair import repair as repair_dataset

        repaired = repair_dataset(local(dataset, "--repair"), report)
        facts, ok = facts | {"repair": repaired.to_json()}, repaired.ok
        if not as_json:
            print(repaired.table())
    if annotated or stored is not None:
        findings = _check_annotations(dataset, stored, deep, workers, as_json)
        facts, ok = facts | {"annotations": [finding._asdict() for finding in findings]}, ok and not findings
    if as_json:
        print(json.dumps(facts, indent=1))
    raise typer.Exit(0 if ok else 1)


def _check_annotations(dataset: str, stored: Path | None, deep: bool, workers: int, silent: bool) -> list["Finding"]:
    """Check derived (or ``stored``) annotations; print the findings unless ``silent``."""
    from tqdm import tqdm

    from bl30k_gen.annotations.check import check_all
    from bl30k_gen.dataset.reader import open_dataset

    store = open_dataset(dataset, annotations=stored)
    with tqdm(total=len(store.videos), unit="video", desc="annotations", disable=silent) as bar:
        findings = check_all(store, deep, workers, bar.update)
    if not silent:
        videos = plural(len(store.videos), "video")
        print(*findings, f"annotations of {videos}: {plural(len(findings), 'finding')}", sep="\n")
    return findings


@app.command(
    epilog=examples(
        "python generate.py pack out/demo --out out/demo_tar",
        "python generate.py pack out/demo --out s3://bucket/demo --to hdf5",
    )
)
def pack(
    dataset: Source,
    out: Annotated[str, typer.Option("--out", help="Folder for the shards, or its URL: s3://, gs://, hf://.")],
    to: Annotated[str, typer.Option("--to", help="tar or hdf5.")] = "tar",
) -> None:
    """Pack a dataset into one shard per segment, with lists of MD5 and SHA-256 checksums."""
    from bl30k_gen.dataset.pack import pack
    from bl30k_gen.dataset.reader import open_dataset
    from bl30k_gen.dataset.writers import SUFFIX

    if to not in SUFFIX:
        raise UserError(f"--to {to}", f"give one of {', '.join(SUFFIX)}")
    for path in pack(open_dataset(dataset), place(out), to, progress=print):
        print(path)


@app.command(
    epilog=examples(
        "python generate.py unpack out/demo_tar --out out/unpacked",
        "python generate.py unpack out/demo_tar/BL30K_a.tar --out out/unpacked",
    )
)
def unpack(
    source: Annotated[str, typer.Argument(metavar="SHARDS", help="A tar or HDF5 shard, a folder of them, or a URL.")],
    out: Out,
) -> None:
    """Unpack shards into a dataset's folder. Videos that are already there are kept."""
    from tqdm import tqdm

    from bl30k_gen.dataset.pack import unpack

    with tqdm(unit="video") as bar:
        count = unpack(source, out, progress=lambda _: bar.update())
    print(f"{plural(count, 'video')} unpacked into {out}")


@app.command(
    epilog=examples(
        "python generate.py annotations out/demo --out out/demo_annotations",
        "python generate.py annotations out/demo --kinds depth,tracks --videos a00000 --out out/demo_annotations",
    )
)
def annotations(
    dataset: Source,
    out: Annotated[Path, typer.Option("--out", help="Folder for them, beside the dataset.")],
    kinds: Annotated[
        str, typer.Option("--kinds", help="Such as depth,flow,flow-1, or all: see docs/annotations.md.")
    ] = "depth,flow",
    videos: Annotated[str | None, typer.Option("--videos", help="Such as a00000,a00003. Default: all.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    as_json: Json = False,
) -> None:
    """Derive depth, flow, tracks and others from the scenes, without rendering, and store them.

    The same command continues where it stopped. Exit code 1 if a model of a video is missing or changed.
    """
    from tqdm import tqdm

    from bl30k_gen.annotations.store import write
    from bl30k_gen.dataset.derived import every_kind, parse_wanted
    from bl30k_gen.dataset.reader import open_dataset

    store = open_dataset(dataset)
    names = None if videos is None else [name for name in videos.split(",") if name]
    wanted = every_kind() if kinds == "all" else list(dict.fromkeys(map(parse_wanted, kinds.split(","))))
    chosen = store.videos if names is None else names
    frames = sum(len(store.frames(name)) for name in chosen if name in store.videos)
    with tqdm(total=frames, unit="frame", disable=as_json) as bar:
        refused = write(store, wanted, out, names, workers, bar.update)
    written, kind_names = len(chosen) - len(refused), [str(kind) for kind in wanted]
    facts = {"videos": written, "kinds": kind_names, "refused": refused}
    lines = [*refused.values(), f"{written} of {plural(len(chosen), 'video')}: {', '.join(kind_names)} in {out}"]
    print_result(as_json, facts, "\n".join(lines))
    raise typer.Exit(1 if refused else 0)


@app.command(
    epilog=examples(
        "python generate.py report out/demo",
        "python generate.py report out/demo --samples 12 --annotations --out out/report",
    )
)
def report(
    dataset: Source,
    out: Annotated[Path | None, typer.Option(help="Folder for the page and the credits. Default: DATASET.")] = None,
    videos: Annotated[int, typer.Option("--samples", min=0, help="Videos to show frames of.")] = 6,
    annotated: Annotated[
        bool, typer.Option("--annotations", help="Show depth, flow and others of one video, too.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write an HTML page of samples, statistics, assets, cost and failures, and CREDITS.md and credits.csv."""
    import numpy as np
    from tqdm import tqdm

    from bl30k_gen.cluster import history
    from bl30k_gen.dataset import report
    from bl30k_gen.dataset.claim import claim_beside
    from bl30k_gen.dataset.files import write_atomically
    from bl30k_gen.dataset.reader import open_dataset
    from bl30k_gen.library.catalogue import credits

    store = open_dataset(dataset)
    folder = claim_beside(out, "report", store.path)
    config, uses = store.config(), credits.AssetUses()
    numbers = report.collect(store, uses.add, lambda names: tqdm(names, unit=" videos", disable=as_json or not names))
    if damaged := numbers["damaged"]["videos"]:
        named = ", ".join(numbers["damaged"]["examples"])
        print(f"{damaged} videos have damaged metadata and are not counted, e.g. {named}", file=sys.stderr)
    used = uses.credits(config.assets if config is not None else None, credits.recorded(store))
    numbers["assets"] = credits.asset_numbers(used)
    numbers["samples"] = report.choose(store, videos)
    logs = None if is_url(dataset) else store.root
    numbers["render"] = history.render_time(logs) if logs else None
    numbers["failures"] = report.failure_list(history.failures(logs, set(store.videos))) if logs else []
    sheet = None
    if annotated and (shown := (numbers["samples"] or store.videos)[:1]):
        from bl30k_gen.annotations import visualise

        sheet = report.sheet(shown[0], lambda: np.asarray(visualise.sheet(store, shown[0])))
    write_atomically(folder / report.PAGE, report.page(numbers, report.samples(store, numbers["samples"]), sheet))
    if used:
        credits.write(used, numbers["name"], folder)
    print_result(as_json, numbers, str(folder / report.PAGE))
