"""The output folder of an export: its claim, its finished units, and publishing of units.

.export/claim.json         the dataset, the format and its options; without it, a folder with files is refused
.export/done/<unit>.json   a finished unit: fingerprint of its input, and its files with their sizes; written last
.export/staging/<unit>/    an unfinished unit, its files under their future paths in the output
"""

import contextlib
import errno
import fcntl
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bl30k_gen.dataset import files
from bl30k_gen.dataset.claim import require_no_url
from bl30k_gen.errors import UserError
from bl30k_gen.inputs import read_json
from bl30k_gen.remote import Place

PRIVATE = ".export"

log = logging.getLogger(__name__)


class Target:
    """The output folder ``out`` of an export."""

    def __init__(self, out: Path):
        self.out = out
        self._private = out / PRIVATE

    @contextlib.contextmanager
    def claimed(self, source: Place, claim: Mapping[str, Any]) -> Iterator[None]:
        """Claim the folder for one export; an export with the same ``claim`` continues where it stopped.

        Raises:
            UserError: the folder holds something else, was begun with another claim, lies inside of ``source``, or is
                in use by another process; or it is a URL.
        """
        require_no_url(self.out)
        out, inside = self.out.resolve(), source.resolve()
        if isinstance(inside, Path) and inside.is_dir() and (out == inside or inside in out.parents):
            raise UserError(f"--out {self.out} lies in the dataset {source}", "choose a folder outside of it")
        path = self._private / "claim.json"
        if not path.exists() and self.out.exists() and any(self.out.iterdir()):
            raise UserError(f"{self.out} is not empty and no export began it", "choose another --out")
        with files.clear_disk_errors(path):
            self._private.mkdir(parents=True, exist_ok=True)
            lock = open(self._private / "lock", "w")
        with lock:
            try:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in (errno.EAGAIN, errno.EACCES):
                    raise UserError(f"another process exports into {self.out}", "wait for its end") from None
                log.warning("%s: this file system has no locks; run one export into it at a time", self.out)
            if path.exists():
                _agree(path, claim)
            files.write_json(path, dict(claim))
            yield
            shutil.rmtree(self._private / "staging", ignore_errors=True)

    def finished(self) -> list[str]:
        """Names of the finished units."""
        folder = self._private / "done"
        return sorted(path.stem for path in folder.glob("*.json")) if folder.is_dir() else []

    def is_done(self, unit: str, fingerprint: str) -> bool:
        """Whether a unit is finished with the same input, and all its files exist with their sizes."""
        marker = self._marker(unit)
        return (
            marker is not None
            and marker["fingerprint"] == fingerprint
            and all(_size(self.out / path) == size for path, size in marker["files"].items())
        )

    def staging(self, unit: str) -> Path:
        """Make an empty folder for the files of a unit."""
        folder = self._private / "staging" / unit
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def publish(self, unit: str, fingerprint: str) -> dict[str, int]:
        """Move the staged files of a unit into the output; they replace those of an earlier version.

        Returns:
            ``{path in the output: bytes}``
        """
        staged, marker = self._private / "staging" / unit, self._private / "done" / f"{unit}.json"
        written = {str(path.relative_to(staged)): path.stat().st_size for path in _files_in(staged)}
        for path in written:
            if (staged / path).stat().st_nlink == 1:  # hard links to the dataset are on the disk already
                files.sync(staged / path)
        before = self._marker(unit)
        marker.unlink(missing_ok=True)
        for path in (before or {"files": {}})["files"].keys() - written.keys():
            (self.out / path).unlink(missing_ok=True)
        _move_into(staged, self.out)
        shutil.rmtree(staged, ignore_errors=True)
        files.write_json(marker, {"fingerprint": fingerprint, "files": written})
        return written

    def _marker(self, unit: str) -> dict[str, Any] | None:
        try:
            marker = read_json(self._private / "done" / f"{unit}.json", "")
        except (FileNotFoundError, UserError):
            return None
        return marker if isinstance(marker.get("files"), dict) and "fingerprint" in marker else None


def _agree(path: Path, claim: Mapping[str, Any]) -> None:
    try:
        before = read_json(path, "")
    except UserError:
        before = {}
    if before.get("dataset", claim["dataset"]) != claim["dataset"]:  # exports of earlier versions do not name it
        raise UserError(f"{path.parents[1]} holds an export of another dataset", "choose another --out")
    for key, value in claim.items():
        if key != "dataset" and before.get(key) != value:
            raise UserError(
                f"{path.parents[1]} was begun with {key} = {before.get(key)}, not {value}", "choose another --out"
            )


def _files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _move_into(source: Path, target: Path) -> None:
    """Rename the contents of ``source`` into ``target``: whole folders where ``target`` lacks them, else files."""
    for entry in sorted(source.iterdir()):
        destination = target / entry.name
        if entry.is_dir() and destination.is_dir():
            _move_into(entry, destination)
        else:
            os.replace(entry, destination)
    files.sync(target)
