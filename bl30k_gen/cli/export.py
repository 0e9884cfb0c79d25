"""The command `export`: convert a dataset to the formats of other projects."""

from pathlib import Path
from typing import Annotated

import typer

from bl30k_gen.cli.options import Json, Source, print_result
from bl30k_gen.command_line import examples

app = typer.Typer()


@app.command(
    epilog=examples(
        "python generate.py export out/demo --to coco --out out/coco",
        "python generate.py export out/demo --to tap-vid --video a00000 --out out/tapvid",
    )
)
def export(
    dataset: Source,
    to: Annotated[str, typer.Option("--to", metavar="FORMAT", help="One of those above.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for it: a new one, or one that this command began.")],
    videos: Annotated[list[str] | None, typer.Option("--video", help="Only this video; repeatable.")] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change an option of the format; repeatable."),
    ] = None,
    annotations: Annotated[
        Path | None,
        typer.Option(help="Folder of `generate.py annotations`, for depth, flow, tracks. Default: derive them."),
    ] = None,
    pickle: Annotated[
        bool, typer.Option("--pickle", help="Write the published pickles of tap-vid, cotracker and alltracker, too.")
    ] = False,
    lists: Annotated[
        str | None, typer.Option("--lists", help="Where ImageSets has several lists: their folder, such as 2017.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    as_json: Json = False,
) -> None:
    """Convert a dataset to another format. The same command continues where it stopped.

    Formats: alltracker, bop, burst, coco, colmap, cotracker, depth, flow, hf, mds, pips, sav, tao, tap-vid, video,
    webdataset, youtube-vis. docs/export.md describes them and their options.
    """
    from tqdm import tqdm

    from bl30k_gen.dataset.reader import open_dataset
    from bl30k_gen.export.base import format_of
    from bl30k_gen.export.run import export

    kind = format_of(to, [*(overrides or []), *(["pickle=true"] if pickle else [])])
    with tqdm(unit="step", disable=as_json) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        store = open_dataset(dataset, annotations=annotations)
        summary = export(store, kind, out, videos or None, workers, lists, show)
    print_result(as_json, summary.to_json(), summary.text())
