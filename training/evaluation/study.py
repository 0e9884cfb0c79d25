"""Evaluates a user study: the quality of masks against the user's time.

Source: H. K. Cheng, Y.-W. Tai, C.-K. Tang, "Modular Interactive Video Object Segmentation", CVPR 2021, section 6.3,
table 6 and figure 13. User time is the time spent interacting, searching and pausing, without any computation.

    study = read_study("logs")
    print(summary_table(study).text(), increment_table(study).text())
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.integrate import trapezoid

from bl30k_gen.errors import UserError
from bl30k_gen.inputs import open_regular, parse_json
from training.evaluation.report import Cell, Table
from training.evaluation.session_log import USER_EVENTS, Session, read_session

MAX_HEAD = 1 << 16
"""Bytes of a log's first line."""


@dataclass(frozen=True)
class SessionCurve:
    """One session: IoU in per cent after each round, (R + 1,), and user time in seconds; both begin with 0."""

    method: str
    seconds: np.ndarray
    iou: np.ndarray


@dataclass(frozen=True)
class MeanCurve:
    """IoU in per cent against user time in seconds: mean and quartiles over sessions, each (N,)."""

    seconds: np.ndarray
    mean: np.ndarray
    lower: np.ndarray
    median: np.ndarray
    upper: np.ndarray


def user_seconds(session: Session, until: float = np.inf) -> float:
    """User time in a session before the time ``until``, in seconds."""
    spans = [(e.start, min(e.end, until)) for e in session.events if e.kind in USER_EVENTS and e.start < until]
    return float(sum(end - start for start, end in spans))


def progress(session: Session) -> SessionCurve:
    """IoU and user time after each round of a session.

    A round ends with a propagation that has an ``iou``; in a session without any, with each event that has one, such
    as a correction.
    """
    scored = [event for event in session.events if "iou" in event.about]
    ends = [event for event in scored if "round" in event.about] or scored
    seconds = [user_seconds(session, event.end) for event in ends]
    return SessionCurve(
        session.method, np.array([0.0, *seconds]), np.array([0.0, *(100 * e.about["iou"] for e in ends)])
    )


@dataclass(frozen=True)
class Study:
    """Sessions of one or several methods.

    horizon: end of curves and AUC, in seconds of user time. A session that ended earlier keeps its last IoU.
    """

    sessions: tuple[SessionCurve, ...]
    horizon: float

    @property
    def methods(self) -> list[str]:
        """In the order of their first session."""
        return list(dict.fromkeys(session.method for session in self.sessions))

    def of(self, method: str) -> list[SessionCurve]:
        return [session for session in self.sessions if session.method == method]

    def curve(self, method: str, points: int = 121) -> MeanCurve:
        """IoU against user time on a regular grid, linearly interpolated within each session."""
        grid = np.linspace(0, self.horizon, points)
        values = np.array([np.interp(grid, session.seconds, session.iou) for session in self.of(method)])
        lower, median, upper = np.percentile(values, (25, 50, 75), axis=0)
        return MeanCurve(grid, values.mean(axis=0), lower, median, upper)

    def auc(self, method: str) -> float:
        """Area under IoU against user time divided by the horizon, mean of the sessions, per cent."""
        return float(np.mean([_area(session, self.horizon) for session in self.of(method)]))

    def increments(self, method: str) -> list[tuple[float, int]]:
        """For each round, the mean gain in IoU (percentage points) and the number of sessions with this round."""
        gains = [np.diff(session.iou) for session in self.of(method)]
        rounds = max(map(len, gains))
        by_round = [[gain[r] for gain in gains if r < len(gain)] for r in range(rounds)]
        return [(float(np.mean(column)), len(column)) for column in by_round]


def read_study(logs: str | Path | Iterable[str | Path], horizon: float | None = None) -> Study:
    """Read a folder of ``.jsonl`` logs, or the files given. A folder's files of other formats are left out.

    ``horizon`` is the longest session's user time if None. Raises UserError if there is no log, one holds no IoU, or
    the horizon is no time.
    """
    if isinstance(logs, (str, Path)):
        if not Path(logs).is_dir():
            raise UserError(f"{logs} is no folder", "give the folder of the session logs")
        paths = [path for path in sorted(Path(logs).rglob("*.jsonl")) if not _is_other(path)]
        if not paths:
            raise UserError(f"{logs} has no session logs", "logs end in .jsonl")
    else:
        paths = [Path(path) for path in logs]
    sessions = []
    for path in paths:
        session = progress(read_session(path))
        if len(session.iou) == 1:
            raise UserError(f"{path} holds no IoU", "record sessions on an annotated video")
        sessions.append(session)
    if horizon is not None and not 0 < horizon < np.inf:
        raise UserError(f"a horizon of {horizon} s", "give seconds above zero, or none for the longest session's")
    longest = max(session.seconds[-1] for session in sessions)
    horizon = longest if horizon is None else horizon
    if horizon <= 0:
        raise UserError("the study has no user time", "a session logs interact, search and pause events")
    return Study(tuple(sessions), float(horizon))


def _is_other(path: Path) -> bool:
    """Whether a file's first line names another format, as the journal of an annotated video does."""
    try:
        with open_regular(path) as file:
            head = parse_json(file.readline(MAX_HEAD), path, "")
    except (OSError, UserError):
        return False  # reading it says what is wrong
    return isinstance(head, dict) and "format" in head


def summary_table(study: Study) -> Table:
    """A row for each method: sessions, rounds, user time, final IoU, AUC."""
    rows: list[list[Cell]] = [
        [
            method,
            len(sessions := study.of(method)),
            float(np.mean([len(s.iou) - 1 for s in sessions])),
            float(np.mean([s.seconds[-1] for s in sessions])),
            float(np.mean([s.iou[-1] for s in sessions])),
            study.auc(method),
        ]
        for method in study.methods
    ]
    return Table(["method", "sessions", "rounds", "user time (s)", "final IoU", "AUC"], rows)


def increment_table(study: Study) -> Table:
    """A row for each method: the mean gain in IoU of each round, as in table 6 of the paper."""
    gains = {method: [gain for gain, _ in study.increments(method)] for method in study.methods}
    rounds = max(map(len, gains.values()))
    rows = [[method, *values, *[None] * (rounds - len(values))] for method, values in gains.items()]
    return Table(["method", *(f"round {r + 1}" for r in range(rounds))], rows, digits=2)


def _area(session: SessionCurve, horizon: float) -> float:
    inside = session.seconds < horizon
    seconds = np.append(session.seconds[inside], horizon)
    iou = np.append(session.iou[inside], np.interp(horizon, session.seconds, session.iou))
    return float(trapezoid(iou, seconds)) / horizon
