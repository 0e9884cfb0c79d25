"""Saves a session after every interaction, so that a crash loses at most the current interaction.

The first line of ``journal.jsonl`` describes the video; each further line is an action with the state that follows. A
second file, ``maps-<number>.bin``, which the journal names, holds the probabilities that the lines refer to. Reading
the lines restores the session with undo and redo. Both files grow; when most of their content belongs to dropped
states, both are rewritten without it.
"""

import contextlib
import fcntl
import json
import logging
import os
import re
from collections.abc import Mapping
from io import FileIO
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np

from bl30k_gen.dataset.files import clear_disk_errors, replace, sha256_bytes, temporary_name, write_atomically
from bl30k_gen.errors import UserError
from bl30k_gen.inputs import open_regular, parse_json
from models.clicks import Click
from training.annotator.maps_file import MapsFile, write_all
from training.evaluation.scribbles import Stroke
from training.inference.video import Frames
from training.interactive.local_control import Box
from training.interactive.session import InteractiveSession
from training.interactive.state import Draft, Maps, State

FORMAT, VERSION = "bl30k-annotation", 4
READABLE = (3, VERSION)
"""Version 3 has all corrected frames and references in each line."""
JOURNAL, DAMAGED_JOURNAL = "journal.jsonl", "journal.damaged.jsonl"
MAX_FIRST_LINE = 1 << 16  # bytes
MAX_GROWTH = 64 * 2**20
"""Bytes that a journal may grow by before it is rewritten."""
DAMAGED = (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError)
"""Exceptions for a line of JSON that does not describe a state."""

log = logging.getLogger(__name__)

UNDOING = ("undo", "redo")


