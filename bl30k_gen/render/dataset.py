"""Opens a dataset for rendering; refuses to continue it with another configuration or with other assets."""

import logging
from collections.abc import Callable, Iterable
from pathlib import Path

from bl30k_gen.config import Config, load_config
from bl30k_gen.dataset.card import citation, dataset_card
from bl30k_gen.dataset.claim import refuse_input, require_free
from bl30k_gen.dataset.files import write_atomically, write_json
from bl30k_gen.dataset.layout import METADATA, Layout
from bl30k_gen.errors import UserError, nearest
from bl30k_gen.inputs import holds, read_json
from bl30k_gen.library.asset import AssetKind, AssetRefused, ImageAsset, Model
from bl30k_gen.library.cache import cached_image, cached_model
from bl30k_gen.library.catalogue.catalogue import Catalogue
from bl30k_gen.library.catalogue.listed import Asset
from bl30k_gen.library.load import LOADER_VERSION
from bl30k_gen.render import blender_version
from bl30k_gen.scene.sampler import SampledScene, sample_scene, video_index
from bl30k_gen.scene.spec import AssetRef, SceneSpec, read_spec
from bl30k_gen.settings import difference

log = logging.getLogger(__name__)

MAX_LISTED = 3  # differences of two configurations that a message names
SCENES = "scenes"
KINDS: tuple[AssetKind, ...] = ("model", "texture", "background")


def config_of(config: Path | None, folder: Path, overrides: list[str]) -> Config:
    """The configuration that a command names, or the one that lies in ``folder``.

    Raises:
        UserError
    """
    if config is None and not Layout(folder).config.exists():
        raise UserError(f"{folder} holds no config.yaml yet", "give --config, e.g. render_configs/demo.yaml")
    return load_config(config or Layout(folder).config, overrides)


def open_existing(root: Path) -> tuple[Layout, Config]:
    """Raises UserError where no dataset was begun."""
    layout = Layout(root)
    if not layout.config.exists():
        raise UserError(f"{root} holds no config.yaml", "no dataset was begun there; give its folder")
    return layout, load_config(layout.config)


def open_for_writing(
    layout: Layout, config: Config, catalogue: Catalogue, ready: Callable[[], object] = lambda: None
) -> None:
    """Begin a dataset, or check that an existing one can be continued.

    Args:
        ready: called before the first file is written; raises what prevents rendering.

    Raises:
        UserError: the dataset was begun with another configuration, other assets, or another version of a tool.
    """
    record = layout.root / "catalogue.json"
    assets = _identity(catalogue)
    refuse_input(layout.root, _asset_folders(config))
    begun = require_same(layout, config)
    _require_same_store(layout, config, begun)
    if record.exists():
        _require_same_assets(layout, config, record, assets)
    if begun is None or not (record.exists() or layout.published()):  # or only `plan` has written config.yaml
        ready()
        write_atomically(layout.card, dataset_card(config.model_dump(mode="json"), _licences(config, catalogue)))
        write_atomically(layout.citation, citation(config.digest()))
        write_json(record, assets)
        write_atomically(layout.config, config.to_yaml())


def _require_same_store(layout: Layout, config: Config, begun: Config | None) -> None:
    store = config.runtime.store
    if begun is not None and store != begun.runtime.store:
        raise UserError(
            f"{layout.root} was begun with --store {begun.runtime.store}, not {store}",
            f"give --store {begun.runtime.store}, or another --out",
        )
    if store != "folder" and (layout.root / METADATA).is_dir():
        raise UserError(
            f"{layout.root} holds videos as folders, and its config.yaml says runtime.store: {store}",
            "they were unpacked: set runtime.store: folder there to continue with folders",
        )


