import numpy as np
import pytest
from scipy.ndimage import label

from bl30k_gen.seeding import rng
from training.data.perturb import dilate, erode, erode_in_places, perturb
from training.data.scribbles import Scribbler
from training.schema.stage import load_stage

SIZE = 160


@pytest.fixture(scope="module")
def numbers():
    return load_stage("s2m/static").scribbles


@pytest.fixture(scope="module")
def scribbler(numbers):
    return Scribbler(numbers, SIZE)


def ellipse(cx: float, cy: float, rx: float, ry: float) -> np.ndarray:
    y, x = np.mgrid[:SIZE, :SIZE]
    return ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 < 1


def near(region: np.ndarray, distance: int) -> np.ndarray:
    return dilate(region, np.ones((2 * distance + 1,) * 2, bool))


TRUTH = ellipse(70, 80, 45, 30)


@pytest.mark.parametrize("kind", ["boundary", "thinned", "curves", "robot", "free"])
def test_scribbles_of_each_kind_stay_on_their_region_and_cover_little_of_it(scribbler, kind):
    drawn = [getattr(scribbler, kind)(TRUTH, rng(0, kind, n)) for n in range(12)]
    assert sum(d.any() for d in drawn) >= 9 and len({d.tobytes() for d in drawn}) >= (1 if kind == "robot" else 9)
    for scribble in drawn:
        assert scribble.dtype == bool and not (scribble & ~near(TRUTH, 2)).any()
        assert scribble.sum() < 0.5 * TRUTH.sum()
    assert np.array_equal(getattr(scribbler, kind)(TRUTH, rng(0, kind, 3)), drawn[3])


def test_the_skeleton_and_the_robot_keep_to_the_middle_and_the_boundary_to_the_border(scribbler):
    core = ellipse(70, 80, 42, 8)
    for kind in ("thinned", "robot"):
        drawn = np.logical_or.reduce([getattr(scribbler, kind)(TRUTH, rng(1, kind, n)) for n in range(6)])
        assert (drawn & core).sum() > 0.9 * drawn.sum(), kind
    for n in range(6):
        assert not (scribbler.boundary(TRUTH, rng(2, n)) & ellipse(70, 80, 20, 6)).any()


def test_missing_parts_get_positive_and_surplus_parts_negative_scribbles(scribbler, numbers):
    """Unless curves are drawn freely: then anywhere on the object and beside it."""
    bound = Scribbler(numbers.model_copy(update={"free": 0.0}), SIZE)
    before = ellipse(95, 80, 45, 30)
    robots = 0
    for n in range(7):
        positive, negative = bound.correct(before, TRUTH, rng(3, n))
        assert positive.any() or negative.any()
        assert not (positive & ~near(TRUTH & ~before, 3)).any()
        assert not (negative & ~near(before & ~TRUTH, 3)).any()
        free = scribbler.correct(before, TRUTH, rng(3, n))
        assert not (free[0] & ~near(TRUTH, 3)).any() and not (free[1] & ~near(~TRUTH, 3)).any()
        stream = rng(3, n)
        if stream.random() < numbers.robot:
            robots += 1
            assert np.array_equal(positive, bound.robot(TRUTH & ~before, stream))
    assert 3 <= robots < 7


def test_without_a_mask_the_object_is_scribbled_on_and_never_by_the_robot(numbers):
    only_robot = Scribbler(numbers.model_copy(update={"robot": 1.0, "free": 0.0}), SIZE)
    nothing = np.zeros_like(TRUTH)
    drawn = [only_robot.correct(nothing, TRUTH, rng(4, n)) for n in range(8)]
    assert all(not (d[0] & ~near(TRUTH, 3)).any() for d in drawn) and sum(d[0].any() for d in drawn) >= 7
    assert len({d[0].tobytes() for d in drawn}) == 8


def test_a_perfect_mask_gets_free_curves_on_both_sides(numbers):
    bound = Scribbler(numbers.model_copy(update={"robot": 0.0, "free": 0.0}), SIZE)
    positive, negative = bound.correct(TRUTH, TRUTH, rng(5))
    assert (positive & TRUTH).sum() > 30 and (negative & ~TRUTH).sum() > 30
    whole = np.ones_like(TRUTH)
    positive, negative = bound.correct(whole, whole, rng(5))
    assert positive.any() and not negative.any()


def test_every_large_piece_is_scribbled_on(numbers):
    bound = Scribbler(numbers.model_copy(update={"kinds": numbers.kinds.model_copy(update={"boundary": 0.0})}), SIZE)
    two = ellipse(40, 40, 25, 20) | ellipse(120, 120, 20, 25)
    speck = two.copy()
    speck[10, 150] = True  # less than 10 pixels at full size
    hit = [label(two & bound.regions(speck, rng(6, n)))[1] > 0 for n in range(6)]
    assert all(hit)
    for n in range(6):
        drawn = bound.regions(speck, rng(6, n))
        assert not drawn[:20, 140:].any()


def test_sizes_grow_with_the_crop(numbers):
    """The relative depth of scribbles inside a region does not depend on the size of the crop."""

    def depth(size: int) -> float:
        wide = numbers.model_copy(update={"depth": (49, 49)})
        region = np.zeros((size, size), bool)
        region[size // 8 : -size // 8, size // 8 : -size // 8] = True
        drawn = np.logical_or.reduce([Scribbler(wide, size).boundary(region, rng(7, n)) for n in range(4)])
        return np.flatnonzero(drawn.any(1))[0] / size - 1 / 8

    assert depth(480) == pytest.approx(24.5 / 480, abs=0.005) and depth(96) == pytest.approx(depth(480), abs=0.02)


def test_perturbed_masks_reach_the_target_iou():
    for n in range(6):
        wanted = rng(8, n).uniform(0.4, 0.95)
        worse = perturb(TRUTH, wanted, rng(9, n))
        iou = (worse & TRUTH).sum() / (worse | TRUTH).sum()
        assert wanted - 0.25 < iou < wanted
    assert not perturb(np.zeros_like(TRUTH), 0.5, rng(0)).any()


def test_erosion_ignores_the_border_of_the_image():
    whole = np.ones((20, 20), bool)
    assert erode(whole, np.ones((5, 5), bool)).all() and erode_in_places(whole, rng(0), 5).all()
    assert erode(TRUTH, np.ones((3, 3), bool)).sum() < TRUTH.sum()
    assert not (erode_in_places(TRUTH, rng(1), 5) & ~TRUTH).any()
