"""`generate.py assets`: gather, add, index, check and list models and images, and credit those in a dataset."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from bl30k_gen import resources
from bl30k_gen.cli.options import Device, Json, Overrides, print_result
from bl30k_gen.command_line import examples
from bl30k_gen.errors import UserError, printable, require_choice
from bl30k_gen.processors import usable
from bl30k_gen.text import plural

if TYPE_CHECKING:
    from bl30k_gen.config import Config

app = typer.Typer(no_args_is_help=True, help="Gather, add, index, check, list and credit models and images.")

CORES = usable()
RECIPE = Path("bl30k")

Folders = Annotated[list[Path] | None, typer.Argument(metavar="DIR", help="Default: the configuration's.")]
Recipe = Annotated[Path, typer.Option("--config", help="A YAML or a name, for its folders, filters and limits.")]
Workers = Annotated[int, typer.Option("--workers", min=1, help="Processes.", show_default="one a core")]


@app.command(
    "fetch",
    epilog=examples(
        "python generate.py assets fetch --kind textures --provider ambientcg --out textures",
        "python generate.py assets fetch --kind backgrounds --provider openverse --require cc0 --out photos",
    ),
)
def fetch_command(
    kind: Annotated[str, typer.Option("--kind", help="textures or backgrounds.")],
    provider_name: Annotated[
        str, typer.Option("--provider", help="openverse, commons, polyhaven, ambientcg or urls.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder for the images, with a subfolder for each keyword.")],
    keywords: Annotated[Path | None, typer.Option(help="File, one keyword a line. Default: the project's.")] = None,
    urls: Annotated[Path | None, typer.Option(help="For --provider urls: one address a line.")] = None,
    per_keyword: Annotated[int, typer.Option(min=1, help="Images for each keyword.")] = 300,
    side: Annotated[int, typer.Option(min=16, help="Pixels of the square images.")] = 512,
    full: Annotated[Path | None, typer.Option(help="Keep the whole images, too, in this folder.")] = None,
    require: Annotated[str | None, typer.Option(help="Licences, e.g. cc0,cc-by. Default: any.")] = None,
    workers: Annotated[int, typer.Option(min=1, max=16, help="Downloads side by side.")] = 4,
    per_second: Annotated[float, typer.Option(min=0.01, max=20, help="Requests to one host.")] = 2.0,
    contact: Annotated[str, typer.Option(help="Your e-mail or page, for the services; commons needs it.")] = "",
    base_url: Annotated[str | None, typer.Option(help="Another address of the provider.")] = None,
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help="Also addresses of your own network.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Download images under open licences. The same command continues where it stopped."""
    from tqdm import tqdm

    from bl30k_gen.library.catalogue.licence import parse_requirement
    from bl30k_gen.library.fetch.download import Client, Politeness
    from bl30k_gen.library.fetch.gather import GatherRequest, gather, read_keywords
    from bl30k_gen.library.fetch.providers import Kind, provider

    wanted = require_choice("--kind", kind, get_args(Kind))
    if provider_name == "commons" and base_url is None and not contact:
        raise UserError("--provider commons without --contact", "Wikimedia wants your e-mail address or page")
    licences = parse_requirement([require]) if require is not None else ()
    service = provider(provider_name, base_url, urls, licences)
    words = () if provider_name == "urls" else read_keywords(keywords or resources.folder("assets") / f"{kind}.txt")
    request = GatherRequest(wanted, words, per_keyword, side, licences, full)
    politeness = Politeness(per_second=per_second, contact=contact, allow_private=allow_private)
    with Client(politeness) as client, tqdm(unit=" images", disable=as_json) as bar:

        def show(keyword: str) -> None:
            bar.set_description(keyword or None, refresh=False)
            bar.update()

        gathered = gather(service, client, request, out, workers, show)
    if as_json:
        print(json.dumps(vars(gathered), indent=1))
    else:
        for reason, count in gathered.refused.most_common():
            print(f"refused {count}: {reason}")
        for reason in gathered.failed:
            print(f"failed: {reason}", file=sys.stderr)
        print(f"{out}: {gathered.new} new images, {sum(gathered.kept.values())} in all")
    raise typer.Exit(1 if gathered.failed else 0)


