"""Claims of output folders: a small JSON file records which command filled a folder, and from which inputs.

The same command with the same inputs continues in its folder; any other command is refused before it writes anything.
The record is a hidden file unless it is useful to users, too.
"""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bl30k_gen.dataset.files import write_json
from bl30k_gen.errors import UserError, printable
from bl30k_gen.inputs import read_json
from bl30k_gen.remote import Place, RemotePath

RECORD = ".claim.json"
MADE_BY = "made_by"
_URL_AS_PATH = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+:/")
_REMEDY = "choose another --out, or empty it"


def claim(
    folder: Place, made_by: str, facts: Mapping[str, Any], inputs: Iterable[Place] = (), record: str = RECORD
) -> None:
    """Claim an output folder, or continue in it.

    Args:
        made_by: the command, e.g. ``segment``.
        facts: JSON values that must be the same for the command to continue.
        inputs: files and folders that the command reads.
        record: name of the file with the claim.

    Raises:
        UserError: the folder belongs to another command, was made with other facts, or contains an input. Nothing is
            written.
    """
    refuse_input(folder, inputs)
    _visible(folder, ())
    wanted = {MADE_BY: made_by, **facts}
    before = read_claim(folder, record)
    if before is None or not _visible(folder, [record]):  # a folder with nothing but a claim may be claimed anew
        require_free(folder, [record])
        write_json(folder / record, wanted)
        return
    for key, value in wanted.items():
        if before.get(key) != value:
            what = f"was made with {key} = {before.get(key)}, not {value}"
            if key == MADE_BY:
                what = f"was made by `{before.get(key)}`, not `{value}`"
            raise UserError(f"{folder} {what}", _REMEDY)


def claim_beside(folder: Path | None, made_by: str, read: Place) -> Path:
    """The folder for files that describe a dataset: the dataset's own, which needs no claim, or a claimed one.

    Args:
        folder: the user's choice; None: the dataset's own.
        read: the dataset, or one of its shards.

    Raises:
        UserError: as ``claim``, or the dataset is a URL, beside which nothing is written, and ``folder`` is None.
    """
    if isinstance(read, Path):
        own = read if read.is_dir() else read.parent
        if folder is None or folder.resolve() == own.resolve():
            return own
    elif folder is None:
        raise UserError(f"nothing is written beside {read}", "say with --out where to")
    claim(folder, made_by, {"dataset": str(read.resolve())}, [read])
    return folder


def read_claim(folder: Place, record: str = RECORD) -> dict[str, Any] | None:
    """The claim of a folder; None without one. Raises UserError where it is damaged."""
    try:
        return read_json(folder / record, f"it says what {folder} is; {_REMEDY}")
    except (FileNotFoundError, NotADirectoryError):
        return None


def require_no_url(folder: Place) -> None:
    """Raises UserError where a local path was given as a URL, which as a path has one slash less."""
    if isinstance(folder, Path) and _URL_AS_PATH.match(str(folder)):
        url = RemotePath(str(folder).replace(":/", "://", 1))
        raise UserError(f"{url} is a URL, to which this command does not write", "give a folder on this machine")


def require_free(folder: Place, own: Iterable[str] = ()) -> None:
    """Raises UserError where a folder holds anything but hidden files and ``own``, or is no folder; or for a URL."""
    require_no_url(folder)
    if names := _visible(folder, own):
        raise UserError(f"{folder} holds {printable(names[0])}, which this command did not make", _REMEDY)


def _visible(folder: Place, own: Iterable[str]) -> list[str]:
    """Sorted names in a folder without hidden files and ``own``; empty where it does not exist."""
    try:
        names = list(folder.listing()) if isinstance(folder, RemotePath) else os.listdir(folder)
        return sorted(name for name in names if not name.startswith(".") and name not in own)
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        raise UserError(f"{folder} is a file", "an output folder is needed: choose another --out") from None


def refuse_input(folder: Place, inputs: Iterable[Place]) -> None:
    """Raises UserError where an output folder is a URL, an input folder, lies in one, or contains an input file."""
    require_no_url(folder)
    out = folder.resolve()
    for given in inputs:
        read = given.resolve()
        if out == read or read in list(out.parents):
            raise UserError(f"{folder} lies in {given}, which is read", "choose an --out beside it")
        if read.is_file() and out == read.parent:
            raise UserError(f"{folder} is where {given.name} is read from", "choose another --out")
