import gc

import numpy as np
import pytest
import torch

from bl30k_gen.errors import UserError
from training.inference.options import Options, published_options
from training.inference.propagate import propagate
from training.inference.tensors import PaddedView


def run(network, video, given, numbers=None, **options):
    """{number: (H, W) ids}"""
    numbers = range(len(video)) if numbers is None else numbers
    results = propagate(network, ((t, video[t]) for t in numbers), given, published_options(network, **options))
    return {result.number: result.labels() for result in results}


@pytest.fixture
def photo():
    """Eight (48, 64, 3) frames of a blurred noise that drifts."""
    noise = np.random.default_rng(0).uniform(0, 255, (12, 24, 3))
    wide = np.kron(noise, np.ones((4, 4, 1)))
    return np.stack([wide[:48, t : t + 64] for t in range(8)]).astype(np.uint8)


def test_objects_are_propagated_from_their_own_first_frames(cells):
    video = cells.video(7)
    objects = {7: (0, 5), 3: (2,)}
    given = {1: cells.mask(video, 1, {7: (0, 5)}), 4: cells.mask(video, 4, {3: (2,)})}
    results = run(cells.network(), video, given)
    for t, ids in results.items():
        visible = {label: own for label, own in objects.items() if t >= {7: 1, 3: 4}[label]}
        assert (ids == cells.mask(video, t, visible)).all(), t


def test_backward_is_forward_with_falling_numbers(cells):
    video = cells.video(7)
    results = run(cells.network(), video, {5: cells.mask(video, 5, {1: (6,)})}, numbers=range(5, -1, -1))
    assert list(results) == [5, 4, 3, 2, 1, 0]
    assert all((ids == cells.mask(video, t, {1: (6,)})).all() for t, ids in results.items())


def test_a_given_mask_overrides_what_was_segmented(cells):
    video = cells.video(6)
    given = {
        0: cells.mask(video, 0, {1: (0, 1), 2: (4,)}),
        2: cells.mask(video, 2, {3: (1,)}),  # a new object, on a part of object 1
        4: cells.mask(video, 4, {2: (7,)}),  # object 2 again, elsewhere
    }
    results = run(cells.network(), video, given)
    assert (results[1] == cells.mask(video, 1, {1: (0, 1), 2: (4,)})).all()
    assert (results[3] == cells.mask(video, 3, {1: (0,), 2: (4,), 3: (1,)})).all()
    assert (results[5] == cells.mask(video, 5, {1: (0,), 2: (7,), 3: (1,)})).all()


@pytest.mark.parametrize("previous, expected", [(False, [0, 3, 4, 7]), (True, [0, 1, 2, 3, 4, 5, 6, 7, 8])])
def test_frames_are_memorised_by_distance_from_the_last_one(cells, previous, expected):
    """Frame 4 has a new object, so that the next memory frame is 7."""
    video, network = cells.video(9), cells.network()
    given = {0: cells.mask(video, 0, {1: (0,)}), 4: cells.mask(video, 4, {2: (1,)})}
    run(network, video, given, memory_every=3, previous=previous)
    assert network.memorised == expected


def test_frames_without_objects_are_not_segmented(cells):
    video, network = cells.video(4), cells.network()
    results = run(network, video, {3: cells.mask(video, 3, {1: (0,)})})
    assert network.queried == [3]
    assert not results[0].any()


def tensor_bytes():
    gc.collect()
    return sum(x.numel() * x.element_size() for x in gc.get_objects() if issubclass(type(x), torch.Tensor))


def test_two_thousand_frames_stream_in_constant_memory(cells):
    video, network, said = cells.video(8), cells.network(), []
    network.memorised = network.queried = network.written = type("Forgetful", (), {"append": lambda self, x: None})()
    per_frame = 2 * 4 * 8 * (8 + 2 * 2)  # bytes of a key and two values, and their copy when joined
    options = Options(memory_every=2, previous=True, memory_budget=40 * per_frame)
    frames = ((t, video[t % 8]) for t in range(2000))
    used = {}
    for result in propagate(network, frames, {0: cells.mask(video, 0, {1: (0,), 2: (5,)})}, options, said.append):
        if result.number in (300, 1999):
            used[result.number] = tensor_bytes()
    assert (result.labels() == cells.mask(video, 1999 % 8, {1: (0,), 2: (5,)})).all()
    assert abs(used[1999] - used[300]) <= 40 * per_frame
    raised = [int(line.split("memory_every is ")[1].split()[0]) for line in said]
    assert raised == [4, 8, 16, 32, 64]


