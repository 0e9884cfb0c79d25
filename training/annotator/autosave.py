"""A session on disk, written after every interaction: a crash loses at most the interaction in hand.

``journal.jsonl`` begins with the video that it is about; each further line is something that was done, with the state
that came of it. ``maps.bin`` holds the probabilities that the lines refer to, compressed; both files only grow.
Reading the lines again makes the session as it was, undo and redo included.
"""

import contextlib
import fcntl
import json
import logging
import os
import zlib
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from bl30k_gen.dataset.files import clear_disk_errors, sha256_bytes, write_atomically
from bl30k_gen.errors import UserError
from bl30k_gen.inputs import open_regular, parse_json
from models.clicks import Click
from training.evaluation.scribbles import Stroke
from training.inference.video import Frames
from training.interactive.local_control import Box
from training.interactive.session import InteractiveSession
from training.interactive.state import Draft, Maps, State

FORMAT, VERSION = "bl30k-annotation", 1
ARRAYS_KEPT = 24
"""Arrays that are kept in memory after they were read."""

DAMAGED = (ValueError, KeyError, TypeError, IndexError, AttributeError)
"""What a line raises that is JSON and does not describe a state."""

log = logging.getLogger(__name__)

Reference = list[Any]
"""[offset, length, objects, areas, doubts] of maps in ``maps.bin``."""


