import pytest
import torch

from models import checkpoint
from models.memory import Reading
from models.policy import GrowingMemory, RecurrentMemory
from models.propagation import Entry

@pytest.fixture(scope="module")
def gold(golden):
    return golden("rde_eval")


@pytest.fixture(scope="module")
def rde(gold):
    weights = gold.weights("rde_eval")
    key, value = gold.meta["centre"]
    channels = range(weights[key].shape[0])
    weights[key][channels, channels, :, 1, 1] += value
    return checkpoint.from_published(weights).eval()


@torch.no_grad()
def encode(rde, gold, objects, frames=4):
    entries = []
    for i in range(frames):
        image = gold.image(f"f{i}")
        entries.append(rde.encode_memory(image, rde.encode_query(image), gold.soft(f"m{i}", objects)))
    return rde.encode_query(gold.image("f4")), entries


@torch.no_grad()
def test_published_parts_of_sam(rde, gold):
    _, entries = encode(rde, gold, 1, frames=2)
    pair = Entry.cat(entries)
    for part, sam, x in [("key", rde.sam_key, pair.key[0]), ("value", rde.sam_value, pair.value[0])]:
        extracted = sam.extract(x)
        gold.check(f"sam/{part}/nonlocal", extracted)
        if part == "key":
            gold.check(f"sam/{part}/aspp", sam.enhance(extracted))
        gold.check(f"sam/{part}/out", sam.embed(x))


@pytest.mark.parametrize("objects", [1, 2])
@torch.no_grad()
def test_published_memory_modes(rde, gold, objects):
    query, entries = encode(rde, gold, objects)
    policies = {"stm": GrowingMemory()} | {mode: RecurrentMemory(rde, mode) for mode in RecurrentMemory.MODES}
    for mode, policy in policies.items():
        policy.start(entries[0])
        for after in range(4):
            if after > 0:
                policy.add(entries[after])
            if mode == "two-frames-compress" and after > 0:
                recurrent = policy._parts["recurrent"]
                gold.check(f"o{objects}/memk_after{after}", recurrent.key)
                gold.check(f"o{objects}/memv_after{after}", recurrent.value)
            key = f"o{objects}/{mode}/after{after}"
            if f"{key}/readout" in gold.numbers:
                readout = rde.read(policy.memory(), query, Reading(top_k=40))
                gold.check(f"{key}/readout", readout)
                gold.check(f"{key}/prob", rde.decode(readout, query).sigmoid()[0, :, None, ::4, ::4])
