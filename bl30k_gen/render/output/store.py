"""Stores for the videos of a worker: files in folders, or one shard a run.

A store decides which worker makes which video, provides a folder for its frames, and publishes it by one rename.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from bl30k_gen.config import Config
from bl30k_gen.dataset.layout import Layout, finish_publishing, publish
from bl30k_gen.render.output.journal import EventLog
from bl30k_gen.render.output.lease import Lease, Leases
from bl30k_gen.render.output.shard_store import ShardStore


class Claim(Protocol):
    """The right to make one video, until another worker takes it over."""

    @property
    def lost(self) -> bool:
        """Whether the claim is known to be lost, without asking the file system."""

    def held(self) -> bool:
        """Ask the file system whether the claim still holds."""

    def require(self) -> None:
        """Raises lease.LeaseLost."""


AnyClaim = TypeVar("AnyClaim", bound=Claim)


class Store(Protocol[AnyClaim]):
    """A store of videos; within its context the heartbeats of claims are sent."""

    frames: Layout  # layout of the unpublished frames

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def has(self, name: str) -> bool:
        """Whether a video is known to be published; cheap."""

    def acquire(self, name: str) -> AnyClaim | None:
        """Claim a video; None while another worker has it. Repeated calls find out whether that worker is alive."""

    def seen_alive(self, name: str) -> bool:
        """Whether the worker that has the video has sent a heartbeat since ``acquire`` first saw it."""

    def complete(self, name: str) -> bool:
        """Whether the video is published now; needs the claim. If not, some of its frames may exist."""

    def publish(self, claim: AnyClaim, metadata: Mapping[str, Any]) -> None:
        """Make the video in ``frames`` part of the dataset. Raises LeaseLost, FileNotFoundError, UserError."""

    def release(self, claim: AnyClaim) -> None:
        """Free the video for other workers, with the frames so far."""

    def log(self, name: str) -> EventLog:
        """The log of a video."""


def open_store(config: Config, layout: Layout, scratch: Path | None, names: list[str]) -> Store[Any]:
    """The store of a run that is to make the videos ``names``.

    Args:
        scratch: folder for frames of shards; None: as ``child.scratch_root``.
    """
    if config.runtime.store == "folder":
        return FolderStore(layout, config.runtime.lease_timeout)
    return ShardStore(layout, config.runtime.store, config.runtime.lease_timeout, scratch, names)


class FolderStore:
    """Videos are folders of files. The claim of a video is the lease of its staging folder."""

    def __init__(self, layout: Layout, timeout: float):
        self.frames = layout
        self._leases = Leases(layout, timeout)

    def __enter__(self) -> Self:
        self._leases.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._leases.__exit__()

    def has(self, name: str) -> bool:
        return self.frames.is_published(name) and not self.frames.home(name).exists()

    def acquire(self, name: str) -> Lease | None:
        return self._leases.acquire(name)

    def seen_alive(self, name: str) -> bool:
        return self._leases.seen_alive(name)

    def complete(self, name: str) -> bool:
        return finish_publishing(self.frames, name)

    def publish(self, claim: Lease, metadata: Mapping[str, Any]) -> None:
        claim.require()
        publish(self.frames, metadata["name"], metadata)

    def release(self, claim: Lease) -> None:
        self._leases.release(claim)

    def log(self, name: str) -> EventLog:
        return EventLog(self.frames.log(name), self.frames.root)
