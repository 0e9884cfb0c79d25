"""Golden numbers of the published engines, and small networks with known results."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from models.backbone import MEAN, STD
from models.memory import Reading, read_memory
from models.propagation import Entry, Query

GOLDEN_SIZE = (90, 150)
GOLDEN_PADDING = (3, 5)  # rows above, columns to the left


@pytest.fixture(scope="session")
def stm(golden):
    """The network of both Mask-Propagation's and MiVOS's golden engines: their weights are the same."""
    gold, other = golden("mivos_core"), golden("maskprop_eval")
    assert gold.gain == other.gain and gold.meta["pred_bias_shift"] == other.meta["pred_bias_shift"]
    return encoding_once(biased(gold.network("mivos_prop"), gold.meta["pred_bias_shift"]))


@pytest.fixture(scope="session")
def encoded_once():
    """encoded_once(network, bias): for tests that give a network the same frames repeatedly."""
    return lambda network, bias: encoding_once(biased(network, bias))


def biased(network, by):
    """The network with something added to the decoder's last bias."""
    with torch.no_grad():
        network.decoder.pred.bias += by
    return network


def encoding_once(network):
    """The network with a cache of queries by image, which makes tests faster."""
    known, encode = {}, network.encode_query

    def encode_query(image):
        key = image[..., ::5, ::5].numpy().tobytes()
        if key not in known:
            known[key] = encode(image)
        return known[key]

    network.encode_query = encode_query
    return network


@pytest.fixture
def compare():
    """compare(probs, expected): probabilities (T, C, 90, 150) with golden ones of the padded frames, every 4th pixel.

    Probabilities differ by at most 1e-4, label maps in at most 1 of 1000 pixels.
    """

    def check(probs: np.ndarray, expected: np.ndarray) -> None:
        expected = expected[:, :, 0].swapaxes(0, 1)
        rows, columns = (
            np.array([4 * i - before for i in range(count) if 0 <= 4 * i - before < side])
            for count, side, before in zip(expected.shape[2:], GOLDEN_SIZE, GOLDEN_PADDING, strict=True)
        )
        inside = (rows + GOLDEN_PADDING[0]) // 4, (columns + GOLDEN_PADDING[1]) // 4
        expected = expected[:, :, inside[0]][..., inside[1]]
        got = probs[:, :, rows][..., columns]
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4)
        assert (got.argmax(1) == expected.argmax(1)).mean() >= 0.999

    return check


GRID = (2, 4)
CELL = 16


def cell_video(frames: int, moving: bool = True) -> np.ndarray:
    """(T, 32, 64, 3) uint8: red is the frame's number, green the number of one of eight cells.

    The cells move one column to the right every frame, those at the border return on the other side.
    """
    video = np.zeros((frames, GRID[0] * CELL, GRID[1] * CELL, 3), np.uint8)
    for t in range(frames):
        cells = np.roll(np.arange(8).reshape(GRID), t if moving else 0, axis=1)
        video[t, ..., 0] = t
        video[t, ..., 1] = np.kron(cells, np.full((CELL, CELL), 8))
    return video


def cell_mask(video: np.ndarray, t: int, cells: dict[int, tuple[int, ...]]) -> np.ndarray:
    """(32, 64) uint8 ids: {object: its cells}."""
    ids = np.zeros(video.shape[1:3], np.uint8)
    for label, own in cells.items():
        ids[np.isin(video[t, ..., 1] // 8, own)] = label
    return ids


class CellNetwork(torch.nn.Module):
    """Tracks the cells of ``cell_video`` perfectly, from the newest frame in memory alone.

    Its affinity is an oracle's: a cell attends to itself wherever it is. ``lose`` is {frame: cells that it misses}.
    ``queried`` and ``memorised`` are the numbers of the frames that it has encoded, ``written`` their masks.
    """

    similarity = "dot"
    evaluation = Reading()

    def __init__(self):
        super().__init__()
        self.anchor = torch.nn.Parameter(torch.zeros(1), requires_grad=False)  # gives the device
        self.lose: dict[int, tuple[int, ...]] = {}
        self.queried: list[int] = []
        self.memorised: list[int] = []
        self.written: list[np.ndarray] = []
        self.writes = 0

    def channel(self, image, index):
        return ((image[:, index] * STD[index] + MEAN[index]) * 255).round().long()

    def cells(self, image):
        return self.channel(image, 1)[:, CELL // 2 :: CELL, CELL // 2 :: CELL] // 8

    def encode_query(self, image):
        self.queried.append(int(self.channel(image, 0)[0, 0, 0]))
        key = 10 * torch.nn.functional.one_hot(self.cells(image), 8).permute(0, 3, 1, 2).float()
        return Query(key, key, key, key, image)

    def encode_memory(self, image, query, masks):
        self.memorised.append(int(self.channel(image, 0)[0, 0, 0]))
        self.written.append(masks[0].numpy().copy())
        cells = torch.nn.functional.avg_pool2d(masks, CELL)
        age = torch.full_like(cells, self.writes)
        self.writes += 1
        return Entry(query.key[:, None, :, None], torch.stack([cells, age], dim=2).unsqueeze(3))

    def read(self, memory, query, reading):
        newest = int(memory.value[0, 0, 1, :, 0, 0].argmax())
        key, value = (x[:, :, :, newest : newest + 1] for x in memory)
        return read_memory(key, value, query.key, "dot", reading)

    def decode(self, readout, query):
        logits = (readout[:, :, 0] - 0.5) * 20
        lost = self.lose.get(int(self.channel(query.f4, 0)[0, 0, 0]), ())
        for cell in lost:
            logits = torch.where((self.cells(query.f4) == cell).unsqueeze(1), -10.0, logits)
        return logits.repeat_interleave(CELL, -2).repeat_interleave(CELL, -1)


class StrokeNetwork(torch.nn.Module):
    """Scribble to mask: the positive strokes and the mask so far, without the negative ones. Keeps its input."""

    def segment(self, image, mask, positive, negative):
        self.seen = SimpleNamespace(image=image, mask=mask, positive=positive, negative=negative)
        return (((mask + positive).clamp(0, 1) - negative).clamp(0, 1) - 0.5) * 20


@pytest.fixture
def cells():
    """A namespace of this module's functions and classes."""
    return SimpleNamespace(network=CellNetwork, strokes=StrokeNetwork, video=cell_video, mask=cell_mask)
