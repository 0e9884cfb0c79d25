"""The states of a session behind and ahead of the present one."""

from collections import deque

from training.interactive.state import Maps, State


class History:
    """Undo and redo. As many states are kept as hold at most ``budget`` bytes of maps that the later ones lack."""

    def __init__(self, budget: int):
        self.budget = budget
        self.nbytes = 0
        self._past: deque[tuple[State, int]] = deque()
        self._future: list[State] = []

    @property
    def past(self) -> int:
        """How many states there are to go back to."""
        return len(self._past)

    @property
    def future(self) -> int:
        """How many states there are to go forward to."""
        return len(self._future)

    def push(self, old: State, new: State) -> None:
        """``new`` follows ``old``; what had been undone is forgotten."""
        self._future.clear()
        self._keep(old, new)

    def undo(self, now: State) -> State | None:
        """The state before ``now``."""
        if not self._past:
            return None
        state, cost = self._past.pop()
        self.nbytes -= cost
        self._future.append(now)
        return state

    def redo(self, now: State) -> State | None:
        """The state that ``undo`` left."""
        if not self._future:
            return None
        state = self._future.pop()
        self._keep(now, state)
        return state

    def before_round(self, rounds: int) -> State | None:
        """The last state with fewer rounds."""
        return next((state for state, _ in reversed(self._past) if state.rounds < rounds), None)

    def states(self) -> tuple[list[State], list[State]]:
        """The past, oldest first, and the future, nearest last."""
        return [state for state, _ in self._past], list(self._future)

    def clear(self) -> None:
        self._past.clear()
        self._future.clear()
        self.nbytes = 0

    def _keep(self, old: State, new: State) -> None:
        cost = _cost(old, new)
        self._past.append((old, cost))
        self.nbytes += cost
        while self._past and self.nbytes > self.budget:
            self.nbytes -= self._past.popleft()[1]


def _cost(old: State, new: State) -> int:
    """Bytes that the older state alone holds; at least one, so that a budget of nothing keeps nothing."""
    changed = sum(a.nbytes for a, b in zip(old.probs, new.probs, strict=True) if a is not b)
    kept = {id(maps) for maps in _others(new)}
    return 1 + changed + sum(maps.nbytes for maps in _others(old) if id(maps) not in kept)


def _others(state: State) -> list[Maps]:
    return [*state.corrected.values(), *(mask for _, mask in state.references)]
