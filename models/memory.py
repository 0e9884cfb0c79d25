"""Space-time memory reading: one function family for STM, STCN and RDE.

Every query position attends to every memory position (STM, section 3.2; MiVOS, equations 1-3). Two similarities:

- "dot": <memory, query> / sqrt(Ck), STM's.
- "l2": (2 <memory, query> - |memory|^2) / sqrt(Ck), STCN's negative squared L2 distance without the query's own
  term, which the softmax over memory would cancel.

The kernelised reading (KMN) weights each pair with a Gaussian around the memory position's best query position.
The L2 term and the Gaussian are inner products of key terms and query terms, so both are extra channels of one matrix
product. The top-k filter comes before the exponential, and the maximum is always subtracted: the published memory
banks of STCN and RDE do not subtract it and divide zero by zero when all affinities are very negative.

Affinities are computed in float32 (or float64), whatever the type of the keys; values keep their type.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Reading:
    """How memory is read. The default is the full softmax of training; evaluations filter it.

    top_k: keep the k best memory positions per query position; all of them when the memory holds fewer.
    sigma: width of the kernel in positions at stride 16; 7 in KMN's paper, 5.6 in the evaluations of Mask-Propagation
        and MiVOS. None reads without kernel.
    budget: bytes that the affinities of one chunk of query positions may take. A chunk is at least one position.
    """

    top_k: int | None = None
    sigma: float | None = None
    budget: int = 64 * 2**20

    def __post_init__(self):
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k is {self.top_k}: it must be at least 1, or None for the full softmax")
        if self.sigma is not None and not self.sigma > 0:
            raise ValueError(f"sigma is {self.sigma}: it must be positive, or None for no kernel")
        if self.budget < 1:
            raise ValueError(f"budget is {self.budget}: it must be a number of bytes")


SOFTMAX = Reading()


def read_memory(
    memory_key: Tensor, memory_value: Tensor, query_key: Tensor, similarity: str = "dot", reading: Reading = SOFTMAX
) -> Tensor:
    """Read a value for each query position.

    Args:
        memory_key: (B, O or 1, Ck, T, h, w); 1 when all objects share the key.
        memory_value: (B, O, Cv, T, h, w).
        query_key: (B, Ck, h, w).

    Returns: (B, O, Cv, h, w).
    """
    _check(memory_key, query_key, memory_value)
    readouts = []
    with _full_precision(memory_key):
        values = _positions(memory_value)
        for scores in _score_chunks(memory_key, query_key, similarity, reading):
            if reading.top_k is None or reading.top_k >= scores.shape[-1]:
                readouts.append(torch.matmul(scores.softmax(-1).to(values.dtype), values))
            else:
                best, index = scores.topk(reading.top_k, dim=-1, sorted=False)
                readouts.append(_gather_sum(best.softmax(-1).to(values.dtype), index, values))
    readout = torch.cat(readouts, dim=2) if len(readouts) > 1 else readouts[0]
    return readout.unflatten(2, query_key.shape[-2:]).movedim(-1, 2)


def affinity(memory_key: Tensor, query_key: Tensor, similarity: str = "dot", reading: Reading = SOFTMAX) -> Tensor:
    """The weights that ``read_memory`` gives to each memory position: (B, O or 1, T*h*w, h*w), columns sum to one."""
    _check(memory_key, query_key)
    columns = []
    with _full_precision(memory_key):
        for scores in _score_chunks(memory_key, query_key, similarity, reading):
            if reading.top_k is None or reading.top_k >= scores.shape[-1]:
                columns.append(scores.softmax(-1))
            else:
                best, index = scores.topk(reading.top_k, dim=-1, sorted=False)
                columns.append(torch.zeros_like(scores).scatter(-1, index, best.softmax(-1)))
    return torch.cat(columns, dim=2).mT


def _full_precision(x: Tensor) -> torch.autocast:
    """Disable autocast: rounding affinities would change their exponentials by percents, and they are cheap."""
    return torch.autocast(x.device.type, enabled=False)


def _check(memory_key: Tensor, query_key: Tensor, memory_value: Tensor | None = None) -> None:
    if memory_key.ndim != 6 or query_key.ndim != 4 or memory_key.shape[2] != query_key.shape[1]:
        raise ValueError(
            f"memory key {tuple(memory_key.shape)} and query key {tuple(query_key.shape)} do not fit: "
            "expected (B, O or 1, Ck, T, h, w) and (B, Ck, h, w)"
        )
    if memory_value is not None and (
        memory_value.ndim != 6
        or memory_value.shape[3:] != memory_key.shape[3:]
        or memory_key.shape[1] not in (1, memory_value.shape[1])
    ):
        raise ValueError(
            f"memory key {tuple(memory_key.shape)} and value {tuple(memory_value.shape)} do not fit: "
            "expected (B, O or 1, Ck, T, h, w) and (B, O, Cv, T, h, w)"
        )


def _positions(x: Tensor) -> Tensor:
    """(B, O, C, T, h, w) -> (B, O, T*h*w, C); a view where the channels lie last, as ``Entry.cat`` lays them."""
    return x.movedim(2, -1).flatten(2, 4)


def _score_chunks(memory_key: Tensor, query_key: Tensor, similarity: str, reading: Reading) -> Iterator[Tensor]:
    """Affinities before the softmax, (B, O or 1, chunk of h*w, T*h*w), chunk after chunk."""
    dtype = torch.promote_types(torch.promote_types(memory_key.dtype, query_key.dtype), torch.float32)
    keys = _positions(memory_key).to(dtype)
    queries = query_key.to(dtype).flatten(2).mT.unsqueeze(1)
    scale = 1 / math.sqrt(keys.shape[-1])
    if similarity == "dot":
        queries = queries * scale
    elif similarity == "l2":
        keys = torch.cat([keys, keys.square().sum(-1, keepdim=True)], dim=-1)
        queries = torch.cat([queries * (2 * scale), torch.full_like(queries[..., :1], -scale)], dim=-1)
    else:
        raise ValueError(f"similarity {similarity!r} is unknown: choose dot or l2")
    # A chunk holds its affinities and their exponentials.
    row = 2 * keys.shape[0] * keys.shape[1] * keys.shape[2] * keys.element_size()
    size = max(1, reading.budget // row)
    if reading.sigma is not None:
        best = _best_query(keys, queries, size)
        keys, queries = _add_kernel(keys, queries, best, query_key.shape[-1], reading.sigma)
    for chunk in queries.split(size, dim=2):
        yield torch.matmul(chunk, keys.mT)


@torch.no_grad()
def _best_query(keys: Tensor, queries: Tensor, size: int) -> Tensor:
    """The query position (B, O or 1, T*h*w) with the highest affinity to each memory position."""
    best, index = torch.matmul(queries[:, :, :size], keys.mT).max(dim=2)
    for start in range(size, queries.shape[2], size):
        value, where = torch.matmul(queries[:, :, start : start + size], keys.mT).max(dim=2)
        index = torch.where(value > best, where + start, index)
        best = torch.maximum(value, best)
    return index


def _add_kernel(keys: Tensor, queries: Tensor, best: Tensor, width: int, sigma: float) -> tuple[Tensor, Tensor]:
    """Append channels whose product is log g = -|p - p*|^2 / (2 sigma^2), up to a term of the query alone.

    p is the query's position, p* the best query position of the memory. exp(affinity) * g is then the exponential
    of one product, and top-k on the product of weights is top-k on its logarithm.
    """

    def coordinates(index: Tensor) -> Tensor:
        # Centred, so that the squares stay small and float32 keeps its digits.
        centre = ((queries.shape[2] // width - 1) / 2, (width - 1) / 2)
        yx = torch.stack([index.div(width, rounding_mode="floor") - centre[0], index % width - centre[1]], dim=-1)
        return yx.to(keys.dtype) / sigma

    at_memory = coordinates(best)
    at_query = coordinates(torch.arange(queries.shape[2], device=queries.device)).expand(*queries.shape[:3], 2)
    keys = torch.cat([keys, at_memory, at_memory.square().sum(-1, keepdim=True)], dim=-1)
    queries = torch.cat([queries, at_query, torch.full_like(at_query[..., :1], -0.5)], dim=-1)
    return keys, queries


def _gather_sum(weights: Tensor, index: Tensor, values: Tensor) -> Tensor:
    """Sum of k values per query position, without a dense weight matrix.

    weights, index: (B, O or 1, Q, k); values: (B, O, N, C). Returns (B, O, Q, C).
    """
    batch, objects, count, channels = values.shape
    rows = torch.arange(batch * objects, device=index.device).view(batch, objects, 1, 1) * count
    index = (index + rows).flatten(0, 2)
    weights = weights.expand(batch, objects, -1, -1).flatten(0, 2)
    table = values.reshape(-1, channels)
    total = F.embedding_bag(index, table, per_sample_weights=weights, mode="sum")
    return total.view(batch, objects, -1, channels)
