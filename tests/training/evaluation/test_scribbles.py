import json

import numpy as np
import pytest

from bl30k_gen.errors import UserError
from training.evaluation.scribbles import (
    NO_STROKE,
    Stroke,
    bezier,
    rasterise,
    read_scribbles,
)


def test_json_of_davisinteractive_is_read(tmp_path):
    stroke = {"path": [[0.25, 0.5], [0.75, 0.5]], "object_id": 2, "start_time": 0.5, "end_time": 1.25}
    data = {"scribbles": [[], [stroke], []], "sequence": "camel", "annotated_frame": 1}
    (tmp_path / "001.json").write_text(json.dumps(data))
    scribbles = read_scribbles(tmp_path / "001.json")
    assert (scribbles.sequence, len(scribbles.frames), scribbles.annotated_frame) == ("camel", 3, 1)
    assert scribbles.frames[1][0].path.tolist() == stroke["path"] and scribbles.frames[1][0].end_time == 1.25


def test_annotated_frame_may_be_absent(tmp_path):
    stroke = {"path": [[0, 0]], "object_id": 1, "start_time": 0, "end_time": 0}
    (tmp_path / "a.json").write_text(json.dumps({"scribbles": [[], [stroke]], "sequence": "camel"}))
    assert read_scribbles(tmp_path / "a.json").annotated_frame == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"sequence": "x"}',
        '{"scribbles": [[{"path": [1, 2], "object_id": 1}]], "sequence": "x"}',
        '{"scribbles": [[]], "sequence": "x", "annotated_frame": 7}',
        '{"scribbles": [[]], "sequence": "x", "annotated_frame": 0.0}',
    ],
)
def test_other_files_are_refused(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError, match="a.json (holds no scribbles|holds a list|is not valid JSON)"):
        read_scribbles(tmp_path / "a.json")
    with pytest.raises(UserError, match="b.json cannot be read"):
        read_scribbles(tmp_path / "b.json")


def test_strokes_become_connected_pixels():
    strokes = [Stroke(np.array([[0.0, 0.0], [1.0, 0.0]]), 3), Stroke(np.array([[0.0, 0.0], [1.0, 1.0]]), 0)]
    canvas = rasterise(strokes, 5, 11)
    assert (canvas[0, 2:] == 3).all() and canvas[0, 0] == 0  # the later stroke covers the earlier
    assert canvas[4, 10] == 0 and (canvas == 0).sum() == 11  # one pixel a column
    assert (canvas[1:, 0] == NO_STROKE).all()


@pytest.mark.parametrize("width", [7, 480, 854, 1000])
def test_pixels_survive_normalising(width):
    x = np.arange(width)
    path = np.stack([x / (width - 1), np.zeros(width)], axis=1)
    for column in x[:: max(1, width // 50)]:
        assert np.flatnonzero(rasterise([Stroke(path[column : column + 1], 1)], 3, width)[0] == 1) == [column]


def test_points_between_pixels_are_truncated_and_outside_ones_moved_in():
    assert rasterise([Stroke(np.array([[0.49, 0.99]]), 1)], 3, 3)[1, 0] == 1
    assert rasterise([Stroke(np.array([[1.2, -0.5]]), 1)], 3, 3)[0, 2] == 1


def test_bezier_by_hand():
    line = bezier(np.array([[0, 0], [10, 20]]), 11)
    assert line == pytest.approx(np.stack([np.arange(11), 2 * np.arange(11)], axis=1))
    bow = bezier(np.array([[0, 0], [1, 2], [2, 0]]), 3)
    assert bow == pytest.approx(np.array([[0, 0], [1, 1], [2, 0]]))
    assert len(bezier(np.zeros((900, 2)))) == 1000 and np.isfinite(bezier(np.ones((1000, 2)))).all()
    assert len(bezier(np.zeros((1200, 2)))) == 1200
