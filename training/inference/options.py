"""Options of propagation: memory, reading, size and precision."""

from dataclasses import dataclass, field, fields, replace
from math import inf

import torch

from bl30k_gen.errors import nearest
from models.memory import Reading
from models.policy import BoundedMemory, GrowingMemory, RecurrentMemory
from models.propagation import PropagationNetwork
from models.rde import RDE
from models.stm import STM

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
MEMORIES = ("growing", "bounded", *RecurrentMemory.MODES)


@dataclass(frozen=True)
class Options:
    """How a propagation network is run on a video.

    memory: "growing" (STM, STCN), "bounded" (a dense recent and a sparse distant past, ``capacity`` frames), or a
        mode of RDE's recurrent memory.
    memory_every: a frame goes into memory when it lies this many frames after the last one that did.
    previous: the previous frame is also in memory, temporarily.
    reading: top-k filter and kernel.
    memory_budget: bytes. If a growing memory exceeds them, every other frame is dropped, ``memory_every`` is doubled,
        and this is said.
    precision: a key of ``PRECISIONS`` for encoding and decoding; affinities and probabilities are always float32.
    short_side: frames are resized to this short side; None keeps their size.
    scales, flip: probabilities are averaged over these sizes (factors of ``short_side``) and over mirrored frames.
    """

    memory: str = "growing"
    memory_every: int = 5
    previous: bool = False
    reading: Reading = field(default_factory=Reading)
    capacity: int = 20
    memory_budget: int = 2 * 2**30
    precision: str = "float32"
    short_side: int | None = None
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False

    def __post_init__(self):
        if self.memory not in MEMORIES:
            raise ValueError(f"memory {self.memory!r} is unknown: choose one of {', '.join(MEMORIES)}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision {self.precision!r} is unknown: choose one of {', '.join(PRECISIONS)}")
        if self.memory_every < 1:
            raise ValueError(f"memory_every is {self.memory_every}: it must be at least 1")
        if self.short_side is not None and self.short_side < 16:
            raise ValueError(f"short_side is {self.short_side}: it must be at least 16 pixels")
        if not self.scales or not all(0 < scale < inf for scale in self.scales):
            raise ValueError(f"scales are {self.scales}: give at least one, and positive ones")
        if self.memory_budget < 0 or self.capacity < 1:
            raise ValueError("memory_budget is a number of bytes, capacity one of frames")


def published_options(network: PropagationNetwork, **changes) -> Options:
    """The options of the network's paper on DAVIS, with ``changes``.

    In memory are, for STM as in MiVOS and Mask-Propagation, every 5th frame and the previous one; for STCN every 5th
    frame; for RDE every 3rd frame, merged into the recurrent embedding.

    Args:
        changes: fields of ``Options``; ``top_k`` and ``sigma`` change the network's own reading.

    Raises ValueError for an unknown option or a wrong value.
    """
    known = [entry.name for entry in fields(Options)] + ["top_k", "sigma"]
    for name in changes.keys() - set(known):
        hint = nearest(name, known, f"choose one of {', '.join(known)}")
        raise ValueError(f"option {name} is unknown: {hint}")
    filters = {name: changes.pop(name) for name in ("top_k", "sigma") if name in changes}
    own: dict = {"reading": network.evaluation, "previous": isinstance(network, STM)}
    if isinstance(network, RDE) and network.config.update != "none":
        own |= {"memory": "two-frames-compress", "memory_every": 3}
    options = Options(**(own | changes))
    options = replace(options, reading=replace(options.reading, **filters))
    if options.memory in RecurrentMemory.MODES and not isinstance(network, RDE):
        raise ValueError(f"memory {options.memory} merges frames, which only RDE can: choose growing or bounded")
    return options


def autocast(options: Options, device: torch.device) -> torch.autocast:
    """An autocast block with the precision of the options."""
    dtype = PRECISIONS[options.precision]
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)


def new_memory(network: PropagationNetwork, options: Options) -> GrowingMemory | RecurrentMemory:
    """An empty memory of the kind that the options name."""
    if options.memory == "growing":
        return GrowingMemory()
    if options.memory == "bounded":
        return BoundedMemory(options.capacity)
    if not isinstance(network, RDE):
        raise ValueError(f"memory {options.memory} merges frames, which only RDE can: choose growing or bounded")
    return RecurrentMemory(network, options.memory)