def test_a_raised_memory_every_leaves_evenly_spaced_frames(cells):
    video, network = cells.video(60), cells.network()
    options = Options(memory_every=1, memory_budget=8 * 2 * 4 * 8 * (8 + 2))
    list(propagate(network, enumerate(video), {0: cells.mask(video, 0, {1: (0,)})}, options, lambda line: None))
    steps = np.diff(network.memorised)
    assert set(steps) == {1, 2, 4, 8} and (np.diff(steps) >= 0).all()


def test_mirrored_video_gives_mirrored_masks_with_flip(small, photo):
    network = small("stm")
    first = np.zeros((48, 64), np.uint8)
    first[10:30, 5:30] = 1

    def probs(video, mask):
        options = published_options(network, flip=True, memory_every=2)
        results = propagate(network, enumerate(video), {0: mask}, options)
        return torch.stack([result.prob for result in results])

    mirrored = probs(photo[:, :, ::-1], first[:, ::-1])
    torch.testing.assert_close(probs(photo, first), mirrored.flip(-1), rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["stm", "stcn", "rde"])
def test_sizes_scales_and_flip_give_masks_at_the_original_size(small, photo, name):
    network = small(name)
    video = photo[:4, :45, :61]
    first = np.zeros((45, 61), np.uint8)
    first[10:30, 5:30], first[20:40, 35:50] = 4, 9
    options = published_options(network, short_side=40, scales=(1.0, 1.3), flip=True, memory_every=2)
    for result in propagate(network, enumerate(video), {0: first}, options):
        assert result.prob.shape == (3, 45, 61) and result.objects == (4, 9)
        torch.testing.assert_close(result.prob.sum(0), torch.ones(45, 61), rtol=0, atol=1e-4)
    plain = [r.prob for r in propagate(network, enumerate(video), {0: first})]
    options = published_options(network, short_side=45)
    same = [r.prob for r in propagate(network, enumerate(video), {0: first}, options)]
    torch.testing.assert_close(plain, same)


@pytest.mark.parametrize("name", ["stm", "stcn", "rde"])
def test_bfloat16_gives_the_masks_of_float32(small, photo, name):
    network = small(name)
    first = np.zeros((48, 64), np.uint8)
    first[10:30, 5:30] = 1

    def labels(precision):
        options = published_options(network, precision=precision, memory_every=2)
        return torch.stack([r.prob for r in propagate(network, enumerate(photo), {0: first}, options)])

    exact, rounded = labels("float32"), labels("bfloat16")
    assert not torch.equal(exact, rounded)
    assert (exact - rounded).abs().mean() < 0.01


def test_views_pad_evenly_and_back():
    view = PaddedView((90, 150))
    assert view.padded == (96, 160) and view.padding == (5, 5, 3, 3)
    assert PaddedView((33, 47)).padding == (0, 1, 7, 8)
    image = torch.rand(3, 90, 150)
    torch.testing.assert_close(view.restore(view.image(image)), image)
    assert PaddedView((90, 150), (45, 75)).image(image).shape == (1, 3, 48, 80)
    masks = (torch.rand(2, 90, 150) > 0.5).float()
    assert set(PaddedView((90, 150), (45, 75)).masks(masks).unique().tolist()) == {0, 1}


def test_bad_input_is_one_clear_line(cells):
    video = cells.video(3)
    first = cells.mask(video, 0, {1: (0,)})
    with pytest.raises(UserError, match="frame 1: the frame is 60x32, but the first one 64x32"):
        run(cells.network(), [video[0], video[1][:, :60]], {0: first})
    with pytest.raises(UserError, match="frame 0: the mask of object 1 is 60x32, but the frame 64x32"):
        run(cells.network(), video, {0: first[:, :60]})
    with pytest.raises(UserError, match="id 300"):
        run(cells.network(), video, {0: first.astype(np.uint16) * 300})


def test_bad_options_are_refused(small):
    for bad in (
        {"memory": "stm"},
        {"precision": "half"},
        {"memory_every": 0},
        {"short_side": 8},
        {"scales": ()},
        {"scales": (float("nan"),)},
        {"scales": (float("inf"),)},
        {"sigma": float("nan")},
        {"memory_budget": -1},
        {"capacity": 0},
        {"topk": 3},
    ):
        with pytest.raises(ValueError, match=next(iter(bad))):
            published_options(small("stm"), **bad)
    with pytest.raises(ValueError, match="only RDE can"):
        published_options(small("stcn"), memory="gt-compress")
    assert published_options(small("rde")).memory == "two-frames-compress"
    assert published_options(small("rde", update="none")).memory == "growing"
