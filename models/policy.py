"""Memory policies: what stays in memory and what is merged, beside the networks.

All have the same three verbs: ``start`` takes labelled frames, ``add`` takes segmented ones, ``memory`` is the Entry
to read. Which segmented frames are worth adding (every fifth, by index or by distance) is the engine's choice.
"""

from models.propagation import Entry
from models.rde import RDE


class GrowingMemory:
    """STM's and STCN's memory: every permanent frame, and one guest, usually the previous frame.

    The guest leaves as soon as any other frame comes in.
    """

    def __init__(self):
        self._labelled: list[Entry] = []
        self._kept: list[Entry] = []
        self._guest: list[Entry] = []
        self._joined: Entry | None = None

    def start(self, entry: Entry) -> None:
        """Keep labelled frames, one or several in one entry, for good."""
        self._labelled.append(entry)
        self._guest = []
        self._joined = None

    def add(self, entry: Entry, permanent: bool = True) -> None:
        """Take a segmented frame in, for good or as the guest."""
        self._guest = [] if permanent else [entry]
        if permanent:
            self._kept.append(entry)
        self._joined = None

    def memory(self) -> Entry:
        """All frames as one entry, joined once per change."""
        if self._joined is None:
            self._joined = Entry.cat(self._labelled + self._kept + self._guest)
        return self._joined

    @property
    def nbytes(self) -> int:
        """What the frames take in bytes, once in entries and once joined."""
        entries = self._labelled + self._kept + self._guest
        return 2 * sum(x.numel() * x.element_size() for entry in entries for x in entry)

    def thin(self) -> bool:
        """Drop every other permanent frame, the newest and the labelled ones stay. False if there is none to drop."""
        before = len(self._kept)
        self._kept = self._kept[::-2][::-1]
        self._joined = None
        return len(self._kept) < before


class BoundedMemory(GrowingMemory):
    """A growing memory for long videos: at most ``capacity`` permanent frames besides the labelled ones.

    When it is full, every other one is dropped, the newest stays. So the recent past is dense and the distant past
    sparse, and each reading takes bounded time and space.
    """

    def __init__(self, capacity: int = 20):
        super().__init__()
        if capacity < 1:
            raise ValueError(f"capacity is {capacity}: it must be at least 1")
        self.capacity = capacity

    def add(self, entry: Entry, permanent: bool = True) -> None:
        super().add(entry, permanent)
        if len(self._kept) > self.capacity:
            self.thin()


class RecurrentMemory:
    """RDE's memory of constant size: the recurrent embedding and chosen frames, read together.

    Guests are not taken: the published bank would merge each of them into the embedding.

    Args:
        network: merges each permanent frame into the recurrent embedding.
        mode: what is read, by its published name, see ``MODES``. The published evaluation is "two-frames-compress".
    """

    MODES = {
        "gt": (("first",), ("first",)),
        "last": (("first",), ("latest",)),
        "two-frames": (("first",), ("latest", "first", "first")),
        "compress": (("first",), ("recurrent",)),
        "gt-compress": (("first", "first"), ("recurrent", "first")),
        "last-compress": (("first",), ("recurrent", "latest")),
        "two-frames-compress": (("first", "first"), ("recurrent", "latest", "first", "first")),
    }
    """Parts that are read before the first ``add`` and after it. A frame that is read twice has twice the weight."""

    def __init__(self, network: RDE, mode: str = "two-frames-compress"):
        if mode not in self.MODES:
            raise ValueError(f"mode {mode!r} is unknown: choose one of {', '.join(self.MODES)}")
        self.network, self.mode = network, mode
        self._parts: dict[str, Entry] = {}
        self._joined: Entry | None = None

    def start(self, entry: Entry) -> None:
        """Keep labelled frames. Of several, the later ones are also merged into the embedding, in order."""
        frames = [Entry(*(x[:, :, :, t : t + 1] for x in entry)) for t in range(entry.frames)]
        if not self._parts:
            self._parts = {"recurrent": frames[0], "first": frames[0]}
            frames = frames[1:]
        for frame in frames:
            self.add(frame)
            self._parts["first"] = Entry.cat([self._parts["first"], frame])
        self._joined = None

    def add(self, entry: Entry, permanent: bool = True) -> None:
        """Merge a segmented frame into the embedding; a guest is ignored."""
        if not self._parts:
            raise ValueError("memory is empty: a labelled frame must enter it first")
        if not permanent:
            return
        if "recurrent" in self.MODES[self.mode][1]:
            self._parts["recurrent"] = self.network.update(self._parts["recurrent"], entry)
        self._parts["latest"] = entry
        self._joined = None

    def memory(self) -> Entry:
        """The parts as one entry, joined once per change."""
        if self._joined is None:
            parts = self.MODES[self.mode]["latest" in self._parts]
            self._joined = Entry.cat([self._parts[part] for part in parts] if self._parts else [])
        return self._joined
