import numpy as np
import pytest

from training.evaluation.metrics import boundary, boundary_radius, jaccard, score_frame, statistics


def square(top, left, height, width=None, size=(40, 40)):
    mask = np.zeros(size, bool)
    mask[top : top + height, left : left + (width or height)] = True
    return mask


def brute_force_f(truth, prediction):
    """F by its definition, pixel by pixel."""

    def edge(mask):
        height, width = mask.shape
        points = []
        for y in range(height):
            for x in range(width):
                neighbours = [(y, min(x + 1, width - 1)), (min(y + 1, height - 1), x)]
                if y + 1 < height and x + 1 < width:
                    neighbours.append((y + 1, x + 1))
                if any(mask[n] != mask[y, x] for n in neighbours):
                    points.append((y, x))
        return points

    def share(points, others):
        near = [any((y - v) ** 2 + (x - u) ** 2 <= radius**2 for v, u in others) for y, x in points]
        return sum(near) / len(near)

    radius = int(np.ceil(0.008 * np.sqrt(truth.shape[0] ** 2 + truth.shape[1] ** 2)))
    a, b = edge(truth), edge(prediction)
    if not a or not b:
        return float(len(a) == len(b))
    recall, precision = share(a, b), share(b, a)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def test_boundary_of_a_square_is_the_ring_half_a_pixel_up_and_left():
    ring = square(4, 4, 11) & ~square(5, 5, 9)
    assert np.array_equal(boundary(square(5, 5, 10)), ring)


def test_boundary_at_the_image_border():
    mask = np.zeros((3, 4), bool)
    mask[2, :3] = True  # last row
    expected = np.array([[0, 0, 0, 0], [1, 1, 1, 0], [0, 0, 1, 0]], bool)
    assert np.array_equal(boundary(mask), expected)
    assert np.array_equal(boundary(mask.T), expected.T)
    assert not boundary(np.ones((5, 5), bool)).any()


def test_radius_of_the_tolerance():
    assert boundary_radius(480, 854) == 8  # 0.008 * 979.65 = 7.84
    assert boundary_radius(1080, 1920) == 18
    assert boundary_radius(300, 400) == 4  # exactly 0.008 * 500


def boundary_f(truth, prediction):
    return score_frame(truth.astype(np.uint8), prediction.astype(np.uint8), [1])[0, 1]


@pytest.mark.parametrize(
    ("prediction", "j", "f"),
    [
        (square(5, 5, 10), 1, 1),
        (square(5, 6, 10), 90 / 110, 1),  # one pixel to the right: within the tolerance of one pixel
        (square(5, 7, 10), 80 / 120, 22 / 40),  # two pixels: 10 of each long side and 2 corners match, of 40
        (square(4, 4, 12), 100 / 144, 22 / 23),  # dilated by one: all but the 4 corners of 48 match
        (square(6, 6, 8), 64 / 100, 2 * (36 / 40) / (36 / 40 + 1)),  # eroded by one: the truth's corners miss
        (square(5, 25, 10), 0, 0),
        (np.zeros((40, 40), bool), 0, 0),
    ],
)
def test_scores_by_hand(prediction, j, f):
    truth = square(5, 5, 10)
    assert jaccard(truth, prediction) == pytest.approx(j)
    assert boundary_f(truth, prediction) == pytest.approx(f)
    assert score_frame(truth.astype(np.uint8), prediction.astype(np.uint8), [1])[0] == pytest.approx([j, f])
    assert score_frame(prediction.astype(np.uint8), truth.astype(np.uint8), [1])[0] == pytest.approx([j, f])


def test_empty_masks():
    empty, full = np.zeros((20, 20), bool), np.ones((20, 20), bool)
    assert (jaccard(empty, empty), boundary_f(empty, empty)) == (1, 1)
    assert (jaccard(full, empty), boundary_f(full, empty)) == (0, 1)  # neither has a boundary


def test_f_equals_the_definition():
    random = np.random.default_rng(0)
    for _ in range(60):
        size = tuple(random.integers(2, 30, 2))
        truth, prediction = (random.random(size) < random.choice([0.03, 0.5, 0.95]) for _ in range(2))
        assert boundary_f(truth, prediction) == pytest.approx(brute_force_f(truth, prediction))


def test_f_equals_the_definition_with_a_wide_tolerance():
    random = np.random.default_rng(1)
    truth, prediction = (np.zeros((200, 300), bool) for _ in range(2))
    for mask in (truth, prediction):
        for _ in range(3):
            y, x, h, w = random.integers([0, 0, 2, 2], [180, 280, 20, 20])
            mask[y : y + h, x : x + w] = True
    assert boundary_f(truth, prediction) == pytest.approx(brute_force_f(truth, prediction))


def test_objects_are_scored_separately():
    truth = (square(5, 5, 10) + 2 * square(25, 5, 10)).astype(np.uint8)
    prediction = (square(5, 5, 10) + 2 * square(25, 6, 10) + 3 * square(25, 25, 5)).astype(np.uint8)
    scores = score_frame(truth, prediction, [1, 2, 4])
    assert scores == pytest.approx(np.array([[1, 1], [90 / 110, 1], [1, 1]]))


def test_void_pixels_count_for_neither_side():
    truth, prediction = square(5, 5, 10), square(5, 5, 10, 12)
    void = square(0, 15, 40, 10)
    assert score_frame(truth, prediction, [True], void)[0] == pytest.approx([1, 1])
    assert jaccard(truth, prediction, void) == 1
    assert jaccard(truth, prediction) == pytest.approx(100 / 120)


def test_sizes_must_agree():
    with pytest.raises(ValueError, match=r"\(4, 5\).*\(5, 4\)"):
        score_frame(np.zeros((4, 5)), np.zeros((5, 4)), [1])


def test_statistics_by_hand():
    mean, recall, decay = statistics(np.array([1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3]))
    assert mean == pytest.approx(0.65)
    assert recall == 5 / 8  # one half itself is no success
    assert decay == pytest.approx(0.9 - 0.4)  # frames 1 to 3 minus frames 6 to 8


def test_decay_of_a_long_video_uses_its_last_quarter():
    values = np.concatenate([np.ones(300), np.zeros(100)])
    assert statistics(values).decay == pytest.approx(1, abs=0.02)


def test_statistics_of_one_frame():
    assert statistics(np.array([0.75])) == (0.75, 1, 0)
