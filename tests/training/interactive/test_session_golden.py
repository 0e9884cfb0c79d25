"""MiVOS's interactive engine, reproduced by ours."""

import numpy as np
import pytest
import torch

from models.memory import Reading
from training.inference.options import published_options
from training.inference.propagate import Propagator
from training.interactive.session import InteractiveSession

SIZE = (90, 150)


@pytest.fixture(scope="module")
def mivos(golden, stm):
    gold, network = golden("mivos_core"), stm
    fusion = gold.network("mivos_fusion")
    with torch.no_grad():
        fusion.pred.bias += gold.meta["fusion_final_bias_shift"]
    return gold, network, fusion, published_options(network, memory_every=2, reading=Reading(top_k=20))


def hard(gold, name, objects):
    """(O, H, W); the golden masks overlap."""
    return torch.from_numpy(np.stack([gold.recipe.hard_mask(name, *SIZE, o) for o in range(objects)]))


@pytest.mark.parametrize("objects", [1, 2])
def test_rounds(mivos, compare, objects):
    gold, network, fusion, options = mivos

    class Session(InteractiveSession):
        def image(self, frame):
            return gold.image(f"c{frame}", *SIZE)[0]

    frames = np.zeros((gold.meta["frames"], *SIZE, 3), np.uint8)
    session = Session(network, frames, range(1, objects + 1), fusion=fusion, options=options, say=pytest.fail)
    for number, frame in enumerate(gold.meta["rounds"]):
        session.set_mask(frame, hard(gold, f"int{objects}_{number}", objects))
        session.propagate()
        expected = f"o{objects}/r{number}"
        compare(np.stack([session.prob(t) for t in range(len(frames))]), gold[f"{expected}/prob"])
        assert (session.masks() == gold[f"{expected}/masks"]).mean() >= 0.9999


@pytest.mark.parametrize("objects", [1, 2])
def test_both_ways_from_one_frame(mivos, objects):
    """The generator of fusion data is the engine, once forward and once backward."""
    gold, network, _, options = mivos
    start, left, right = (gold.meta[key] for key in ("gen_idx", "gen_left", "gen_right"))
    masks = hard(gold, f"int{objects}_0", objects)
    probs = {}
    for way in (range(start, right + 1), range(start, left - 1, -1)):
        propagator = Propagator(network, options, say=pytest.fail)
        for t in way:
            given = {o + 1: masks[o] for o in range(objects)} if t == start else None
            probs[t] = propagator.step(gold.image(f"c{t}", *SIZE)[0], given).numpy()[:, ::4, ::4]
    expected = gold[f"o{objects}/fusiongen"]
    for t, prob in probs.items():
        np.testing.assert_allclose(prob, expected[:, t], rtol=0, atol=1e-4, err_msg=str(t))
        assert (prob.argmax(0) == expected[:, t].argmax(0)).mean() >= 0.999
