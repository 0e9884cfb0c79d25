import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from models.memory import Reading, affinity, read_memory

SIMILARITIES = ["dot", "l2"]


def random_memory(batch=2, objects=3, shared=False, frames=3, dim=8, values=5, grid=(4, 6), dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    key = torch.randn(batch, 1 if shared else objects, dim, frames, *grid, generator=generator, dtype=dtype)
    value = torch.randn(batch, objects, values, frames, *grid, generator=generator, dtype=dtype)
    query = torch.randn(batch, dim, *grid, generator=generator, dtype=dtype)
    return key, value, query


def plain_read(key, value, query, similarity="dot", top_k=None, sigma=None):
    """The formulas of the papers for one batch sample and one object at a time, with a whole weight matrix."""
    batch, objects = value.shape[:2]
    out = torch.empty(batch, objects, value.shape[2], *query.shape[2:], dtype=value.dtype)
    for b in range(batch):
        for o in range(objects):
            k = key[b, o if key.shape[1] > 1 else 0].flatten(1)
            q = query[b].flatten(1)
            scores = k.T @ q / math.sqrt(len(k))
            if similarity == "l2":
                scores = (2 * k.T @ q - (k * k).sum(0)[:, None]) / math.sqrt(len(k))
            weights = (scores - scores.max(0).values).exp()
            if sigma is not None:
                width = query.shape[-1]
                best = scores.argmax(1)
                y, x = torch.arange(q.shape[1]) // width, torch.arange(q.shape[1]) % width
                squares = (y - (best // width)[:, None]) ** 2 + (x - (best % width)[:, None]) ** 2
                weights = weights * (-squares / (2 * sigma**2)).exp()
            if top_k is not None:
                threshold = weights.topk(min(top_k, len(weights)), dim=0).values[-1]
                weights = torch.where(weights >= threshold, weights, 0)
            weights = weights / weights.sum(0)
            out[b, o] = (value[b, o].flatten(1) @ weights).view(-1, *query.shape[2:])
    return out


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("top_k", [None, 1, 7])
@pytest.mark.parametrize("sigma", [None, 1.5])
def test_reading_matches_the_papers_formula(similarity, shared, top_k, sigma):
    key, value, query = random_memory(shared=shared)
    got = read_memory(key, value, query, similarity, Reading(top_k, sigma))
    torch.testing.assert_close(got, plain_read(key, value, query, similarity, top_k, sigma), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("reading", [Reading(), Reading(5), Reading(5, 2.0), Reading(None, 2.0)])
@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_affinity_gives_the_weights_of_the_readout(reading, similarity):
    key, value, query = random_memory(shared=True)
    weights = affinity(key, query, similarity, reading)
    assert weights.shape == (2, 1, 72, 24)
    torch.testing.assert_close(weights.sum(2), torch.ones(2, 1, 24))
    readout = torch.matmul(value.flatten(3), weights).view(2, 3, 5, 4, 6)
    torch.testing.assert_close(readout, read_memory(key, value, query, similarity, reading), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("reading", [Reading(), Reading(5), Reading(5, 2.0)])
def test_the_order_of_memory_frames_does_not_matter(reading):
    key, value, query = random_memory()
    order = [2, 0, 1]
    expected = read_memory(key, value, query, "dot", reading)
    permuted = read_memory(key[:, :, :, order], value[:, :, :, order], query, "dot", reading)
    torch.testing.assert_close(permuted, expected)


@pytest.mark.parametrize("top_k", [72, 1000])
def test_keeping_all_positions_is_the_softmax(top_k):
    key, value, query = random_memory()
    softmax = read_memory(key, value, query, "l2")
    torch.testing.assert_close(read_memory(key, value, query, "l2", Reading(top_k)), softmax)


@pytest.mark.parametrize("top_k", [None, 5])
@pytest.mark.parametrize("sigma", [None, 2.0])
def test_chunks_do_not_change_the_readout(top_k, sigma):
    key, value, query = random_memory()
    whole = read_memory(key, value, query, "l2", Reading(top_k, sigma))
    for budget in (1, 10_000, 40_000):
        chunked = read_memory(key, value, query, "l2", Reading(top_k, sigma, budget))
        torch.testing.assert_close(chunked, whole)
        weights = affinity(key, query, "l2", Reading(top_k, sigma, budget))
        torch.testing.assert_close(weights, affinity(key, query, "l2", Reading(top_k, sigma)))


class Largest(TorchDispatchMode):
    """Records the largest tensor, in bytes, that any operation returns as new storage."""

    bytes = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for x in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(x, torch.Tensor) and not x._is_view():
                self.bytes = max(self.bytes, x.numel() * x.element_size())
        return result


@pytest.mark.parametrize("top_k", [None, 20])
@torch.no_grad()
def test_memory_use_stays_within_the_budget(top_k):
    budget = 400_000
    key, value, query = random_memory(batch=1, objects=1, frames=40, grid=(12, 20), dim=4, values=4)
    with Largest() as largest:
        read_memory(key, value, query, "l2", Reading(top_k, budget=budget))
    assert 40 * 240 * 240 * 4 > 20 * budget  # the whole affinity
    assert largest.bytes <= budget


@pytest.mark.parametrize("top_k", [None, 10])
def test_very_negative_affinities_stay_finite(top_k):
    key, value, query = random_memory(shared=True)
    readout = read_memory(key * 1000, value, query, "l2", Reading(top_k))
    assert readout.isfinite().all()
    assert readout.abs().max() <= value.abs().max() + 1e-4


@pytest.mark.parametrize("reading", [Reading(), Reading(4), Reading(4, 1.5), Reading(budget=1)])
@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_gradients(reading, similarity):
    key, value, query = random_memory(1, 2, True, 2, 3, 2, (2, 3), torch.double)
    inputs = [x.requires_grad_() for x in (key, value, query)]
    assert torch.autograd.gradcheck(lambda k, v, q: read_memory(k, v, q, similarity, reading), inputs)


@pytest.mark.parametrize("top_k", [None, 10])
def test_bfloat16_values_within_one_percent(top_k):
    key, value, query = random_memory()
    exact = read_memory(key, value, query, "dot", Reading(top_k))
    half = read_memory(key, value.bfloat16(), query, "dot", Reading(top_k))
    assert half.dtype == torch.bfloat16
    assert (half.float() - exact).abs().max() <= 0.01 * exact.abs().max()


def test_mismatched_shapes_are_refused():
    key, value, query = random_memory()
    with pytest.raises(ValueError, match="do not fit"):
        read_memory(key, value, query[:, :3])
    with pytest.raises(ValueError, match="do not fit"):
        read_memory(key[:, :2], value, query)
    with pytest.raises(ValueError, match="do not fit"):
        read_memory(key[:, :, :, :1], value, query)
    with pytest.raises(ValueError, match="dot or l2"):
        read_memory(key, value, query, "cosine")
    for bad in ({"top_k": 0}, {"sigma": 0.0}, {"budget": 0}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            Reading(**bad)
