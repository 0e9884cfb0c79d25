import pytest
import torch

from models import checkpoint
from models.memory import Reading
from models.policy import GrowingMemory, RecurrentMemory
from models.propagation import Entry
from models.rde import SAM, moving_average


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


def random_entry(objects=2, seed=0, dtype=torch.float32, key_dim=4, value_dim=4, grid=(3, 4)):
    generator = torch.Generator().manual_seed(seed)
    key = torch.randn(2, 1, key_dim, 1, *grid, generator=generator, dtype=dtype)
    return Entry(key, torch.randn(2, objects, value_dim, 1, *grid, generator=generator, dtype=dtype))


@pytest.mark.parametrize("options", [{}, {"enhance": "none"}, {"blocks": 2}, {"update": "ema"}])
@torch.no_grad()
def test_updates_of_all_kinds_keep_the_size_and_treat_objects_alike(small, options):
    network = small("rde", **options)
    old, new = (random_entry(3, seed, key_dim=16, value_dim=32) for seed in (0, 1))
    merged = network.update(old, new)
    assert merged.key.shape == old.key.shape and merged.value.shape == old.value.shape
    alone = network.update(*(Entry(e.key[1:], e.value[1:, 2:]) for e in (old, new)))
    torch.testing.assert_close(merged.value[1:, 2:], alone.value, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(merged.key[1:], alone.key, rtol=1e-4, atol=1e-5)


def test_moving_average_merges_best_matches():
    def row(*numbers):
        return torch.tensor(numbers).view(1, 1, 1, 1, 1, -1)

    old, new = Entry(row(0.0, 1.0, 2.0), row(10.0, 20.0, 30.0)), Entry(row(1.9, 0.1, 2.3), row(60.0, 40.0, 80.0))
    merged = moving_average(old, new, keep=0.5)
    torch.testing.assert_close(merged.value.flatten(), torch.tensor([25.0, 20.0, 50.0]))
    torch.testing.assert_close(merged.key.flatten(), torch.tensor([0.05, 1.0, 2.05]))
    replaced = moving_average(old, new, keep=0.0)
    torch.testing.assert_close(replaced.value.flatten(), torch.tensor([40.0, 20.0, 70.0]))


def test_gradients_of_updates():
    torch.manual_seed(0)
    sam = SAM(4, "aspp", 1).double()
    x = torch.randn(1, 4, 2, 3, 4, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(sam, x)
    old, new = random_entry(dtype=torch.double), random_entry(seed=1, dtype=torch.double)
    inputs = [tensor.requires_grad_() for tensor in (*old, *new)]
    merge = lambda a, b, c, d: moving_average(Entry(a, b), Entry(c, d), 0.5)  # noqa: E731
    assert torch.autograd.gradcheck(merge, inputs)


def test_bad_options_are_refused(small):
    for bad in ({"update": "mean"}, {"enhance": "se"}, {"ema_keep": 1.0}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            small("rde", **bad)
    with pytest.raises(ValueError, match="first training stage"):
        small("rde", update="none").update(random_entry(), random_entry())
    with pytest.raises(ValueError, match="at least 32 pixels"):
        small("rde").update(random_entry(grid=(1, 4)), random_entry(grid=(1, 4)))
