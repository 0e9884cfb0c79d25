"""What no command may do when it is given a strange file: the checks on its output and on the files it leaves."""

import filecmp
import os
import re
import stat
from pathlib import Path

from PIL import Image

from benchmarks.faults.command_runs import CommandResult
from benchmarks.faults.input_files import GENERATE, OUT, InputFile
from benchmarks.faults.odd_files import Corruption

EXIT_CODE_1 = ("verify", "assets check", "annotations", "replay", "assets fetch", "render", "assets credits")
"""Commands of ``generate.py`` whose help gives exit code 1 a meaning."""
READ_PARTS = (
    *(f"{GENERATE} {name}" for name in ("info", "preview", "report", "export", "pack", "prune")),
    *(f"{GENERATE} assets {name}" for name in ("index", "list", "credits")),
    "train interact",
)
"""Commands that need not read all of every file of a kind that they read: a script may concern some frames alone."""
CACHE = ".index.json"  # rebuilt where it cannot be read
MAX_LINE = 2000  # characters of an error line

Snapshot = dict[str, tuple[int, ...]]
"""Inode, mode, size and modification time of files by their path."""

_WARNING = re.compile(r"^\S+\.py:\d+: \w*Warning", re.MULTILINE)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x0c\x0e-\x1f\x7f-\x9f]")


def snapshot(workspace: Path) -> Snapshot:
    """The state of every file and link below a folder; the folders' own times are left out."""
    found: Snapshot = {}
    for folder, folders, names in os.walk(workspace):
        for name in [*names, *(name for name in folders if os.path.islink(os.path.join(folder, name)))]:
            path = os.path.join(folder, name)
            about = os.lstat(path)
            found[os.path.relpath(path, workspace)] = (about.st_ino, about.st_mode, about.st_size, about.st_mtime_ns)
    return found


def find_violations(
    file: InputFile,
    corruption: Corruption,
    line: str,
    result: CommandResult,
    before: Snapshot,
    after: Snapshot,
    workspace: Path,
) -> list[str]:
    """What a command did that no command may do; empty if it behaved.

    Args:
        line: the command line.
        before: the workspace when the command started.
        after: the workspace when it had ended.
    """
    found = [result.stopped] if result.stopped else []
    output = result.output
    one_is_defined = any(line.removeprefix(f"{GENERATE} ").startswith(name) for name in EXIT_CODE_1)
    if result.code is not None and not (result.code in (0, 2) or (result.code == 1 and one_is_defined)):
        found.append(f"exit code {result.code}")
    if "Traceback (most recent call last)" in output:
        found.append("traceback")
    if _CONTROL.search(output.replace("\r", "")):
        found.append("escape sequence")
    if _WARNING.search(output):
        found.append("a warning of Python's")
    errors = re.findall(r"^error: .*", output, re.MULTILINE)
    if len(errors) > 1 or (result.code == 2 and len(errors) != 1):
        found.append(f"{len(errors)} error lines")
    if any(len(error) > MAX_LINE for error in errors):
        found.append("an endless line")
    reads_parts = file.path.endswith(CACHE) or line.startswith(READ_PARTS)
    if corruption.validity == "invalid" and result.code == 0 and not reads_parts and not _is_named(file, output):
        found.append("silent")
    if corruption.validity == "valid" and result.code == 2:
        found.append("refused for no reason")
    found += _changed_inputs(file, before, after)
    found += _unfinished_outputs(workspace, workspace / file.path, before, after)
    return found


def _is_named(file: InputFile, output: str) -> bool:
    """Whether the output names a file, or the video that it belongs to."""
    path = Path(file.path)
    names = {path.name, path.name.partition(".")[0], path.stem, path.parent.name} - {"data", "models", "photos", "."}
    return any(name in output for name in names)


def _changed_inputs(file: InputFile, before: Snapshot, after: Snapshot) -> list[str]:
    """The first file that the command changed, although it may only read it."""

    def inputs(files: Snapshot) -> Snapshot:
        writable = (OUT, "cache", *file.may_change)
        return {path: about for path, about in files.items() if not path.startswith(writable) or path == file.path}

    was, now = inputs(before), inputs(after)
    is_writable = file.path.startswith(file.may_change) if file.may_change else False
    changed = [p for p in was | now if was.get(p) != now.get(p) and not (is_writable and p == file.path)]
    return [f"changed {changed[0]}"] if changed else []


def _unfinished_outputs(workspace: Path, input_path: Path, before: Snapshot, after: Snapshot) -> list[str]:
    """The first temporary file or truncated image that the command left. A copy of the strange file is allowed."""
    found = []
    for path in after.keys() - before.keys():
        if path.endswith(".part") and "/." in f"/{path}":
            found.append("left a temporary file")
        if path.startswith(OUT) and path.endswith((".png", ".jpg", ".webp")) and stat.S_ISREG(after[path][1]):
            try:
                with Image.open(workspace / path) as image:
                    image.load()
            except (OSError, ValueError, SyntaxError):
                if not (input_path.is_file() and filecmp.cmp(workspace / path, input_path, shallow=False)):
                    found.append("wrote half a picture")
    return found[:1]
