import gc

import pytest
import torch

from models.policy import BoundedMemory, GrowingMemory, RecurrentMemory
from models.propagation import Entry


def entry(number, frames=1):
    return Entry(*(torch.full((1, objects, 3, frames, 2, 2), float(number)) for objects in (1, 2)))


def contents(policy):
    return policy.memory().value[0, 0, 0, :, 0, 0].tolist()


def test_growing_memory_keeps_permanent_frames_and_one_temporary_frame():
    policy = GrowingMemory()
    policy.start(entry(0))
    policy.add(entry(1), permanent=False)
    assert contents(policy) == [0, 1]
    policy.add(entry(2), permanent=False)
    assert contents(policy) == [0, 2]
    policy.add(entry(3))
    assert contents(policy) == [0, 3]
    policy.start(entry(9, frames=2))
    assert contents(policy) == [0, 9, 9, 3]


def test_bounded_memory_stays_bounded_recent_and_keeps_the_labels():
    policy = BoundedMemory(capacity=4)
    policy.start(entry(-1))
    for number in range(301):
        policy.add(entry(number))
        policy.add(entry(number + 0.5), permanent=False)
        kept = contents(policy)
        assert kept[0] == -1 and kept[-2:] == [number, number + 0.5]
        assert len(kept) <= 6 and kept[1:] == sorted(kept[1:])


@pytest.mark.parametrize("mode", RecurrentMemory.MODES)
def test_recurrent_memory_reads_the_parts_of_its_mode(mode):
    class Sum:
        def update(self, recurrent, new):
            return Entry(recurrent.key + new.key, recurrent.value + new.value)

    policy = RecurrentMemory(Sum(), mode)
    policy.start(entry(1))
    assert contents(policy) == [1] * len(RecurrentMemory.MODES[mode][0])
    policy.add(entry(5), permanent=False)
    assert contents(policy) == [1] * len(RecurrentMemory.MODES[mode][0])
    policy.add(entry(10))
    policy.add(entry(100))
    value = {"first": 1, "latest": 100, "recurrent": 111}
    assert contents(policy) == [value[part] for part in RecurrentMemory.MODES[mode][1]]


def tensor_bytes():
    gc.collect()
    return sum(x.numel() * x.element_size() for x in gc.get_objects() if issubclass(type(x), torch.Tensor))


@torch.no_grad()
def test_hundreds_of_frames_with_rde_hold_constant_memory(small):
    network = small("rde")
    policy = RecurrentMemory(network)
    generator = torch.Generator().manual_seed(0)
    used = {}
    for frame in range(301):
        image = torch.randn(1, 3, 32, 32, generator=generator)
        query = network.encode_query(image)
        if frame == 0:
            policy.start(network.encode_memory(image, query, torch.rand(1, 1, 32, 32, generator=generator)))
            continue
        prob = network.decode(network.read(policy.memory(), query, network.evaluation), query).sigmoid()
        if frame % 3 == 0:
            policy.add(network.encode_memory(image, query, prob))
        if frame in (12, 300):
            used[frame] = tensor_bytes(), policy.memory().value.shape
    assert used[12] == used[300]
    assert prob.isfinite().all()


@pytest.mark.parametrize("policy", [GrowingMemory(), BoundedMemory(), RecurrentMemory(None)])
def test_reading_before_any_label_is_refused(policy):
    with pytest.raises(ValueError, match="memory is empty"):
        policy.memory()


def test_bad_options_are_refused(small):
    with pytest.raises(ValueError, match="capacity"):
        BoundedMemory(0)
    with pytest.raises(ValueError, match="two-frames-compress"):
        RecurrentMemory(None, "two_frames")
