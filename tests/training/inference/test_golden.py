"""The published semi-supervised engines, reproduced by ours."""

import numpy as np
import pytest
import torch

from models import checkpoint
from models.memory import Reading
from training.inference.options import published_options
from training.inference.propagate import Propagator

SIZE = (90, 150)


def hard(gold, name, objects):
    """{id: (H, W) mask}; the golden masks overlap."""
    return {o + 1: torch.from_numpy(gold.recipe.hard_mask(name, *SIZE, o)) for o in range(objects)}


def run(gold, network, frames, given, **options):
    """(T, 1 + O, H, W); memory every second frame."""
    propagator = Propagator(network, published_options(network, memory_every=2, **options), say=pytest.fail)
    probs = np.zeros((frames, 1 + max(max(masks) for masks in given.values()), *SIZE), np.float32)
    for t in range(frames):
        prob = propagator.step(gold.image(f"c{t}", *SIZE)[0], given.get(t))
        probs[t, [0, *propagator.objects]] = prob.numpy()
    return probs


def check_late_object(gold, network, compare, **options):
    """Object 1 is given in frame 0, object 2 in frame 3."""
    masks = hard(gold, "yv", 2)
    probs = run(gold, network, 7, {0: {1: masks[1]}, 3: {2: masks[2]}}, reading=Reading(top_k=20), **options)
    compare(probs, gold["yv/prob"])
    assert (probs.argmax(1) == gold["yv/argmax"][:, 3:93, 5:155]).mean() >= 0.999


@pytest.fixture(scope="module")
def maskprop(golden, stm):
    return golden("maskprop_eval"), stm


@pytest.mark.parametrize("objects", [1, 2])
@pytest.mark.parametrize(
    "name, reading",
    [("top20", Reading(top_k=20)), ("none", Reading()), ("top20km5.6", Reading(top_k=20, sigma=5.6))],
)
def test_mask_propagation(maskprop, compare, objects, name, reading):
    gold, network = maskprop
    probs = run(gold, network, 7, {0: hard(gold, "int", objects)}, reading=reading)
    compare(probs, gold[f"core/{name}/o{objects}"])


def test_mask_propagation_with_a_late_object(maskprop, compare):
    check_late_object(*maskprop, compare)


@pytest.fixture(scope="module")
def stcn(golden, encoded_once):
    gold = golden("stcn_eval")
    return gold, encoded_once(gold.network("stcn_eval"), gold.meta["pred_bias_shift_core_only"])


@pytest.mark.parametrize("objects", [1, 2])
@pytest.mark.parametrize("previous", [False, True])
def test_stcn(stcn, compare, objects, previous):
    gold, network = stcn
    probs = run(gold, network, 7, {0: hard(gold, "int", objects)}, reading=Reading(top_k=20), previous=previous)
    compare(probs, gold[f"core/last{int(previous)}/o{objects}"])


def test_stcn_with_a_late_object(stcn, compare):
    check_late_object(*stcn, compare)


@pytest.fixture(scope="module")
def rde(golden, encoded_once):
    gold = golden("rde_eval")
    weights = gold.weights("rde_eval")
    key, value = gold.meta["centre"]
    channels = range(weights[key].shape[0])
    weights[key][channels, channels, :, 1, 1] += value
    network = checkpoint.from_published(weights).eval()
    return gold, encoded_once(network, gold.meta["pred_bias_shift_core_only"])


@pytest.mark.parametrize("objects", [1, 2])
@pytest.mark.parametrize("mode", ["two-frames-compress", "gt-compress"])
def test_rde(rde, compare, objects, mode):
    gold, network = rde
    probs = run(gold, network, 8, {0: hard(gold, "int", objects)}, reading=Reading(top_k=40), memory=mode)
    compare(probs, gold[f"core/{mode}/o{objects}"])