def identify(frames: Frames, session: InteractiveSession) -> dict[str, Any]:
    """A description by which a video is recognised: its size, its length and digests of some frames.

    The digest of a damaged frame is None; the frame may be restored later.
    """

    def pixels(frame: int) -> str | None:
        try:
            return sha256_bytes(np.ascontiguousarray(frames[frame]).tobytes())
        except UserError:
            return None

    return {
        "name": frames.path.name,
        "frames": len(frames),
        "size": list(session.size),
        "working": list(session.view.working),
        "pixels": [pixels(t) for t in (0, len(frames) // 2, len(frames) - 1)],
    }


def recorded_short_side(folder: Path) -> int | None:
    """The short side of the session in a folder; None if there is no session."""
    try:
        with open_regular(folder / JOURNAL) as file:
            return int(min(parse_json(file.readline(MAX_FIRST_LINE), "", "", nan=True)["video"]["working"]))
    except (OSError, UserError, ValueError, LookupError, TypeError):
        return None  # a damaged session is refused when it is opened


class Autosave:
    """The files of one session. Raises UserError if another program has them open, or they are of another video."""

    def __init__(self, folder: Path, video: Mapping[str, Any], session: InteractiveSession):
        self.folder, self.video, self.session = folder, video, session
        self.actions: list[dict[str, Any]] = []
        self.looks: dict[int, dict[str, Any]] = {}
        self.begun = False  # the beginning was complete, see ``begin``
        self.behind = False  # some action could not be saved
        self._missed: list[dict[str, Any]] = []  # such actions
        self._recorded = session.state
        self._rewritten = 0  # bytes of the journal after its last rewriting
        self._end = 0  # of the last complete line of the journal
        with clear_disk_errors(folder / JOURNAL):
            folder.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError), open_regular(folder / JOURNAL):
                pass
            self._journal = _open_journal(folder / JOURNAL)
        if not _lock(self._journal):
            self._journal.close()
            raise UserError(f"session {folder} is open in another program", "close that one, or give --out")
        try:
            lines = self._read_lines()
            with clear_disk_errors(folder / JOURNAL):
                self.maps = MapsFile(folder / lines[0]["maps"], session.view.padded)
            lines = lines[: self._restore(lines)]
        except BaseException:
            self._journal.close()
            raise
        self._recorded = session.state
        self.restored = len(lines) > 1
        if lines[0].get("version") != VERSION:  # an earlier program would take the lines to come for damage
            self.compact()
        for left in set(folder.glob("maps-*.bin")) - {self.maps.path}:  # of a rewriting that was interrupted
            left.unlink()

    def close(self) -> None:
        self._journal.close()
        self.maps.close()

    def begin(self) -> None:
        """Mark the current state as the beginning: undo does not go back further."""
        self.session.history.clear()
        self._append({"begin": True})
        self.begun = True

    def restart(self) -> None:
        """Forget a session that was interrupted before its beginning was complete. Raises UserError if that fails."""
        self._forget(self.session.empty)
        self._recorded = self.session.state
        self.restored, self._end = False, 0
        with clear_disk_errors(self.folder / JOURNAL):
            self._write(self._head(self.maps.path.name))

    def record(self, action: dict[str, Any] | None = None, looks: dict[int, dict[str, Any]] | None = None) -> None:
        """Save an action and the state that follows, the looks of objects, or what could not be saved before.

        Raises UserError if that fails; the next record then also has the content of this one.
        """
        line: dict[str, Any] = {}
        state = self.session.state
        self.actions += [action] if action is not None else []
        self.looks = looks if looks is not None else self.looks
        with clear_disk_errors(self.folder / JOURNAL):
            try:
                if action is not None:
                    line["action"] = action
                if self.behind:
                    line["missed"] = self._missed
                if state is not self._recorded and (self.behind or action is None or action["do"] not in UNDOING):
                    line["state"] = self._describe(state, self._recorded)
                if self.behind or looks is not None:
                    line["looks"] = self._looks()
                self._append(line)
            except BaseException:
                self.behind = True
                self._missed += [action] if action is not None else []
                raise
        self.behind, self._missed, self._recorded = False, [], state
        if self.maps.wasteful or self._end > MAX_GROWTH + 2 * self._rewritten:
            self.compact()

    def keep(self, maps: Maps) -> None:
        """Move maps from memory to disk before a state refers to them. Raises UserError if that fails."""
        with clear_disk_errors(self.maps.path):
            self.maps.refer(maps)

    def compact(self) -> None:
        """Rewrite both files with the current state and history only. If that fails, nothing changes."""
        number = int(self.maps.path.stem.removeprefix("maps-")) + 1
        path = self.folder / f"maps-{number}.bin"
        with contextlib.suppress(OSError, UserError):  # the old files are as good, only larger
            self.maps.rewrite(path, self._publish)

    def _publish(self) -> None:
        """Replace the journal by a new one for the current file of ``maps``."""
        session = self.session
        past, future = session.history.states()
        states = [*past, session.state, *reversed(future)]
        befores = [session.empty, *states]
        about = {
            "begin": self.begun,
            "actions": self.actions,
            "looks": self._looks(),
            "locked": sorted(session.locked),
            "states": [self._describe(new, old) for old, new in zip(befores, states, strict=False)],
            "undone": len(future),
        }
        temporary = temporary_name(self.folder / JOURNAL)
        old, end = self._journal, self._end
        self._journal, self._end = _open_journal(temporary), 0
        try:
            _lock(self._journal)
            self._write(self._head(self.maps.path.name))
            self._append(about)
            replace(temporary, self.folder / JOURNAL)
        except BaseException:
            self._journal.close()
            self._journal, self._end = old, end
            temporary.unlink(missing_ok=True)
            raise
        old.close()
        self._recorded, self._rewritten = session.state, self._end

    # Writing

    def _append(self, line: dict[str, Any]) -> None:
        self.maps.sync()
        self._write(line)

    def _write(self, line: dict[str, Any]) -> None:
        """Append a line. What an earlier failure has left behind the last complete line is removed."""
        data = json.dumps(line).encode() + b"\n"
        self._journal.truncate(self._end)
        write_all(self._journal, data)
        os.fsync(self._journal.fileno())
        self._end += len(data)

    def _looks(self) -> dict[str, dict[str, Any]]:
        return {str(label): look for label, look in self.looks.items()}

    def _describe(self, state: State, before: State) -> dict[str, Any]:
        refer = self.maps.refer
        pairs = zip(before.probs, state.probs, strict=True)
        changed = {t: refer(new) for t, (old, new) in enumerate(pairs) if new is not old}
        same = sum(
            1
            for _ in takewhile(
                lambda pair: pair[0] == pair[1], zip(before.references, state.references, strict=False)
            )
        )
        corrected = {
            frame: maps for frame, maps in state.corrected.items() if maps is not before.corrected.get(frame)
        }
        kept = [frame for frame in before.corrected if frame in state.corrected and frame not in corrected]
        if [*kept, *corrected] != list(state.corrected):  # in another order, as after an undo that was not saved
            kept, corrected = [], dict(state.corrected)
        gone = [frame for frame in before.corrected if frame not in kept]
        about: dict[str, Any] = {
            "objects": state.objects,
            "probs": changed,
            "trusted": {"same": same, "more": [[frame, refer(maps)] for frame, maps in state.references[same:]]},
            "corrected": {"gone": gone, "more": [[frame, refer(maps)] for frame, maps in corrected.items()]},
            "draft": self._describe_draft(state.draft) if state.draft else None,
            "rounds": state.rounds,
            "waiting": sorted(state.waiting),
            "deleted": sorted(state.deleted),
        }
        if state.disagreement is not before.disagreement:
            about["disagreement"] = {t: round(value, 4) for t, value in state.disagreement.items()}
        return about

    def _describe_draft(self, draft: Draft) -> dict[str, Any]:
        marks = [
            {"object": mark.object_id, "path": mark.path.tolist()}
            if isinstance(mark, Stroke)
            else [mark[0], *mark[1]]
            for mark in draft.marks
        ]
        about = {"frame": draft.frame, "kind": draft.kind, "box": draft.box, "marks": marks}
        return about | {"base": self.maps.refer(draft.base)}

    # Reading

    def _read_lines(self) -> list[dict[str, Any]]:
        """Read the journal's lines. A new journal gets its first line. An incomplete last line is removed.

        A damaged line and all lines after it, which depend on it, are moved to another file.
        """
        self._journal.seek(0)
        lines: list[dict[str, Any]] = []
        good = 0
        for text in self._journal.read().split(b"\n")[:-1]:
            try:
                lines.append(parse_json(text, "", "", nan=True))
            except UserError:
                self._cut(len(lines))
                break
            if len(lines) == 1:
                self._check(lines[0])
            good += len(text) + 1
        self._journal.truncate(good)
        self._end = good
        if not lines:
            lines = [self._head("maps-1.bin")]
            self._write(lines[0])
        return lines

    def _restore(self, lines: list[dict[str, Any]]) -> int:
        """Apply the journal to the session. Returns the number of valid lines."""
        start = self.session.state
        for number, line in enumerate(lines[1:], 1):
            try:
                self._apply(line)
            except DAMAGED:
                self._cut(number)
                self._forget(start)  # undo the part of the damaged line that was applied
                return self._restore(lines[:number])
        return len(lines)

    def _forget(self, start: State) -> None:
        self.session.state, self.session.locked = start, frozenset()
        self.session.history.clear()
        self.actions, self.looks = [], {}

    def _cut(self, number: int) -> None:
        """End the journal before a damaged line; all of it is copied to another file, with a warning."""
        if number == 0:
            raise UserError(f"{self.folder / JOURNAL} is damaged from its first line on", "give another --out")
        self._journal.seek(0)
        content = self._journal.read()
        lines = content.split(b"\n")
        write_atomically(self.folder / DAMAGED_JOURNAL, content)
        self._end = sum(len(line) + 1 for line in lines[:number])
        self._journal.truncate(self._end)
        what = "%s is damaged in line %d of %d: the session ends with the line before; all of it is kept in %s"
        log.warning(what, self.folder / JOURNAL, number + 1, len(lines) - 1, DAMAGED_JOURNAL)

    def _head(self, maps: str) -> dict[str, Any]:
        return {"format": FORMAT, "version": VERSION, "video": dict(self.video), "maps": maps}

    def _check(self, head: dict[str, Any]) -> None:
        if head.get("format") != FORMAT or head.get("version") not in READABLE:
            raise UserError(f"{self.folder} is no session of this version", "give another --out")
        video, maps = head.get("video"), head.get("maps")
        if not isinstance(video, dict) or not isinstance(maps, str) or not re.fullmatch(r"maps-\d+\.bin", maps):
            raise UserError(f"{self.folder / JOURNAL} is damaged from its first line on", "give another --out")
        for key, mine in self.video.items():
            theirs = video.get(key)
            if key == "pixels" and isinstance(theirs, list) and len(theirs) == len(mine):
                theirs = [now if None in (now, then) else then for now, then in zip(mine, theirs, strict=True)]
            if theirs != mine and key != "name":
                told = {
                    "working": "was made at another --short-side",
                    "frames": f"is of a video of {theirs} frames, and this one has {mine}",
                }
                what = f"session {self.folder} {told.get(key, 'is of another video')}"
                raise UserError(f"{what} (it was made for {video.get('name')})", "give another --out")

    def _apply(self, line: dict[str, Any]) -> None:
        session, action = self.session, line.get("action")
        if line.get("begin"):
            session.history.clear()
        # Those of earlier versions that were rewritten do not say so. In them, an import that was interrupted was
        # taken as complete, so a session with any other step goes on.
        done = [*line.get("actions", []), *line.get("missed", []), *([action] if action else [])]
        importing = all(one["do"] in ("add", "mask") for one in done)
        self.begun = self.begun or bool(line.get("begin", not importing))
        for number, about in enumerate(line.get("states", [])):  # of both files written anew
            old, session.state = session.state, self._state(about, session.state)
            if number:
                session.history.push(old, session.state)
        for _ in range(line.get("undone", 0)):
            session.undo()
        session.locked |= frozenset(line.get("locked", ()))
        self.actions += line.get("actions", [])
        if "state" in line:
            old = session.state
            session.state = self._state(line["state"], old)
            session.history.push(old, session.state)
        done = [*line.get("missed", []), *([action] if action else [])]
        self.actions += done
        for one in done:
            if one["do"] in UNDOING and "missed" not in line:
                (session.undo if one["do"] == "undo" else session.redo)()
            elif one["do"] in ("lock", "unlock"):
                session.lock(one["object"], one["do"] == "lock")
        if "looks" in line:
            self.looks = {int(label): look for label, look in line["looks"].items()}

    def _state(self, about: dict[str, Any], old: State) -> State:
        probs = list(old.probs)
        for t, reference in about["probs"].items():
            probs[int(t)] = self.maps.find(reference)
        draft, disagreement = about["draft"], old.disagreement
        trusted: Any = about["trusted"]
        corrected: Any = about["corrected"]
        if isinstance(trusted, list):  # of version 3
            trusted, corrected = {"same": 0, "more": trusted}, {"gone": list(old.corrected), "more": corrected}
        references = [(int(frame), self.maps.find(reference)) for frame, reference in trusted["more"]]
        kept = {frame: maps for frame, maps in old.corrected.items() if frame not in corrected["gone"]}
        if "disagreement" in about:
            disagreement = {int(t): float(value) for t, value in about["disagreement"].items()}
        return State(
            tuple(map(int, about["objects"])),
            tuple(probs),
            (*old.references[: trusted["same"]], *references),
            kept | {int(frame): self.maps.find(reference) for frame, reference in corrected["more"]},
            self._draft(draft) if draft else None,
            int(about["rounds"]),
            frozenset(map(int, about["waiting"])),
            frozenset(map(int, about["deleted"])),
            disagreement,
        )

    def _draft(self, about: dict[str, Any]) -> Draft:
        marks: list[Stroke | tuple[int, Click]] = [
            Stroke(np.array(mark["path"], float), mark["object"])
            if isinstance(mark, dict)
            else (mark[0], Click(*mark[1:]))
            for mark in about["marks"]
        ]
        box = Box(*about["box"]) if about["box"] else None
        return Draft(about["frame"], about["kind"], box, self.maps.find(about["base"]), tuple(marks))


def _open_journal(path: Path) -> FileIO:
    """A journal to read and to append to, without a buffer: a line that a full disk refuses is not written later."""
    return open(path, "a+b", buffering=0)


def _lock(file: FileIO) -> bool:
    """Lock the file. False if another program has it open as a session; a file system without locks is said."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        log.warning("%s cannot be locked: see that no other program has this session open", file.name)
    return True