def identify(frames: Frames, session: InteractiveSession) -> dict[str, Any]:
    """What tells a video from others: its size, its length and some of its pixels."""
    some = sorted({0, len(frames) // 2, len(frames) - 1})
    pixels = sha256_bytes(b"".join(np.ascontiguousarray(frames[t]).tobytes() for t in some))
    return {
        "name": frames.path.name,
        "frames": len(frames),
        "size": list(session.size),
        "working": list(session.view.working),
        "pixels": pixels,
    }


class Autosave:
    """The files of one session. Raises UserError if another program has them open, or they are another video's."""

    def __init__(self, folder: Path, video: Mapping[str, Any], session: InteractiveSession):
        self.folder, self.video, self.session = folder, video, session
        self.actions: list[dict[str, Any]] = []
        self.looks: dict[str, dict[str, Any]] = {}
        self._references: WeakKeyDictionary[Maps, Reference] = WeakKeyDictionary()
        self._maps: WeakValueDictionary[int, Maps] = WeakValueDictionary()
        self._arrays: OrderedDict[int, NDArray[np.uint16]] = OrderedDict()
        self._recorded = session.state
        with clear_disk_errors(folder / "journal.jsonl"):
            folder.mkdir(parents=True, exist_ok=True)
            for name in ("journal.jsonl", "maps.bin"):
                with contextlib.suppress(FileNotFoundError), open_regular(folder / name):
                    pass
            self._journal = open(folder / "journal.jsonl", "a+b")  # noqa: SIM115 (open as long as the session is)
            self._data = open(folder / "maps.bin", "a+b")  # noqa: SIM115
        try:
            fcntl.flock(self._journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.close()
            raise UserError(f"session {folder} is open in another program", "close that one, or give --out") from None
        self.restored = self._restore()

    def close(self) -> None:
        self._journal.close()
        self._data.close()

    def begin(self) -> None:
        """What was done so far is where the user begins: undo does not go behind it."""
        self.session.history.clear()
        self._append({"begin": True})

    def record(self, action: dict[str, Any] | None = None, looks: dict[str, dict[str, Any]] | None = None) -> None:
        """Write down an action and what it has made of the session, or how objects look now."""
        line: dict[str, Any] = {}
        state = self.session.state
        before = self._journal.seek(0, os.SEEK_END)
        with clear_disk_errors(self.folder / "journal.jsonl"):
            try:
                if action is not None:
                    line["action"] = action
                if state is not self._recorded and (action is None or action["do"] not in ("undo", "redo")):
                    line["state"] = self._describe(state)
                if looks is not None:
                    line["looks"] = looks
                self._append(line)
            except BaseException:
                self._journal.truncate(before)
                raise
        self._recorded = state
        self.actions += [action] if action is not None else []
        self.looks = looks if looks is not None else self.looks

    # Writing

    def _append(self, line: dict[str, Any]) -> None:
        self._data.flush()
        os.fsync(self._data.fileno())
        self._journal.write(json.dumps(line).encode() + b"\n")
        self._journal.flush()
        os.fsync(self._journal.fileno())

    def _describe(self, state: State) -> dict[str, Any]:
        pairs = zip(self._recorded.probs, state.probs, strict=True)
        changed = {t: self._refer(new) for t, (old, new) in enumerate(pairs) if new is not old}
        return {
            "objects": state.objects,
            "probs": changed,
            "trusted": [[frame, self._refer(maps)] for frame, maps in state.trusted],
            "corrected": [[frame, self._refer(maps)] for frame, maps in state.corrected.items()],
            "draft": self._describe_draft(state.draft) if state.draft else None,
            "rounds": state.rounds,
            "waiting": sorted(state.waiting),
            "deleted": sorted(state.deleted),
            "disagreement": {t: round(value, 4) for t, value in state.disagreement.items()},
        }

    def _describe_draft(self, draft: Draft) -> dict[str, Any]:
        marks = [
            {"object": mark.object_id, "path": mark.path.tolist()}
            if isinstance(mark, Stroke)
            else [mark[0], *mark[1]]
            for mark in draft.marks
        ]
        about = {"frame": draft.frame, "kind": draft.kind, "box": draft.box, "marks": marks}
        return about | {"base": self._refer(draft.base)}

    def _refer(self, maps: Maps) -> Reference:
        if maps not in self._references:
            offset = self._data.seek(0, os.SEEK_END)
            data = zlib.compress(_planes(maps.array), 1)
            self._data.write(data)
            self._data.flush()
            rounded = [[round(value, 5) for value in values] for values in (maps.areas, maps.doubts)]
            reference = [offset, len(data), list(maps.objects), *rounded]
            self._references[maps] = reference
            self._maps[offset] = maps
            maps.leave_memory(self._reader(reference))
        return self._references[maps]

    # Reading

    def _restore(self) -> bool:
        """Bring the session to where the journal ends. What a crash has left incomplete is cut off.

        From a line on that is damaged the rest is kept in another file, which is said: it follows from that line.
        """
        self._journal.seek(0)
        content = self._journal.read()
        lines = content.split(b"\n")
        good = 0
        for number, text in enumerate(lines[:-1]):
            try:
                line = parse_json(text, "", "")
                if number > 0:
                    self._apply(line)
            except (UserError, *DAMAGED):
                self._keep_damaged(content, number, len(lines) - 1)
                break
            if number == 0:
                self._check(line)
            good += len(text) + 1
        self._journal.truncate(good)
        if good == 0:
            self._append({"format": FORMAT, "version": VERSION, "video": dict(self.video)})
        self._recorded = self.session.state
        return len(lines) > 2

    def _keep_damaged(self, content: bytes, number: int, lines: int) -> None:
        copy = self.folder / "journal.damaged.jsonl"
        if number == 0:
            raise UserError(
                f"{self.folder / 'journal.jsonl'} is damaged from its first line on", "give another --out"
            )
        write_atomically(copy, content)
        what = "%s is damaged in line %d of %d: the session ends with the line before; all of it is kept in %s"
        log.warning(what, self.folder / "journal.jsonl", number + 1, lines, copy)

    def _check(self, head: dict[str, Any]) -> None:
        if (head.get("format"), head.get("version")) != (FORMAT, VERSION):
            raise UserError(f"{self.folder} is no session of this version", "give another --out")
        video = head.get("video")
        if not isinstance(video, dict):
            raise UserError(f"{self.folder} does not say which video it is of", "give another --out")
        for key, mine in self.video.items():
            theirs = video.get(key)
            if theirs != mine and key != "name":
                what = {"working": "was made at another --short-side", "pixels": "is of another video"}
                about = what.get(key, f"is of a video with the {key} {theirs}, not {mine}")
                raise UserError(f"session {self.folder} {about} (of {video.get('name')})", "give another --out")

    def _apply(self, line: dict[str, Any]) -> None:
        session, action = self.session, line.get("action")
        if line.get("begin"):
            session.history.clear()
        if "state" in line:
            old = session.state
            session.state = self._state(line["state"], old)
            session.history.push(old, session.state)
        if action is not None:
            self.actions.append(action)
            if action["do"] == "undo":
                session.undo()
            elif action["do"] == "redo":
                session.redo()
            elif action["do"] in ("lock", "unlock"):
                session.lock(action["object"], action["do"] == "lock")
        self.looks = line.get("looks", self.looks)

    def _state(self, about: dict[str, Any], old: State) -> State:
        probs = list(old.probs)
        for t, reference in about["probs"].items():
            probs[int(t)] = self._find(reference)
        draft = about["draft"]
        return State(
            tuple(map(int, about["objects"])),
            tuple(probs),
            tuple((int(frame), self._find(reference)) for frame, reference in about["trusted"]),
            {int(frame): self._find(reference) for frame, reference in about["corrected"]},
            self._draft(draft) if draft else None,
            int(about["rounds"]),
            frozenset(map(int, about["waiting"])),
            frozenset(map(int, about["deleted"])),
            {int(t): float(value) for t, value in about["disagreement"].items()},
        )

    def _draft(self, about: dict[str, Any]) -> Draft:
        marks: list[Stroke | tuple[int, Click]] = [
            Stroke(np.array(mark["path"], float), mark["object"])
            if isinstance(mark, dict)
            else (mark[0], Click(*mark[1:]))
            for mark in about["marks"]
        ]
        box = Box(*about["box"]) if about["box"] else None
        return Draft(about["frame"], about["kind"], box, self._find(about["base"]), tuple(marks))

    def _find(self, reference: Reference) -> Maps:
        offset, _, objects, areas, doubts = reference
        if not len(objects) == len(areas) == len(doubts):
            raise ValueError("maps of another number of objects")
        maps = self._maps.get(offset)
        if maps is None:
            maps = Maps.stored(objects, self.session.view.padded, areas, doubts, self._reader(reference))
            self._maps[offset], self._references[maps] = maps, reference
        return maps

    def _reader(self, reference: Reference) -> "Reader":
        return Reader(self, reference)

    def read(self, reference: Reference) -> NDArray[np.uint16]:
        """The array of a reference. Raises UserError if the file is damaged."""
        offset, length, objects = reference[:3]
        array = self._arrays.get(offset)
        if array is None:
            try:
                data = zlib.decompress(os.pread(self._data.fileno(), length, offset))
                array = _from_planes(data, (len(objects), *self.session.view.padded))
            except (OSError, ValueError, zlib.error) as error:
                raise UserError(
                    f"{self.folder / 'maps.bin'} is damaged ({error})", "restore it from a copy"
                ) from None
            self._arrays[offset] = array
            while len(self._arrays) > ARRAYS_KEPT:
                self._arrays.popitem(last=False)
        return array


class Reader:
    """Reads one array whenever it is called."""

    def __init__(self, autosave: Autosave, reference: Reference):
        self.autosave, self.reference = autosave, reference

    def __call__(self) -> NDArray[np.uint16]:
        return self.autosave.read(self.reference)


def _planes(array: NDArray[np.uint16]) -> bytes:
    """High bytes, then low bytes: they compress better apart."""
    return (array >> 8).astype(np.uint8).tobytes() + array.astype(np.uint8).tobytes()


def _from_planes(data: bytes, shape: tuple[int, ...]) -> NDArray[np.uint16]:
    high, low = np.frombuffer(data, np.uint8).reshape(2, *shape).astype(np.uint16)
    return high << 8 | low
