"""Who made an output folder, and from what: one claim for every command that fills a folder.

A folder that holds anything belongs to the command that filled it. The same command on the same things continues in
it; any other is refused, before it has written anything. The record of the claim is a small JSON file in the folder,
hidden unless it tells people something, too.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bl30k_gen.dataset.files import write_json
from bl30k_gen.errors import UserError, printable
from bl30k_gen.inputs import read_json
from bl30k_gen.remote import Place, RemotePath

RECORD = ".claim.json"
MADE_BY = "made_by"
_REMEDY = "choose another --out, or empty it"


def claim(
    folder: Place, made_by: str, facts: Mapping[str, Any], inputs: Iterable[Place] = (), record: str = RECORD
) -> None:
    """Take an output folder, or continue in it.

    Args:
        made_by: the command, e.g. ``segment``.
        facts: what has to be the same where the command continues, as JSON values.
        inputs: files and folders that the command reads.
        record: name of the file that keeps the claim.

    Raises:
        UserError: the folder is another command's, was made of other things, or is read from; nothing changes.
    """
    refuse_input(folder, inputs)
    _filled(folder, ())
    wanted = {MADE_BY: made_by, **facts}
    before = read_claim(folder, record)
    if before is None or not _filled(folder, [record]):  # a claim alone is what a mistake has left
        require_free(folder, [record])
        write_json(folder / record, wanted)
        return
    for key, value in wanted.items():
        if before.get(key) != value:
            said = f"was made with {key} = {before.get(key)}, not {value}"
            if key == MADE_BY:
                said = f"was made by `{before.get(key)}`, not `{value}`"
            raise UserError(f"{folder} {said}", _REMEDY)


def claim_beside(folder: Path | None, made_by: str, read: Path) -> Path:
    """The folder for what describes a dataset: the dataset's own, which needs no claim, or a claimed one.

    Args:
        folder: as asked for; None: the dataset's own.
        read: the dataset, or one of its shards.

    Raises UserError as ``claim``.
    """
    own = read if read.is_dir() else read.parent
    if folder is None or folder.resolve() == own.resolve():
        return own
    claim(folder, made_by, {"dataset": str(read.resolve())}, [read])
    return folder


def read_claim(folder: Place, record: str = RECORD) -> dict[str, Any] | None:
    """What a folder's claim says; None where there is none. Raises UserError where it is damaged."""
    try:
        return read_json(folder / record, f"it says what {folder} is; {_REMEDY}")
    except (FileNotFoundError, NotADirectoryError):
        return None


def require_free(folder: Place, own: Iterable[str] = ()) -> None:
    """Raises UserError where a folder holds anything but hidden files and those named ``own``, or is none."""
    if names := _filled(folder, own):
        raise UserError(f"{folder} holds {printable(names[0])}, which this command did not make", _REMEDY)


def _filled(folder: Place, own: Iterable[str]) -> list[str]:
    """What a folder holds beside hidden files and those named ``own``."""
    try:
        names = list(folder.listing()) if isinstance(folder, RemotePath) else os.listdir(folder)
        return sorted(name for name in names if not name.startswith(".") and name not in own)
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        raise UserError(f"{folder} is a file", "an output folder is needed: choose another --out") from None


def refuse_input(folder: Place, inputs: Iterable[Place]) -> None:
    """Raises UserError where an output folder is one that is read from, or lies in one."""
    out = folder.resolve()
    for given in inputs:
        read = given.resolve()
        if out == read or read in list(out.parents):
            raise UserError(f"{folder} lies in {given}, which is read", "choose an --out beside it")
        if read.is_file() and out == read.parent:
            raise UserError(f"{folder} is where {given.name} is read from", "choose another --out")
