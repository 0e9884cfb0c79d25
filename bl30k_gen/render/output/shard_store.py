"""The shard store: a run appends its videos to one shard, from scratch space on the node.

The docstring of this package describes the protocol.

The folder of a partial shard, ``Shards/.staging/<shard>/<owner>/``, is a lease: it has the heartbeat of the whole
run. A video is claimed by renaming a small folder to ``.staging/<video>``, which fails if that exists; the small
folder holds nothing but a link to the folder of the shard. A claim is void when its link dangles, that is when the
shard has another owner or none. So one rename, that of the shard's folder, ends all claims of a dead worker. It also
ends that worker's ability to publish: a commit marker is made in that folder and moved out of it.

A worker that takes over a shard finishes it with the committed videos. A requeued task looks for shards that are
named after the first video of its list; the others are found by their claims, and by `generate.py prune`.

Besides the heartbeat, a video costs seven operations on the shared file system, and a run about a hundred. Frames,
logs and checks stay on the node. Frames of a run that was stopped are kept as one file.
"""

import contextlib
import itertools
import os
import shutil
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bl30k_gen.dataset import files
from bl30k_gen.dataset.layout import METADATA, PARTIAL, Layout, ShardLayout, discard_staging, list_visible
from bl30k_gen.dataset.metadata import dumps
from bl30k_gen.dataset.modalities import RGB
from bl30k_gen.dataset.partial_shard import PartialShard
from bl30k_gen.dataset.writers import SUFFIX, ShardFormat, write_shard
from bl30k_gen.errors import UserError
from bl30k_gen.render import process
from bl30k_gen.render.child import new_scratch
from bl30k_gen.render.output.journal import EventLog
from bl30k_gen.render.output.lease import Lease, LeaseLost, Leases, holder_of, holders, try_rename
from bl30k_gen.render.output.shard_recovery import finish_dead_shard, remove_if_void, restore_markers

HEADING = (
    "config.yaml",
    "catalogue.json",
    "DATASET.md",
    "CITATION.cff",
)  # in every shard, so that it can be used without the others


