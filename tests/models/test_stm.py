import pytest
import torch

from models.aggregate import aggregate
from models.fusion import align
from models.memory import Reading, affinity
from models.propagation import Entry


@pytest.fixture(scope="module")
def prop(golden):
    return golden("mivos_prop")


@pytest.fixture(scope="module")
def stm(prop):
    return prop.network("mivos_prop")


@torch.no_grad()
def encode(stm, prop, objects, frames=3):
    query = stm.encode_query(prop.image("f3"))
    entries = [stm.encode_memory(prop.image(f"f{i}"), None, prop.soft(f"m{i}", objects)) for i in range(frames)]
    return query, entries


@torch.no_grad()
def test_query_features_are_the_published_ones(stm, prop):
    query = stm.encode_query(prop.image("f3"))
    prop.check("q/k16", query.key)
    for name, value in [("f16", query.f16), ("f8", query.f8), ("f4", query.f4), ("v16", query.value)]:
        prop.check(f"q/{name}", value)


@pytest.mark.parametrize("objects", [1, 2])
@torch.no_grad()
def test_memory_reading_and_decoding_are_the_published_ones(stm, prop, objects):
    query, entries = encode(stm, prop, objects)
    for i, entry in enumerate(entries):
        prop.check(f"o{objects}/k{i}", entry.key[0])
        prop.check(f"o{objects}/v{i}", entry.value[0])
    cases = [(t, f"top{k}", Reading(top_k=k)) for t in (1, 2, 3) for k in (20, 50, None)]
    cases += [(2, f"km{sigma}", Reading(top_k=50, sigma=sigma)) for sigma in (7, 5.6)]
    for frames, name, reading in cases:
        key = f"o{objects}/t{frames}/{name}"
        readout = stm.read(Entry.cat(entries[:frames]), query, reading)
        prop.check(f"{key}/readout", readout)
        prob = stm.decode(readout, query).sigmoid()
        prop.check(f"{key}/prob", prob[0, :, None] if frames == 1 else prob[0, :, None, ::2, ::2])
        if f"{key}/agg" in prop.numbers:
            prop.check(f"{key}/agg", aggregate(prob)[0, :, None, ::4, ::4])


@torch.no_grad()
def test_attention_alignment_is_the_published_one(stm, prop):
    query, entries = encode(stm, prop, objects=2, frames=1)
    weights = affinity(entries[0].key, query.key)
    prop.check("attn/W_sub", weights[0, 0])
    aligned = align(weights, prop.soft("prev0", 2), prop.soft("m0", 2))
    for o in range(2):
        prop.check(f"attn/o{o}", aligned[:, o, :, ::2, ::2])
