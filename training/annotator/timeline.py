"""The content of the timeline: objects by frame, changes of the last round, and frames with likely drift."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from training.interactive.history import History
from training.interactive.state import Maps, State

# Thresholds of likely drift
MIN_DOUBT, MAX_DOUBT = 0.12, 0.5
"""Mean uncertainty of an object over its area: drift above the second, none below the first."""
MAX_DOUBT_RATIO = 1.5
"""Between these two: multiple of the object's median uncertainty."""
MAX_JUMP = 1.6
"""Factor between an object's areas in two neighbouring frames."""
MAX_CHANGE = 1.5
"""Factor between its areas in this frame and where it was known last, for slow drift."""
MAX_DISAGREEMENT = 0.35
"""1 - IoU of the propagations from both sides."""
MIN_AREA = 2e-4
"""Ratio of the frame: for smaller objects neither area nor uncertainty are reliable."""


@dataclass(frozen=True)
class Lane:
    """An object in one frame. drift: the reason why it has likely drifted, or empty."""

    area: float
    doubt: float
    drift: str


def lanes(state: State, shown: list[Maps]) -> list[dict[int, Lane]]:
    """For each frame, the objects that are in it or have likely drifted. shown: the maps of all frames."""
    areas = [_by_object(maps, maps.areas) for maps in shown]
    user = {*state.corrected, *state.interacted}
    usual = {label: _usual_doubt(label, shown, user) for label in state.objects}
    known: dict[int, tuple[int, float]] = {}  # frame and area: the user's, or where it was last said that it changes
    found: list[dict[int, Lane]] = []
    for t, maps in enumerate(shown):
        doubts = _by_object(maps, maps.doubts)
        lane = {}
        for label in state.objects:
            if label not in areas[t]:  # nothing is known yet
                continue
            area, doubt = areas[t][label], doubts[label]
            before = areas[t - 1].get(label, area) if t else area
            why = "" if t in user else _drift(area, doubt, before, state.disagreement.get(t, 0.0), usual[label])
            since, then = known.setdefault(label, (t, area))
            low, high = sorted((area, then))
            if not why and t not in user and low > MIN_AREA and high > MAX_CHANGE * low:
                why = f"its area has changed since frame {since}"
            if why or t in user:
                known[label] = t, area
            if area or why:
                lane[label] = Lane(area, doubt, why)
        found.append(lane)
    return found


def changed_in_last_round(state: State, history: History) -> set[int]:
    """The frames that the last propagation changed."""
    before = history.before_round(state.rounds)
    if before is None:
        return set()
    pairs = zip(before.probs, state.probs, strict=True)
    return {t for t, (old, new) in enumerate(pairs) if new is not old}


def drift_ranges(found: list[dict[int, Lane]]) -> list[tuple[int, int]]:
    """First and last frame of each run of frames that have likely drifted."""
    return ranges([t for t, lane in enumerate(found) if any(one.drift for one in lane.values())])


def ranges(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """First and last of each run of consecutive numbers."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1] = runs[-1][0], number
        else:
            runs.append((number, number))
    return runs


def _by_object(maps: Maps, values: tuple[float, ...]) -> dict[int, float]:
    return dict(zip(maps.objects, values, strict=True))


def _usual_doubt(label: int, shown: list[Maps], user: set[int]) -> float:
    """The median uncertainty over the frames with the object that were not corrected."""
    pairs = ((t, maps) for t, maps in enumerate(shown) if t not in user and label in maps.objects)
    doubts = [_by_object(m, m.doubts)[label] for _, m in pairs if _by_object(m, m.areas)[label] > MIN_AREA]
    return median(doubts) if doubts else 0.0


def _drift(area: float, doubt: float, before: float, disagreement: float, usual: float) -> str:
    if min(area, before) <= MIN_AREA < max(area, before):
        return "appears" if area > before else "disappears"
    if min(area, before) > MIN_AREA and max(area, before) > MAX_JUMP * min(area, before):
        return "its area jumps"
    if area > MIN_AREA and doubt > max(MIN_DOUBT, min(MAX_DOUBT, MAX_DOUBT_RATIO * usual)):
        return "the network is unsure"
    if area > MIN_AREA and disagreement > MAX_DISAGREEMENT:
        return "forward and backward disagree"
    return ""