def _require_same_assets(layout: Layout, config: Config, record: Path, assets: dict[str, object]) -> None:
    """Raises UserError if the assets, their loader or Blender differ from those recorded in ``record``."""
    before = read_json(record, "restore it: it says which assets the dataset was begun with")
    if before.get("digest") != assets["digest"]:
        raise UserError(
            f"{layout.root} was begun with other assets ({_counts(before)}, now {_counts(assets)})",
            "restore the asset folders, or give another --out",
        )
    # Built-in assets are not loaded from files; the digest of the catalogue contains their own version.
    if _asset_folders(config) and (loader := before.get("loader", 1)) != LOADER_VERSION:
        raise UserError(
            f"{layout.root} was begun with version {loader} of the asset loader, and this is {LOADER_VERSION}",
            "the same files give other images now: use the release that began it, or another --out",
        )
    then, now = before.get("blender", blender_version.UNRECORDED), blender_version.series()
    if None not in (then, now) and then != now:
        raise UserError(
            f"{layout.root} was begun with Blender {then}, and this is {now}",
            f"install the same (pip install 'bpy=={then}.*'), or give another --out",
        )


def require_same(layout: Layout, config: Config, own: Iterable[str] = ()) -> Config | None:
    """The configuration that the dataset was begun with; None for a new one.

    Args:
        own: names of files that may lie in the folder of a new dataset.

    Raises:
        UserError: the folder holds a dataset with another configuration, or something else.
    """
    if not layout.config.exists():
        require_free(layout.root, own)
        return None
    begun = load_config(layout.config)
    if changes := _changes(config, begun):
        raise UserError(
            f"{layout.root} was begun with {changes}",
            f"continue it with --config {layout.config}, or choose another --out",
        )
    return begun


def _changes(config: Config, begun: Config) -> str:
    """The first values in which ``config`` differs from ``begun`` in what videos depend on; empty if in none."""
    listed = [
        f"{key} = {old}, not {new}" for key, (new, old) in difference(config.identity(), begun.identity()).items()
    ]
    if len(listed) > MAX_LISTED:
        listed[MAX_LISTED:] = [f"and {len(listed) - MAX_LISTED} more"]
    return "; ".join(listed)


def _asset_folders(config: Config) -> list[Path]:
    assets = config.assets
    named = dict.fromkeys([*assets.models, *assets.textures, *assets.backgrounds])
    return [Path(folder) for folder in named if folder != "builtin"]


def write_plan(out: Path, config: Config, specs: Iterable[SceneSpec]) -> int:
    """Write scenes for ``render --plan``; return their number.

    Raises:
        UserError: the folder holds something else, or one of the scenes with changes.
    """
    layout, count = Layout(out), 0
    if require_same(layout, config) is None:
        write_atomically(layout.config, config.to_yaml())
    for spec in specs:
        path, text = out / SCENES / f"{spec.name}.json", spec.dumps()
        if path.exists() and not holds(path, text):
            raise UserError(f"{path} was changed since it was written", "keep it, or remove it and plan again")
        write_atomically(path, text)
        count += 1
    return count


def _counts(assets: dict[str, object]) -> str:
    return " ".join(
        f"{count} {kind}" for kind, count in assets.items() if kind not in ("digest", "loader", "blender")
    )


def _identity(catalogue: Catalogue) -> dict[str, object]:
    """The record of a dataset's assets by which a change of them is noticed."""
    counts = {f"{kind}s": len(catalogue.of(kind)) for kind in KINDS}
    versions = {"loader": LOADER_VERSION, "blender": blender_version.series()}
    return {"digest": catalogue.digest(), **versions, **counts}


def _licences(config: Config, catalogue: Catalogue) -> list[tuple[str, str]]:
    """(source, licences) of each source of assets, for the dataset card."""
    assets = config.assets
    licences = {}
    for root in dict.fromkeys([*assets.models, *assets.textures, *assets.backgrounds]):
        source = "the built-in library" if root == "builtin" else root
        of_root = (a for kind in KINDS for a in catalogue.of(kind) if _is_of(a, root))
        licences[source] = ", ".join(sorted({a.licence for a in of_root}))
    return list(licences.items())


def _is_of(asset: Asset, source: str) -> bool:
    builtin = asset.path.startswith("builtin:")
    return builtin if source == "builtin" else not builtin and Path(asset.path).is_relative_to(source)


