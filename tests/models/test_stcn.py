import pytest
import torch

from models.memory import Reading
from models.policy import GrowingMemory


@pytest.fixture(scope="module")
def gold(golden):
    return golden("stcn_eval")


@pytest.fixture(scope="module")
def stcn(gold):
    return gold.network("stcn_eval")


@torch.no_grad()
def encode(stcn, gold, objects):
    entries = []
    for i in range(3):
        image = gold.image(f"f{i}")
        query = stcn.encode_query(image)
        gold.check(f"k{i}", query.key)
        gold.check(f"thin{i}", query.value)
        entries.append(stcn.encode_memory(image, query, gold.soft(f"m{i}", objects)))
    return stcn.encode_query(gold.image("f3")), entries


@pytest.mark.parametrize("objects", [1, 2])
@torch.no_grad()
def test_published_keys_values_readouts_and_temporary_frames(stcn, gold, objects):
    query, entries = encode(stcn, gold, objects)
    for i, entry in enumerate(entries):
        assert entry.key.shape[1] == 1
        gold.check(f"o{objects}/v{i}", entry.value[0])

    memory = GrowingMemory()
    memory.start(entries[0])
    memory.add(entries[1])
    memory.add(entries[2])
    for k in (20, 50):
        readout = stcn.read(memory.memory(), query, Reading(top_k=k))
        gold.check(f"o{objects}/top{k}/readout", readout)
        gold.check(f"o{objects}/top{k}/prob", stcn.decode(readout, query).sigmoid()[0, :, None, ::2, ::2])

    memory = GrowingMemory()
    memory.start(entries[0])
    memory.add(entries[1])
    memory.add(entries[2], permanent=False)
    gold.check(f"o{objects}/temp/readout", stcn.read(memory.memory(), query, Reading(top_k=20)))

    memory = GrowingMemory()
    memory.start(entries[0])
    memory.add(entries[1], permanent=False)
    memory.add(entries[2])
    gold.check(f"o{objects}/tempcleared/readout", stcn.read(memory.memory(), query, Reading(top_k=20)))