class ShardStore:
    """See ``store.Store``.

    Args:
        layout: of the dataset.
        timeout: seconds without a heartbeat after which another worker counts as dead.
        scratch: folder for frames; None: as ``child.scratch_root``.
        names: the videos of this run; its shard is named after the first.
    """

    def __init__(self, layout: Layout, kind: ShardFormat, timeout: float, scratch: Path | None, names: list[str]):
        self.layout, self.kind = layout, kind
        self._timeout, self._scratch, self._names = timeout, scratch, names
        self._shards = layout.shards
        self._observer = Leases(ShardLayout(self._shards.root, process.new_name()), timeout)
        self._shard: _Shard | None = None
        self._lock = threading.RLock()
        self._shard_of: dict[str, str] = {}  # video: the shard of the other worker that has it

    def __enter__(self) -> "ShardStore":
        with files.clear_disk_errors(self._shards.markers):
            self._shards.markers.mkdir(parents=True, exist_ok=True)
            self.layout.staging_root.mkdir(exist_ok=True)
        restore_markers(self._shards)
        self.frames = Layout(new_scratch(self._scratch))
        self._known = set(self.layout.published())
        self._unfinished = set(list_visible(self._shards.interrupted))
        self._observer.__enter__()
        # Shards of an earlier run of this task are named after the same video.
        own = [shard for shard in list_visible(self._shards.staging_root) if shard.split("-")[0] in self._names[:1]]
        if any([self._finish_dead_shard(shard) for shard in own]):
            for claim in holders(self.layout).values():
                remove_if_void(claim)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._shard is not None:
                self._shard.finish(self._target(self._shard.name), self.kind)
        finally:
            self._observer.__exit__()
            shutil.rmtree(self.frames.root, ignore_errors=True)

    def has(self, name: str) -> bool:
        return name in self._known

    def acquire(self, name: str) -> "ShardClaim | None":
        while True:
            shard = self._current_shard()
            try:
                claim = shard.claim(name, self.layout)
                if claim is None and self._is_free_now(name):
                    claim = shard.claim(name, self.layout)
                return claim
            except LeaseLost:
                with self._lock:
                    if self._shard is shard:
                        shard.leave()
                        self._shard = None

    def seen_alive(self, name: str) -> bool:
        return name in self._shard_of and self._observer.seen_alive(self._shard_of[name])

    def complete(self, name: str) -> bool:
        if self._shards.committed(name):
            self._known.add(name)
            return True
        if f"{name}.tar" in self._unfinished:
            _unpack(self._shards.unfinished(name), self.frames.staging(name))
        return False

    def publish(self, claim: "ShardClaim", metadata: Mapping[str, Any]) -> None:
        staged = self.frames.staging(claim.name)
        members = {f"{METADATA}/{claim.name}.json": dumps(metadata).encode()}
        for path in sorted(metadata["files"]):
            folder, _, file = path.split("/")
            members[path] = (staged / folder / file).read_bytes()
        marker = f"{metadata['split']}/{claim.shard.name}"
        claim.shard.partial.append(
            claim.name, members, lambda: self._commit(claim, marker), lambda: self._is_committed(claim.name, marker)
        )
        self._known.add(claim.name)

    def release(self, claim: "ShardClaim") -> None:
        name, staged = claim.name, self.frames.staging(claim.name)
        published = name in self._known
        log = self.frames.log(name)
        if log.exists() and not (published and '"failure"' not in log.read_text(encoding="utf-8")):
            _append(log, self.layout.log(name), self.layout.root)
        if published and f"{name}.tar" in self._unfinished:
            self._shards.unfinished(name).unlink(missing_ok=True)
        elif not published and any((staged / RGB).glob("*")) and claim.held():
            with contextlib.suppress(UserError):  # a full disk: they are rendered again
                _pack(staged, self._shards.unfinished(name))
                self._unfinished.add(f"{name}.tar")
        discard_staging(self.frames, name)
        log.unlink(missing_ok=True)
        claim.release()

    def log(self, name: str) -> EventLog:
        return EventLog(self.frames.log(name), self.frames.root)

    def _current_shard(self) -> "_Shard":
        with self._lock:
            if self._shard is None:
                heading = {n: (self.layout.root / n).read_bytes() for n in HEADING if (self.layout.root / n).exists()}
                owned = ShardLayout(self._shards.root, process.new_name())
                self._shard = _Shard(owned, self._timeout, self._free_names(), self._target, heading)
            return self._shard

    def _free_names(self) -> Iterator[str]:
        """Names for a shard of this run; finishes the shards that dead workers left under these names."""
        for number in itertools.count(1):
            name = self._names[0] if number == 1 else f"{self._names[0]}-{number}"
            if not (self._shards.staging_root / name).exists() or self._finish_dead_shard(name):
                yield name

    def _is_free_now(self, name: str) -> bool:
        """Whether a video is free, after removing another worker's claim if it is void."""
        home = self.layout.home(name)
        holder = holder_of(home)
        if holder is None:
            return True
        if holder.exists():
            try:
                shard = self._shard_of[name] = ShardLayout.claiming_shard(holder)
            except FileNotFoundError:  # released meanwhile
                return True
            if not self._finish_dead_shard(shard):
                return False
        remove_if_void(holder)
        return True

    def _finish_dead_shard(self, shard: str) -> bool:
        with self._lock:
            return finish_dead_shard(self._shards, self.kind, self._observer, shard)

    def _commit(self, claim: "ShardClaim", text: str) -> None:
        prepared = files.temporary_name(claim.shard.folder / claim.name)
        try:
            os.symlink(text, prepared)
            os.rename(prepared, self._shards.marker(claim.name))
        except FileNotFoundError:  # the shard is lost, or NFS reported a rename as failed that was done
            if not self._is_committed(claim.name, text):
                raise

    def _is_committed(self, name: str, text: str) -> bool:
        return "/".join(self._shards.committed(name) or ()) == text

    def _target(self, shard: str) -> Path:
        return self._shards.finished(shard, SUFFIX[self.kind])