def sampler(config: Config, catalogue: Catalogue) -> Callable[[str], SampledScene]:
    """A function that samples the scene of a video, given its name."""
    limits = config.assets.limits

    def describe(name: str) -> SampledScene:
        index = video_index(name, config.dataset.videos_per_segment)
        return sample_scene(config, catalogue, load_model, load_image, index)

    def load_model(asset: Asset) -> Model:
        refuse_fatal(asset)
        return cached_model(asset.path, limits)

    def load_image(asset: Asset) -> ImageAsset:
        refuse_fatal(asset)
        return cached_image(asset.path, asset.kind, limits)

    def refuse_fatal(asset: Asset) -> None:
        if asset.fatal:
            raise AssetRefused(asset.fatal)

    return describe


def planned(folder: Path, config: Config, catalogue: Catalogue) -> tuple[list[str], Callable[[str], SampledScene]]:
    """Names of the scenes that ``plan`` wrote to ``folder``, and a function from a name to its scene.

    Raises:
        UserError: there are none, or they were planned with another configuration, whose values they hold; the
            function raises it as ``AssetResolver.resolve``.
    """
    layout = Layout(folder)
    if layout.config.exists() and (changes := _changes(config, load_config(layout.config))):
        raise UserError(
            f"--plan {folder} was planned with {changes}", "plan again with the new values, or leave them out"
        )
    resolver = AssetResolver(catalogue)
    names = sorted(path.stem for path in (folder / SCENES).glob("*.json"))
    if not names:
        raise UserError(f"{folder / SCENES} holds no scenes", "write some with `generate.py plan`")

    def describe(name: str) -> SampledScene:
        path = folder / SCENES / f"{name}.json"
        spec = read_spec(path)
        if spec.name != name:
            raise UserError(f"{path} is of video {spec.name}", "name the file as the video")
        return SampledScene(resolver.resolve(spec, str(path)), ())

    return names, describe


class AssetResolver:
    """Looks up the assets of a scene in the catalogue.

    Scenes may have been edited. An asset is rendered by its path and credited by its id, so both have to agree.
    """

    def __init__(self, catalogue: Catalogue):
        self.known = {(kind, asset.id): asset for kind in KINDS for asset in catalogue.of(kind)}

    def resolve(self, spec: SceneSpec, source: str) -> SceneSpec:
        """The scene, with missing digests filled in.

        Raises:
            UserError: naming ``source`` and an asset that is unknown, lies elsewhere or cannot be loaded.
        """

        def resolved(kind: AssetKind, ref: AssetRef) -> AssetRef:
            return self._resolved(kind, ref, spec, f"scene {source}: {kind} {ref.id}")

        objects = [
            thing.model_copy(
                update={
                    "model": resolved("model", thing.model),
                    "texture": thing.texture and resolved("texture", thing.texture),
                }
            )
            for thing in spec.objects
        ]
        backdrop = spec.backdrop.model_copy(update={"image": resolved("background", spec.backdrop.image)})
        return spec.model_copy(update={"objects": tuple(objects), "backdrop": backdrop})

    def _resolved(self, kind: AssetKind, ref: AssetRef, spec: SceneSpec, where: str) -> AssetRef:
        asset = self.known.get((kind, ref.id))
        if asset is None:
            ids = (asset_id for known_kind, asset_id in self.known if known_kind == kind)
            raise UserError(f"{where} is unknown", nearest(ref.id, ids, f"assets.{kind}s holds no such asset"))
        if str(asset.path) != ref.path:
            raise UserError(f"{where} lies in {asset.path}, not in {ref.path}", "change both id and path")
        if ref.sha256:
            return ref
        log.warning("%s has no sha256: the file's is taken", where)
        try:
            load = cached_model if kind == "model" else cached_image
            return ref.model_copy(update={"sha256": load(ref.path, spec.limits).sha256})
        except AssetRefused as refusal:
            raise UserError(where, refusal.reason) from None
