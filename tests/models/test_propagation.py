"""What all propagation networks promise, at small size."""

import pytest
import torch

from models.aggregate import aggregate
from models.backbone import prepare_for_inference
from models.memory import Reading
from models.propagation import Entry

NETWORKS = ["stm", "stcn", "rde"]


def sample(batch=1, objects=2, height=64, width=96, seed=0):
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(batch, 3, height, width, generator=generator)
    return image, torch.rand(batch, objects, height, width, generator=generator)


TOP_7 = Reading(top_k=7)


def segment(network, first, masks, second, reading=TOP_7):
    """Logits of the second image from one memory frame."""
    memory = network.encode_memory(first, network.encode_query(first), masks)
    query = network.encode_query(second)
    return network.decode(network.read(memory, query, reading), query)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("objects", [1, 3, 5])
@torch.no_grad()
def test_shapes(small, name, objects):
    network = small(name)
    image, masks = sample(2, objects)
    query = network.encode_query(image)
    entry = network.encode_memory(image, query, masks)
    assert query.key.shape == (2, 16, 4, 6)
    assert entry.key.shape == (2, objects if name == "stm" else 1, 16, 1, 4, 6)
    assert entry.value.shape == (2, objects, 32, 1, 4, 6)
    memory = Entry.cat([entry, entry, entry])
    assert memory.frames == 3
    readout = network.read(memory, query, network.evaluation)
    assert readout.shape == (2, objects, 32, 4, 6)
    assert network.decode(readout, query).shape == (2, objects, 64, 96)


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_objects_and_samples_in_a_batch_equal_one_by_one(small, name):
    network = small(name)
    (first, masks), (second, _) = sample(2, 3, seed=1), sample(2, 3, seed=2)
    together = segment(network, first, masks, second)
    for b in range(2):
        for o in range(3):
            own = masks[b : b + 1, o : o + 1]
            others = masks[b : b + 1].sum(1, keepdim=True) - own
            alone = segment(network, first[b : b + 1], torch.cat([own, others], dim=1), second[b : b + 1])
            torch.testing.assert_close(together[b, o], alone[0, 0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_single_object_networks_ignore_the_other_objects(small, name):
    network = small(name, multi_object=False)
    (first, masks), (second, _) = sample(seed=1), sample(seed=2)
    together = segment(network, first, masks, second)
    torch.testing.assert_close(together[:, 1:], segment(network, first, masks[:, 1:], second), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_training_step_reaches_every_weight(small, name):
    """Two predicted frames, the second from the first one's soft prediction; the second sample has one object."""
    network = small(name)
    frames = [sample(2, 2, seed=i) for i in range(3)]
    selector = torch.tensor([[1.0, 1.0], [1.0, 0.0]])[:, :, None, None]
    masks = frames[0][1] * selector
    queries = [network.encode_query(image) for image, _ in frames]
    memory = network.encode_memory(frames[0][0], queries[0], masks)
    loss = 0
    for t in (1, 2):
        prob = network.decode(network.read(memory, queries[t]), queries[t]).sigmoid() * selector
        weights = aggregate(prob)
        assert weights[1, 2].max() < 1e-5  # the absent object
        loss = loss - weights[:, 1].clamp(min=1e-6).log().mean()
        if t == 1:
            entry = network.encode_memory(frames[1][0], queries[1], weights[:, 1:])
            merged = [network.update(memory, entry)] if name == "rde" else []
            memory = Entry.cat([memory, entry, *merged])
    loss.backward()
    # The update's result is read, so SAM is trained too; batch norms are frozen but their affine weights learn.
    without = [key for key, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert without == []
    assert sum(p.grad.abs().sum() > 0 for p in network.parameters()) > 0.9 * len(list(network.parameters()))


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_preparation_for_inference_changes_no_result(small, name):
    network = small(name)
    generator = torch.Generator().manual_seed(0)
    for key, buffer in network.named_buffers():
        if key.endswith("running_mean"):
            buffer.copy_(0.1 * torch.randn(buffer.shape, generator=generator))
        elif key.endswith("running_var"):
            buffer.copy_(1 + torch.rand(buffer.shape, generator=generator))
    (first, masks), (second, _) = sample(seed=1), sample(seed=2)
    plain = segment(network, first, masks, second)
    prepare_for_inference(network)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())
    first, second = (image.contiguous(memory_format=torch.channels_last) for image in (first, second))
    torch.testing.assert_close(segment(network, first, masks, second), plain, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_bfloat16_probabilities_within_three_percent(small, name):
    network = small(name)
    (first, masks), (second, _) = sample(seed=1), sample(seed=2)
    exact = segment(network, first, masks, second, Reading()).sigmoid()
    with torch.autocast("cpu", torch.bfloat16):
        half = segment(network, first, masks, second, Reading()).float().sigmoid()
    assert (half - exact).abs().max() <= 0.03


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("config", [{"value_dim": 16}, {"value_dim": 512, "decoder_dim": 8}])
@torch.no_grad()
def test_any_widths_fit_together(small, name, config):
    network = small(name, **config)
    (first, masks), (second, _) = sample(1, 3, seed=1), sample(seed=2)
    assert segment(network, first, masks, second).shape == (1, 3, 64, 96)


@torch.no_grad()
def test_compiles_into_one_graph(small):
    network = small("stm")
    inputs = sample(seed=1)[0], sample(seed=1)[1], sample(seed=2)[0]

    def frame(first, masks, second):
        return segment(network, first, masks, second, Reading(5, 2.0, budget=10_000))

    compiled = torch.compile(frame, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(*inputs), frame(*inputs))


@pytest.mark.parametrize("name", NETWORKS)
def test_bad_sizes_are_refused(small, name):
    network = small(name)
    with pytest.raises(ValueError, match="90x150 pixels: pad both sides to multiples of 16"):
        network.encode_query(torch.zeros(1, 3, 90, 150))
    with pytest.raises(ValueError, match="expected"):
        network.encode_query(torch.zeros(3, 32, 32))
    image, masks = sample()
    query = network.encode_query(image)
    with pytest.raises(ValueError, match="do not fit"):
        network.encode_memory(image, query, masks[:, 0])
    with pytest.raises(ValueError, match="do not fit"):
        network.encode_memory(image, query, masks[..., :32])
