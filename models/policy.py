"""Memory policies: which frames stay in memory and which are merged.

All have the same three methods: ``start`` takes labelled frames, ``add`` takes segmented ones, ``memory`` returns the
Entry to read. The caller chooses the segmented frames to add, e.g. every fifth.
"""

from models.propagation import Entry
from models.rde import RDE


class GrowingMemory:
    """STM's and STCN's memory: every permanent frame, and one temporary frame, usually the previous one.

    The temporary frame is dropped as soon as another frame is added.
    """

    def __init__(self):
        self._labelled: list[Entry] = []
        self._segmented: list[Entry] = []
        self._temporary: list[Entry] = []
        self._joined: Entry | None = None

    def start(self, entry: Entry) -> None:
        """Add labelled frames, one or several in one entry, permanently."""
        self._labelled.append(entry)
        self._temporary = []
        self._joined = None

    def add(self, entry: Entry, permanent: bool = True) -> None:
        """Add a segmented frame, permanently or until the next one."""
        self._temporary = [] if permanent else [entry]
        if permanent:
            self._segmented.append(entry)
        self._joined = None

    def memory(self) -> Entry:
        """All frames as one entry, joined once per change."""
        if self._joined is None:
            self._joined = Entry.cat(self._labelled + self._segmented + self._temporary)
        return self._joined

    @property
    def nbytes(self) -> int:
        """Bytes of the frames, once as entries and once joined."""
        entries = self._labelled + self._segmented + self._temporary
        return 2 * sum(x.numel() * x.element_size() for entry in entries for x in entry)

    def thin(self) -> bool:
        """Drop every other segmented frame, but not the newest. False if there is none to drop."""
        before = len(self._segmented)
        self._segmented = self._segmented[::-2][::-1]
        self._joined = None
        return len(self._segmented) < before


class BoundedMemory(GrowingMemory):
    """A growing memory for long videos: at most ``capacity`` permanent frames besides the labelled ones.

    When it is full, every other one is dropped, but not the newest. So the recent past is dense and the distant past
    sparse, and each reading takes bounded time and space.
    """

    def __init__(self, capacity: int = 20):
        super().__init__()
        if capacity < 1:
            raise ValueError(f"capacity is {capacity}: it must be at least 1")
        self.capacity = capacity

    def add(self, entry: Entry, permanent: bool = True) -> None:
        super().add(entry, permanent)
        if len(self._segmented) > self.capacity:
            self.thin()


class RecurrentMemory:
    """RDE's memory of constant size: the recurrent embedding and chosen frames, read together.

    Temporary frames are ignored: the published bank would merge each of them into the embedding.

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
    """Parts to read before the first ``add`` and after it. A frame that is read twice has twice the weight."""

    def __init__(self, network: RDE, mode: str = "two-frames-compress"):
        if mode not in self.MODES:
            raise ValueError(f"mode {mode!r} is unknown: choose one of {', '.join(self.MODES)}")
        self.network, self.mode = network, mode
        self._parts: dict[str, Entry] = {}
        self._joined: Entry | None = None

    def start(self, entry: Entry) -> None:
        """Add labelled frames. Of several, the later ones are also merged into the embedding, in order."""
        frames = [Entry(*(x[:, :, :, t : t + 1] for x in entry)) for t in range(entry.frames)]
        if not self._parts:
            self._parts = {"recurrent": frames[0], "first": frames[0]}
            frames = frames[1:]
        for frame in frames:
            self.add(frame)
            self._parts["first"] = Entry.cat([self._parts["first"], frame])
        self._joined = None

    def add(self, entry: Entry, permanent: bool = True) -> None:
        """Merge a segmented frame into the embedding; one that is not permanent is ignored."""
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
