"""Leases: two workers never publish the same video, whatever goes wrong.

The staging folder of a video is its lease. ``.staging/<video>/`` holds exactly one folder, named after its owner
(``process.new_name``) or ``free``. In it lie the frames so far and the file ``heartbeat``, a counter that the owner
increments. Ownership passes, with these frames, by renaming that folder: of several callers a file system lets only
one succeed. The folder of a partial shard is a lease, too.

* A new lease is prepared under a hidden name and renamed to ``.staging/<video>``, which fails if that exists.
* A lease is stale when its counter has not changed for ``timeout`` seconds of the observer's own monotonic clock (no
  two clocks are ever compared), or when its owner is known to be dead. The observer then renames it to its own name.
  A second observer finds nothing to rename. Names of owners are unique, so it cannot rename a later lease by mistake.
* An owner that was taken for dead and resumes (after SIGSTOP, or when a network file system hung) finds its folder
  gone: its heartbeat fails, its Blender cannot write another frame, and it cannot publish, because every step of
  publishing is a rename out of or into that folder (``dataset.layout.finish_publishing``), which no step creates
  again. So a late owner never changes the dataset.

Only ``rename``, ``mkdir`` and reading are used, which are atomic on NFS, too; ``flock`` is not used.
"""

import contextlib
import errno
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

from bl30k_gen.dataset import files
from bl30k_gen.dataset.layout import StagingArea, list_visible
from bl30k_gen.render import process

HEARTBEAT = "heartbeat"
FREE = "free"
BEATS_PER_TIMEOUT = 6  # heartbeats in the time after which an owner without one counts as dead

_GONE = (errno.ENOENT, errno.ESTALE, errno.ENOTDIR)
_TAKEN = (errno.ENOTEMPTY, errno.EEXIST)


class LeaseLost(Exception):
    """Another worker has this video now."""


class Lease:
    """The right to make one video, until another worker takes it over."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.lost = False
        self._count = 0

    def beat(self) -> None:
        """Increment the counter, or notice that the lease is lost. A disk error counts as a missed heartbeat."""
        self._count += 1
        try:
            with open(self.folder / HEARTBEAT, "r+b") as heartbeat:  # never creates it
                heartbeat.write(_counter(self._count))
        except OSError as error:
            if error.errno in _GONE:  # ESTALE does not prove that the folder is gone: ask again
                self.held()

    def held(self) -> bool:
        """Ask the file system whether the lease is still held; an error does not count as a loss."""
        with contextlib.suppress(OSError):
            self.lost = self.lost or not files.is_there(self.folder)
        return not self.lost

    def require(self) -> None:
        """Raises LeaseLost."""
        if not self.held():
            raise LeaseLost

    def release(self) -> None:
        """Free the lease for other workers, with the frames so far; remove its folder if the video was published."""
        with contextlib.suppress(OSError):
            os.rename(self.folder, self.folder.with_name(FREE))
        with contextlib.suppress(OSError):
            self.folder.parent.rmdir()  # only if it is empty


class Leases:
    """One worker's leases on the videos, or the shards, of a dataset; within the context it sends their heartbeats.

    Args:
        area: ``area.owner`` is the name under which leases are acquired.
        timeout: seconds without a heartbeat after which an owner counts as dead.
        clock: the observer's monotonic clock, seconds.
    """

    def __init__(self, area: StagingArea, timeout: float, clock: Callable[[], float] = time.monotonic):
        self.area = area
        self.timeout = timeout
        self._clock = clock
        self._held: set[Lease] = set()
        self._seen: dict[Path, tuple[bytes, float]] = {}  # lease: its counter, and when this value was first seen
        self._alive: set[Path] = set()  # leases whose counter has changed since it was first seen
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> "Leases":
        self._heart.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._heart.join()

    def acquire(self, name: str) -> Lease | None:
        """The lease of a video, or None while another worker has it.

        Staleness of another worker's lease is measured from one call to the next.

        Raises:
            UserError: the disk is full or may not be written, or the dataset's folder is gone.
        """
        mine = self.area.staging(name)
        with files.clear_disk_errors(mine):
            holder = holder_of(self.area.home(name))
            if holder is None:
                won = _begin(self.area, name)
            elif holder.name == FREE or self._is_stale(holder):
                won = try_rename(holder, mine)
            else:
                return None
        if not won and not mine.exists():  # NFS may report a rename as failed that was done
            return None
        lease = Lease(mine)
        lease.beat()
        with self._lock:
            self._held.add(lease)
        return lease

    def release(self, lease: Lease) -> None:
        with self._lock:
            self._held.discard(lease)
        lease.release()

    def seen_alive(self, name: str) -> bool:
        """Whether the counter of the video's present holder has changed since ``acquire`` first saw it."""
        return holder_of(self.area.home(name)) in self._alive

    def _is_stale(self, holder: Path) -> bool:
        if process.surely_dead(holder.name):
            return True
        counter, now = _read(holder), self._clock()
        before = self._seen.setdefault(holder, (counter, now))
        if before[0] != counter:
            self._seen[holder] = (counter, now)
            self._alive.add(holder)
            return False
        return now - before[1] >= self.timeout

    def _beat(self) -> None:
        while not self._end.wait(self.timeout / BEATS_PER_TIMEOUT):
            with self._lock:
                held = list(self._held)
            for lease in held:
                lease.beat()


def holders(area: StagingArea) -> dict[str, Path]:
    """``{name: folder of its lease}`` of everything in staging, from one listing for each."""
    leases = {name: holder_of(area.staging_root / name) for name in sorted(list_visible(area.staging_root))}
    return {name: holder for name, holder in leases.items() if holder is not None}


def holder_of(home: Path) -> Path | None:
    """The folder in ``.staging/<name>`` that is its lease; None without one."""
    try:
        names = sorted(os.listdir(home))
    except FileNotFoundError:
        return None
    return home / names[0] if names else None


def _begin(area: StagingArea, name: str) -> bool:
    home = area.home(name)
    prepared = home.with_name(f".{name}.{area.owner}.new")
    try:
        files.make_folder(prepared / area.owner, area.root)
        (prepared / area.owner / HEARTBEAT).write_bytes(_counter(0))
        return try_rename(prepared, home)
    finally:
        shutil.rmtree(prepared, ignore_errors=True)  # exists only if it was not renamed


def try_rename(source: Path, target: Path) -> bool:
    """Rename; False if another process was first."""
    try:
        os.rename(source, target)
    except OSError as error:
        if error.errno in (*_GONE, *_TAKEN):
            return False
        if files.is_there(source) or not files.is_there(target):  # else NFS reported a rename as failed that was done
            raise
    return True


def _read(holder: Path) -> bytes:
    try:
        return (holder / HEARTBEAT).read_bytes()
    except OSError:  # just renamed, or the file system hangs: no heartbeat
        return b""


def _counter(count: int) -> bytes:
    return b"%012d\n" % count