@app.command(
    "add",
    epilog=examples(
        "python generate.py assets add chair.glb photo.jpg",
        "python generate.py assets add chair.glb --to mine --licence cc-by-4.0 --author Ada",
    ),
)
def add_command(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Models or images.")],
    to: Annotated[Path | None, typer.Option(help="Keep them in this folder.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the strips.")] = Path("out/assets"),
    max_faces: Annotated[int | None, typer.Option(min=4, help="Reduce models that have more.")] = None,
    licence: Annotated[str, typer.Option(help="For the manifest of --to, e.g. cc-by-4.0.")] = "",
    author: Annotated[str, typer.Option(help="For the manifest of --to.")] = "",
    source: Annotated[str, typer.Option(help="For the manifest of --to: an address.")] = "",
    config: Recipe = RECIPE,
    overrides: Overrides = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Render a strip of images of each asset, and copy the assets to a folder with --to."""
    from tqdm import tqdm

    from bl30k_gen.config import load_config
    from bl30k_gen.library.asset import AssetRefused
    from bl30k_gen.library.catalogue.licence import Credit, spdx
    from bl30k_gen.library.checking.inspector import Bounds, Inspector
    from bl30k_gen.render.tools.add_asset import AddOptions, Studio, add, require_names

    settings = load_config(config, overrides or [])
    credit = Credit(spdx(licence), author, source)
    if to is None and credit != Credit():
        raise UserError("--licence, --author or --source without --to", "they go into the manifest of that folder")
    require_names(files)
    options, added, refused = AddOptions(out, to, max_faces, credit), [], 0
    studio = Studio(device or settings.runtime.device, settings.runtime.frame_timeout)
    with studio, Inspector(Bounds(seconds=60.0, memory_gb=6.0)) as inspector:
        bar = tqdm(files, unit=" assets", disable=as_json or len(files) == 1)
        for file in bar:
            bar.set_description(printable(file.name))
            try:
                asset = add(file, settings, options, inspector, studio)
            except AssetRefused as refusal:
                bar.write(f"error: {refusal.reason}", file=sys.stderr)
                refused += 1
                continue
            added.append(asset)
            if not as_json:
                bar.write(f"{file}: {asset.facts}\n  {asset.kept or 'not kept'}, shown in {asset.strip}")
    if as_json:
        print(json.dumps([vars(asset) for asset in added], indent=1))
    raise typer.Exit(2 if refused else 0)


@app.command(
    "index",
    epilog=examples(
        "python generate.py assets index /data/ShapeNetCore.v2",
        "python generate.py assets index my_meshes my_photos --workers 4",
    ),
)
def index_command(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR", help="Folders of models or images.")],
    workers: Workers = CORES,
    as_json: Json = False,
) -> None:
    """Measure the files of folders once, for filters and credits. Repeated, it reads only changed files."""
    from bl30k_gen.library.catalogue import index

    facts = {}
    for folder in folders:
        found, changes = index.update(str(folder), workers, _bar("files", as_json))
        unreadable = [row.file for row in found.rows.values() if row.size is None]
        counts = {"files": len(found.rows), "added": len(changes.added), "changed": len(changes.changed)}
        counts |= {"removed": len(changes.removed), "unreadable": len(unreadable)}
        facts[str(folder)] = {"layout": found.layout, **counts}
        if not as_json:
            text = ", ".join(f"{count} {name}" for name, count in counts.items() if count or name == "files")
            print(f"{folder}: {text} (`assets check {folder}` says why)" if unreadable else f"{folder}: {text}")
    if as_json:
        print(json.dumps(facts, indent=1))


@app.command(
    "check",
    epilog=examples(
        "python generate.py assets check my_meshes my_photos",
        "python generate.py assets check --config bl30k --set assets.models=my_meshes",
    ),
)
def check_command(
    folders: Folders = None,
    config: Recipe = RECIPE,
    overrides: Overrides = None,
    workers: Workers = CORES,
    seconds: Annotated[float, typer.Option(min=0.1, help="Processor time that an asset may take.")] = 60.0,
    memory_gb: Annotated[float, typer.Option(min=0.5, help="Memory that an asset may take, GiB.")] = 6.0,
    again: Annotated[bool, typer.Option("--again", help="Also check assets that were checked before.")] = False,
    as_json: Json = False,
) -> None:
    """Load every asset in a child process and record in the folder's index what is wrong with it."""
    from bl30k_gen.config import load_config
    from bl30k_gen.library.checking.inspector import Bounds, check

    assets = load_config(config, overrides or []).assets
    named = [str(folder) for folder in folders or []] or [*assets.models, *assets.textures, *assets.backgrounds]
    facts = {}
    for folder in dict.fromkeys(name for name in named if name != "builtin"):
        bounds = Bounds(seconds, memory_gb)
        findings = check(folder, assets.limits, bounds, workers, again, _bar("assets", as_json))
        facts[folder] = vars(findings)
        if not as_json:
            for reason in findings.refused.values():
                print(f"refused: {reason}")
            for file, remarks in findings.remarks.items():
                print(f"warning: {folder}/{printable(file)}: {'; '.join(remarks)}")
            print(f"{folder}: {findings.sound} of {findings.checked} assets can be used")
    if as_json:
        print(json.dumps(facts, indent=1))
    elif not facts:
        print("only built-in assets: there is nothing to check")
    raise typer.Exit(1 if any(findings["refused"] for findings in facts.values()) else 0)


@app.command(
    "list",
    epilog=examples(
        "python generate.py assets list my_meshes",
        "python generate.py assets list --config demo --category car",
    ),
)
def list_command(
    folders: Folders = None,
    config: Recipe = RECIPE,
    overrides: Overrides = None,
    category: Annotated[
        list[str] | None, typer.Option(help="List the assets of this category, one by one; repeatable.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the assets of a build by category, or one by one with --category."""
    from bl30k_gen.config import load_config
    from bl30k_gen.library.catalogue.catalogue import category_names
    from bl30k_gen.library.checking import report

    settings = load_config(config, overrides or [])
    assets = _assets(settings, folders or [])
    names = category_names([str(folder) for folder in folders or []] or settings.assets.models)
    if category:
        found, columns = report.one_by_one(assets, category, names), ["id", "licence", "faces", "width", "height"]
        columns = [c for c in [*columns, "refused"] if any(entry.get(c) is not None for entry in found)]
    else:
        found, columns = report.by_category(assets, names), ["kind", "category", "name", "assets", "faces_median"]
        columns += ["faces_most", "textured", "checked", "refused", "licences"]
    print_result(as_json, found, report.table(found, columns))


@app.command(
    "credits",
    epilog=examples(
        "python generate.py assets credits out/demo",
        "python generate.py assets credits out/demo --require cc0,cc-by",
    ),
)
def credits_command(
    dataset: Annotated[Path, typer.Argument(metavar="DATASET", help="A dataset's folder, or its shards.")],
    out: Annotated[Path | None, typer.Option(help="Folder for CREDITS.md and credits.csv. Default: DATASET.")] = None,
    require: Annotated[str | None, typer.Option(help="Licences, e.g. cc0,cc-by; anything else is a failure.")] = None,
    config: Annotated[Path | None, typer.Option(help="A YAML, or a name. Default: the dataset's own.")] = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Write authors and licences of the assets in a dataset; with --require, exit 1 if a licence does not fit."""
    from tqdm import tqdm

    from bl30k_gen.config import load_config
    from bl30k_gen.dataset.claim import claim_beside
    from bl30k_gen.dataset.reader import open_dataset
    from bl30k_gen.library.catalogue import credits
    from bl30k_gen.library.catalogue.licence import parse_requirement

    wanted = parse_requirement([require]) if require is not None else None
    store = open_dataset(dataset)
    settings = load_config(config, overrides or []) if config else store.config(overrides or [])
    if settings is None:
        raise UserError(f"{dataset} has no config.yaml", "give the YAML that it was made with as --config")
    uses = credits.AssetUses()
    for name in tqdm(store.videos, unit=" videos", disable=as_json):
        if (record := store.metadata(name)) is not None:
            uses.add(record["scene"])
    used = uses.credits(settings.assets, credits.recorded(store))
    if not used:
        raise UserError(f"{dataset} has no metadata", "only datasets of this project say what they were made of")
    folder = claim_beside(out, "assets credits", store.path)
    credits.write(used, dataset.resolve().name, folder)
    bad = credits.unfit(used, wanted) if wanted else []
    if as_json:
        print(json.dumps({"assets": [vars(asset) for asset in used], "unfit": [asset.id for asset in bad]}, indent=1))
    else:
        for asset in bad:
            print(f"does not fit: {asset.kind} {asset.id}: {asset.licence}")
        print(f"{plural(len(used), 'asset')} in {folder / credits.MARKDOWN} and {folder / credits.CSV}")
    raise typer.Exit(1 if bad else 0)


def _assets(config: "Config", folders: list[Path]) -> list[Any]:
    """The assets in ``folders``, or all that a configuration draws from."""
    from bl30k_gen.library.catalogue.catalogue import folder_assets, open_catalogue

    if not folders:
        catalogue = open_catalogue(config.assets)
        return [*catalogue.models, *catalogue.textures, *catalogue.backgrounds]
    found = []
    for folder in folders:
        assets = list(folder_assets("model", str(folder))) or list(folder_assets("texture", str(folder)))
        if not assets:
            raise UserError(f"{folder} holds no assets", "give a folder of models or images")
        found += assets
    return found


def _bar(unit: str, silent: bool) -> Any:
    """A function that wraps an iterable of known length in a progress bar."""
    from tqdm import tqdm

    def show(items: Iterable[Any], total: int) -> Iterable[Any]:
        return tqdm(items, total=total, unit=f" {unit}", disable=silent or not total)

    return show
