"""Renders again exactly those videos that `verify` finds bad."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bl30k_gen.config import Config
from bl30k_gen.dataset import files
from bl30k_gen.dataset.layout import (
    SPLITS,
    Layout,
    discard_staging,
    list_visible,
    unpublish,
    write_image_sets,
)
from bl30k_gen.dataset.metadata import digest
from bl30k_gen.dataset.reader import VideoStore, open_dataset
from bl30k_gen.dataset.verify import Problem, VerifyReport, dataset_problems, listed, verify
from bl30k_gen.errors import UserError
from bl30k_gen.library.catalogue.catalogue import open_catalogue
from bl30k_gen.render import dataset, process
from bl30k_gen.render.child import Event, allotted_threads
from bl30k_gen.render.dataset import open_existing
from bl30k_gen.render.output.lease import Leases, holders
from bl30k_gen.render.output.shard_recovery import finish_dead_shard, mark_all, remove_videos
from bl30k_gen.render.supervisor import Execution, Supervisor
from bl30k_gen.scene.sampler import SampledScene, is_sampled_name
from bl30k_gen.scene.spec import SceneSpec, parse_spec, read_spec
from bl30k_gen.text import aligned

KEPT = ".repair"
"""Folder of scenes of bad videos, from before they are taken out of the dataset until they are published again."""


@dataclass
class Repair:
    """The outcome of a repair."""

    rendered: list[str] = field(default_factory=list)
    sampled: list[str] = field(default_factory=list)  # those rendered from a new scene: their metadata are damaged
    removed: list[str] = field(default_factory=list)  # copies of another video under a name that is in no list
    busy: list[str] = field(default_factory=list)  # a worker has them, or their shard
    unknown: list[str] = field(default_factory=list)  # no scene is known, and their names are none of this dataset
    failed: dict[str, str] = field(default_factory=dict)  # {video: reason}
    after: VerifyReport | None = None  # on the rendered videos and the dataset's own files; None before verifying

    @property
    def ok(self) -> bool:
        return self.after is not None and self.after.ok and not self.busy

    def to_json(self) -> dict[str, Any]:
        return vars(self) | {"ok": self.ok, "after": self.after and self.after.to_json()}

    def table(self) -> str:
        """A line for each video, and the result of verifying after the repair."""
        lost = ": its scene was sampled anew, as its metadata are missing or damaged"
        rows = [[name, f"rendered again{lost if name in self.sampled else ''}"] for name in self.rendered]
        rows += [[name, "removed: a copy of another video, and in no list"] for name in self.removed]
        rows += [[name, "left alone: a worker has it; repair when that has ended"] for name in self.busy]
        rows += [[name, "left alone: no metadata, and not a name of this dataset"] for name in self.unknown]
        rows += [[name, f"failed: {reason}"] for name, reason in sorted(self.failed.items())]
        after = [] if self.after is None else [f"after the repair: {self.after.table()}"]
        return "\n".join([*aligned(rows), *after])


def repair(root: Path, report: VerifyReport, on_event: Callable[[Event], None] = lambda event: None) -> Repair:
    """Take the bad videos of ``report`` out of the dataset, render them again, and verify them.

    If this is killed, verifying and repairing again completes it.

    Args:
        on_event: as of ``Supervisor``.

    Raises:
        UserError: the dataset has no ``config.yaml``, or none of its videos was made with it; assets have changed;
            the disk is full.
    """
    layout, config = open_existing(root)
    _require_config(report, layout)
    catalogue = open_catalogue(config.assets)
    dataset.open_for_writing(layout, config, catalogue)
    outcome = Repair()
    bad, scenes = _take_out(Layout(root, process.new_name()), config, report, outcome)
    if any(problem.kind == "image set" for problem in report.problems):
        for split in SPLITS:
            layout.image_set(split).unlink(missing_ok=True)

    sampled = dataset.sampler(config, catalogue)

    def describe(name: str) -> SampledScene:
        return SampledScene(scenes[name], ()) if name in scenes else sampled(name)

    execution = Execution(config.runtime.device, allotted_threads(1), 1)
    supervisor = Supervisor(config, layout, describe, execution, on_event)
    wanted = [name for name in bad if name not in {*outcome.removed, *outcome.busy}]
    summary = supervisor.run(wanted)
    outcome.rendered, outcome.failed = sorted(summary.rendered), summary.failed
    outcome.sampled = [name for name in outcome.rendered if name not in scenes]
    for name in outcome.rendered:
        _kept(root, name).unlink(missing_ok=True)
    missing = sorted(set(wanted) - {*summary.rendered, *summary.already})
    if not missing:  # else the old lists, which still name the missing videos, stay
        write_image_sets(layout)
    outcome.after = verify(root, report.deep, names=outcome.rendered)
    outcome.after.problems += dataset_problems(open_dataset(root))
    for name in missing:
        outcome.after.problems.append(Problem(name, "missing", "it is not rendered yet"))
    reported = set(outcome.after.problems)
    outcome.after.problems += [p for p in report.problems if p.video in outcome.unknown and p not in reported]
    return outcome


def _kept(root: Path, name: str) -> Path:
    return root / KEPT / f"{name}.json"


def _require_config(report: VerifyReport, layout: Layout) -> None:
    other_config = {problem.video for problem in report.problems if problem.kind == "config"}
    if other_config and len(other_config) == report.videos:
        raise UserError(
            f"{layout.config} is not the configuration that the videos were made with",
            "restore it: that file is wrong, not the videos",
        )


def _take_out(
    layout: Layout, config: Config, report: VerifyReport, outcome: Repair
) -> tuple[list[str], dict[str, SceneSpec]]:
    """Remove the bad videos from the dataset; enter removed copies, videos in use and unknown ones into ``outcome``.

    Returns:
        Names of the bad videos, without unknown ones, and scenes of those with sound metadata, to render them from:
        they may have been planned, not sampled.
    """
    if config.runtime.store == "folder":
        store = open_dataset(layout.root)
        bad, scenes = _known(store, layout, config, report, outcome)
        with Leases(layout, config.runtime.lease_timeout) as leases:
            outcome.busy = [name for name in bad if not _unpublish(layout, leases, name)]
        return bad, scenes
    with Leases(layout.shards, config.runtime.lease_timeout) as leases:
        _remove_void_markers(layout)
        for shard in holders(layout.shards):
            finish_dead_shard(layout.shards, config.runtime.store, leases, shard)
        damaged: list[Path] = []
        is_damaged = any(problem.kind == "shard" for problem in report.problems)
        store = open_dataset(layout.root, (lambda shard, _: damaged.append(Path(str(shard)))) if is_damaged else None)
        bad, scenes = _known(store, layout, config, report, outcome)
        outcome.busy = remove_videos(layout, config.runtime.store, leases, store, bad, damaged)
    mark_all(layout, open_dataset(layout.root))
    return bad, scenes


def _known(
    store: VideoStore, layout: Layout, config: Config, report: VerifyReport, outcome: Repair
) -> tuple[list[str], dict[str, SceneSpec]]:
    """As ``_take_out``, before anything is removed. Scenes are kept as files too, in case this repair is killed."""
    kept = {path.stem: read_spec(path) for path in sorted((layout.root / KEPT).glob("*.json"))}
    found = [*report.bad_videos(), *(name for name in kept if not layout.is_published(name))]
    names = sorted(set(found))
    scenes = {name: spec for name, spec in kept.items() if name in names} | _sound_scenes(store, names)
    for name, spec in scenes.items():
        files.write_atomically(_kept(layout.root, name), spec.dumps())
    bad = [name for name in names if name in scenes or is_sampled_name(name, config.dataset.videos_per_segment)]
    outcome.removed = [name for name in _renamed(store, bad) if name not in scenes]
    outcome.unknown = [name for name in names if name not in bad]
    return bad, scenes


def _remove_void_markers(layout: Layout) -> None:
    """Remove commit markers that name no shard: videos in shards get new ones, the others are rendered again."""
    for name in list_visible(layout.shards.markers):
        marker = layout.shards.marker(name)
        if layout.shards.committed(name) is None and not marker.is_dir():
            marker.unlink()


def _unpublish(layout: Layout, leases: Leases, name: str) -> bool:
    """Move a video out of the dataset; False if a worker has it."""
    lease = leases.acquire(name)
    if lease is None:
        return False
    unpublish(layout, name)
    discard_staging(layout, name)
    leases.release(lease)
    return True


def _sound_scenes(store: VideoStore, names: list[str]) -> dict[str, SceneSpec]:
    scenes = {}
    for name in names:
        metadata = _metadata(store, name)
        if metadata.get("name") == name and metadata.get("digest") == digest(metadata):
            scenes[name] = parse_spec(metadata["scene"], f"of {name}")
    return scenes


def _renamed(store: VideoStore, names: list[str]) -> list[str]:
    """Videos that are renamed copies: their metadata names another video, and they are in no list."""
    known = {name for names in listed(store).values() for name in names}
    return [name for name in names if name not in known and _metadata(store, name).get("name", name) != name]


def _metadata(store: VideoStore, name: str) -> dict[str, Any]:
    """The metadata of a video; empty where it is missing or damaged."""
    try:
        found = store.metadata(name)
    except UserError:
        return {}
    return found if isinstance(found, dict) else {}