class _Shard:
    """The partial shard of a run.

    Args:
        layout: with an owner's name that was never used before.
        names: candidates for the shard's name.
        target: name of a shard -> path of the finished shard.
    """

    def __init__(
        self,
        layout: ShardLayout,
        timeout: float,
        names: Iterator[str],
        target: Callable[[str], Path],
        heading: Mapping[str, bytes],
    ):
        self._layout = layout
        self._leases = Leases(layout, timeout)
        self._leases.__enter__()
        self.name, self.lease = next(filter(None, (self._acquire(name, target(name)) for name in names)))
        self.folder = self.lease.folder
        self.partial = PartialShard(self.folder, heading)
        self._slots: list[Path] = []  # small folders with a link to this shard, ready to become claims
        self._count = itertools.count()

    def claim(self, name: str, layout: Layout) -> "ShardClaim | None":
        """Claim a video; None while there is another claim. Raises LeaseLost where another worker has this shard."""
        if self.lease.lost:
            raise LeaseLost
        try:
            slot = self._slots.pop() if self._slots else self._new_slot()
        except FileNotFoundError:
            raise LeaseLost from None
        home = layout.home(name)
        if try_rename(slot, home) or os.path.lexists(home / self._layout.owner):
            return ShardClaim(name, self, home, slot)
        self.lease.require()
        self._slots.append(slot)
        return None

    def release(self, claim: "ShardClaim") -> None:
        if try_rename(claim.home, claim.slot):  # fails if the shard is lost: the slot's folder is gone
            self._slots.append(claim.slot)

    def finish(self, target: Path, kind: ShardFormat) -> None:
        try:
            self.partial.finish(target, kind)
            discard_staging(self._layout, self.name)
        except FileNotFoundError:
            if self.lease.held():
                raise
        finally:
            self.leave()

    def leave(self) -> None:
        """Release the shard; another worker may finish it, if it holds videos."""
        self.partial.close()
        self._leases.release(self.lease)
        self._leases.__exit__()

    def _acquire(self, name: str, target: Path) -> tuple[str, Lease] | None:
        """The lease of a new shard; None where another worker uses this name, or used it until just now."""
        lease = None if target.exists() else self._leases.acquire(name)
        if lease is None:
            return None
        if not (lease.folder / PARTIAL).exists() and not target.exists():
            return name, lease
        self._leases.release(lease)
        return None

    def _new_slot(self) -> Path:
        slot = self.folder / f"slot-{next(self._count)}"
        os.mkdir(slot)
        os.symlink(self._layout.claim_text(self.name), slot / self._layout.owner)
        return slot


class ShardClaim:
    """The right to make one video, as long as this worker owns the shard."""

    def __init__(self, name: str, shard: _Shard, home: Path, slot: Path):
        self.name, self.shard, self.home, self.slot = name, shard, home, slot

    @property
    def lost(self) -> bool:
        return self.shard.lease.lost

    def held(self) -> bool:
        return self.shard.lease.held()

    def require(self) -> None:
        self.shard.lease.require()

    def release(self) -> None:
        self.shard.release(self)


def _pack(staged: Path, target: Path) -> None:
    """Write the staged files of a video, without hidden ones, to a tar."""
    paths = (path for path in sorted(staged.rglob("*")) if path.is_file() and not path.name.startswith("."))
    write_shard(target, "tar", ((str(path.relative_to(staged)), path.read_bytes()) for path in paths))


def _unpack(source: Path, staged: Path) -> None:
    """Restore the frames of a stopped run; if they cannot be read, the video begins anew."""
    try:
        with tarfile.open(source, "r:") as archive:
            archive.extractall(staged, filter="data")
    except (OSError, tarfile.TarError):
        shutil.rmtree(staged, ignore_errors=True)


def _append(source: Path, target: Path, root: Path) -> None:
    with files.clear_disk_errors(target):
        files.make_folder(target.parent, root)
        with open(target, "a", encoding="utf-8") as log:
            log.write(source.read_text(encoding="utf-8"))
