"""The layout of ShapeNetCore.v2, ``<synset>/<model>/models/model_normalized.obj``, and the names of its synsets."""

import os
from collections.abc import Iterator
from pathlib import Path

from bl30k_gen.errors import UserError
from bl30k_gen.inputs import read_json
from bl30k_gen.library.catalogue.folder import FolderEntry, Names, warn_of_links, warn_unread
from bl30k_gen.library.formats.source import MESH

TAXONOMY = "taxonomy.json"

# The 55 synsets of ShapeNetCore.v2, for folders that lack the release's own taxonomy.
SYNSETS = dict(
    pair.split(" ", 1)
    for pair in """02691156 airplane|02747177 trash bin|02773838 bag|02801938 basket|02808440 bathtub|02818832 bed
02828884 bench|02843684 birdhouse|02871439 bookshelf|02876657 bottle|02880940 bowl|02924116 bus|02933112 cabinet
02942699 camera|02946921 can|02954340 cap|02958343 car|02992529 cellphone|03001627 chair|03046257 clock
03085013 keyboard|03207941 dishwasher|03211117 display|03261776 earphone|03325088 faucet|03337140 file cabinet
03467517 guitar|03513137 helmet|03593526 jar|03624134 knife|03636649 lamp|03642806 laptop|03691459 loudspeaker
03710193 mailbox|03759954 microphone|03761084 microwave|03790512 motorbike|03797390 mug|03928116 piano
03938244 pillow|03948459 pistol|03991062 flowerpot|04004475 printer|04074963 remote control|04090263 rifle
04099429 rocket|04225987 skateboard|04256520 sofa|04330267 stove|04379243 table|04401088 telephone|04460130 tower
04468005 train|04530566 watercraft|04554684 washer""".replace("\n", "|").split("|")
)


def models(folder: str) -> Iterator[FolderEntry]:
    """Models of a ShapeNetCore.v2 folder, or of one synset folder in it, sorted; nothing for any other folder."""
    names = Names.of(folder)
    for _, meshes in walk(Path(folder).resolve()):
        yield from (entry(names, mesh) for mesh in meshes)


def walk(root: Path) -> Iterator[tuple[str, list[str]]]:
    """(folder, meshes of the models in it), sorted: first ``root`` itself, as ``""``, then its synset folders.

    ``root`` may be a synset folder itself. Linked folders and files are left out, and model folders without a mesh,
    of which the release has some.
    """
    outer = _subfolders(root)
    own = {name for name in outer if _is_mesh(root / name)}  # not empty if the folder is a synset itself
    yield "", [f"{name}/{MESH}" for name in outer if name in own]
    for name in outer:
        if name not in own:
            inner = (f"{name}/{model}" for model in _subfolders(root / name))
            yield f"{name}/", [f"{model}/{MESH}" for model in inner if _is_mesh(root / model)]


def entry(names: Names, mesh: str) -> FolderEntry:
    """A mesh, given by its relative path, as an asset: id ``<synset>/<model>``, category ``<synset>``."""
    model = mesh.removesuffix(f"/{MESH}")
    id = model if "/" in model else f"{names.own}/{model}"
    return FolderEntry(id, f"{names.path}/{mesh}", id.partition("/")[0])


def category_names(folder: str) -> dict[str, tuple[str, ...]]:
    """Names of the synsets of a folder, the most common one first; from its ``taxonomy.json`` if it has one."""
    known: dict[str, tuple[str, ...]] = {synset: (name,) for synset, name in SYNSETS.items()}
    for place in (Path(folder), Path(folder).resolve().parent):
        try:
            listed = read_json(place / TAXONOMY, "", list)
            named = {str(entry["synsetId"]): str(entry["name"]) for entry in listed}
        except (UserError, OSError, ValueError, TypeError, KeyError):
            continue
        for synset, names in named.items():
            if names != synset:
                first = known.get(synset, ())
                known[synset] = tuple(dict.fromkeys([*first, *(name.strip() for name in names.split(","))]))
        break
    return known


def _subfolders(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            found = {e.name: e.is_symlink() for e in entries if _is_folder(e) and not e.name.startswith(".")}
    except PermissionError as error:
        warn_unread(error)
        return []
    warn_of_links(folder, sorted(name for name, linked in found.items() if linked))
    return sorted(name for name, linked in found.items() if not linked)


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads back to itself
        return False


def _is_mesh(model: Path) -> bool:
    mesh = model / MESH
    return mesh.is_file() and not mesh.is_symlink() and not mesh.parent.is_symlink()
