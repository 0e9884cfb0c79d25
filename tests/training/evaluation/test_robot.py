import numpy as np
import pytest

from training.evaluation.folders import MaskVideo
from training.evaluation.robot import Robot, longest_paths
from training.evaluation.scribbles import rasterise


def drawn(scribbles, shape):
    return rasterise(scribbles.frames[scribbles.annotated_frame], *shape)


def blob(shape=(60, 80)):
    truth = np.zeros((3, *shape), np.uint8)
    truth[:, 20:40, 10:60] = 1
    truth[:, 45:58, 60:78] = 2
    return truth


def test_a_missed_object_gets_a_line_along_its_middle():
    truth = blob()
    scribbles = Robot().correct("v", truth, np.zeros_like(truth), [1, 2], 1)
    assert scribbles.annotated_frame == 1 and [len(f) for f in scribbles.frames] == [0, 2, 0]
    pixels = drawn(scribbles, truth.shape[1:])
    rows, columns = np.nonzero(pixels == 1)
    assert 28 <= np.median(rows) <= 31
    assert columns.max() - columns.min() > 30
    assert set(np.unique(pixels)) == {-1, 1, 2}


def test_strokes_stay_on_the_errors_and_name_their_class():
    truth = blob()
    prediction = np.roll(truth, 12, axis=2)
    pixels = drawn(Robot().correct("v", truth, prediction, [1, 2], 0), truth.shape[1:])
    assert set(np.unique(pixels)) == {-1, 0, 1, 2}  # the background too
    on = pixels >= 0
    assert (truth[0][on] == pixels[on]).all() and (prediction[0][on] != pixels[on]).all()


def test_a_right_prediction_gets_no_scribbles():
    truth = blob()
    assert Robot().correct("v", truth, truth, [1, 2], 0).frames == ((), (), ())


def test_void_is_never_drawn_on():
    truth = blob().astype(np.int16)
    truth[truth == 2] = -1
    scribbles = Robot().correct("v", truth, np.ones_like(truth), [1], 0)
    pixels = drawn(scribbles, truth.shape[1:])
    assert (pixels == 0).any() and (truth[0][pixels >= 0] == 0).all()


def test_the_same_seed_draws_the_same():
    truth = blob()
    one, two = (Robot(seed=5).correct("v", truth, np.roll(truth, 9, 2), [1, 2], 0) for _ in range(2))
    assert [s.path.tolist() for s in one.frames[0]] == [s.path.tolist() for s in two.frames[0]]


def test_errors_thinner_than_the_pen_get_no_scribble():
    truth = np.zeros((1, 60, 300), np.uint8)
    truth[0, 30, :] = 1  # radius 0.15 * sqrt(300) / 2 = 1.3: no disk fits into a line
    assert Robot().correct("v", truth, np.zeros_like(truth), [1], 0).frames == ((),)
    truth[0, 30, 100:] = 0  # radius 0.75: not opened at all
    assert len(Robot().correct("v", truth, np.zeros_like(truth), [1], 0).frames[0]) == 1


def test_the_pen_gets_finer_until_it_fits():
    truth = np.zeros((1, 60, 320), np.uint8)
    truth[0, 30:36, 10:310] = 1  # 1800 pixels, 6 wide: the first radius, 3.2, is too much, the second, 2.9, is not
    pixels = drawn(Robot().correct("v", truth, np.zeros_like(truth), [1], 0), (60, 320))
    assert (pixels == 1).sum() > 280 and (truth[0][pixels == 1] == 1).all()


def test_a_whole_frame_of_error_is_drawn_on():
    truth = np.ones((1, 40, 60), np.uint8)
    pixels = drawn(Robot().correct("v", truth, np.zeros_like(truth), [1], 0), (40, 60))
    assert (pixels == 1).sum() >= 4


def test_coordinates_are_relative_to_the_frame_at_any_place_of_the_error():
    truth = np.zeros((1, 100, 200), np.uint8)
    truth[0, 70:90, 150:190] = 1
    near = drawn(Robot().correct("v", truth, np.zeros_like(truth), [1], 0), (100, 200))
    assert (truth[0][near == 1] == 1).all() and (near == 1).any()


def image(text):
    return np.array([[character == "x" for character in row] for row in text.split()])


@pytest.mark.parametrize(
    ("skeleton", "lengths"),
    [
        ("xxxxxxx ....... xxx....", [7]),  # the second piece has fewer than four pixels
        ("x..... .x.... ..xxxx ..x... ..x... ..x... ..x...", [8]),  # a branch: the longest way goes down the stem
        ("xxxxx x...x x...x xxxxx", [14]),  # a ring: the diagonals at its corners go first, then one step
        (".xx. x..x x..x .xx.", [8]),  # a ring without corners, cut once
        ("xxxx..xxxx", [4, 4]),
        ("xx xx", [4]),
    ],
)
def test_the_skeletons_longest_paths(skeleton, lengths):
    paths = longest_paths(image(skeleton), 4)
    assert [len(path) for path in paths] == lengths
    for path in paths:
        assert (np.abs(np.diff(path, axis=0)).max(axis=1) == 1).all()  # neighbours all along
        assert len({tuple(point) for point in path}) == len(path)


def test_first_scribbles_are_on_the_frame_that_shows_all_objects_best():
    truth = np.zeros((4, 60, 80), np.uint8)
    truth[:, 5:25, 5:45] = 1
    truth[1, 30:35, 5:15] = 2
    truth[2, 30:50, 5:45] = 2
    truth[3, 30:40, 5:15] = 2
    scribbles = Robot().begin("v", truth, [1, 2])
    assert scribbles.annotated_frame == 2
    pixels = drawn(scribbles, (60, 80))
    assert set(np.unique(pixels)) == {-1, 1, 2} and (truth[2][pixels > 0] == pixels[pixels > 0]).all()


@pytest.mark.parametrize("name", ["camel", "bmx-trees", "dance-twirl"])
def test_real_masks(davis, name):
    video = MaskVideo(davis / "Annotations" / "480p" / name)
    truth = np.stack([video.read(frame).ids for frame in video.names[::8]])
    prediction = np.roll(truth, 1, axis=0)
    for frame in range(1, len(truth), 3):
        pixels = drawn(Robot().correct(name, truth, prediction, [1], frame), truth.shape[1:])
        on = pixels >= 0
        assert on.any()
        assert (truth[frame][on] == pixels[on]).mean() > 0.98  # a curve may cut a corner
