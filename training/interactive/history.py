"""Undo and redo: the states of a session before and after the current one."""

from collections import deque

from training.interactive.state import Maps, State


class History:
    """Undo and redo. The oldest states are dropped when states hold over ``budget`` bytes that later ones do not.

    The last one stays, whatever it holds, unless the budget is 0.
    """

    def __init__(self, budget: int):
        self.budget = budget
        self.nbytes = 0
        self._past: deque[tuple[State, int]] = deque()
        self._future: list[State] = []

    @property
    def past(self) -> int:
        """Number of states that can be undone."""
        return len(self._past)

    @property
    def future(self) -> int:
        """Number of states that can be redone."""
        return len(self._future)

    def push(self, old: State, new: State) -> None:
        """Record that ``new`` follows ``old``. States that were undone are dropped."""
        self._future.clear()
        self._keep(old, new)

    def undo(self, now: State) -> State | None:
        """Go back to the state before ``now``; None if there is none."""
        if not self._past:
            return None
        state, cost = self._past.pop()
        self.nbytes -= cost
        self._future.append(now)
        return state

    def redo(self, now: State) -> State | None:
        """Go forward to the state that the last ``undo`` left; None if there is none."""
        if not self._future:
            return None
        state = self._future.pop()
        self._keep(now, state)
        return state

    def before_round(self, rounds: int) -> State | None:
        """The last state with fewer rounds; None if it was dropped."""
        return next((state for state, _ in reversed(self._past) if state.rounds < rounds), None)

    def states(self) -> tuple[list[State], list[State]]:
        """The states to undo, oldest first, and those to redo, nearest last."""
        return [state for state, _ in self._past], list(self._future)

    def clear(self) -> None:
        self._past.clear()
        self._future.clear()
        self.nbytes = 0

    def _keep(self, old: State, new: State) -> None:
        cost = _cost(old, new)
        self._past.append((old, cost))
        self.nbytes += cost
        kept = 1 if self.budget else 0
        while len(self._past) > kept and self.nbytes > self.budget:
            self.nbytes -= self._past.popleft()[1]


def _cost(old: State, new: State) -> int:
    """Bytes that only the older state holds; at least one, so that a budget of 0 keeps no state."""
    changed = sum(a.nbytes for a, b in zip(old.probs, new.probs, strict=True) if a is not b)
    shared = {id(maps) for maps in _others(new)}
    return 1 + changed + sum(maps.nbytes for maps in _others(old) if id(maps) not in shared)


def _others(state: State) -> list[Maps]:
    """The maps of a state besides ``probs``."""
    return [*state.corrected.values(), *(mask for _, mask in state.references)]
