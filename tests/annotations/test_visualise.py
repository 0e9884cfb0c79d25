"""Images of annotations show the right values, and the page of annotations matches the files."""

from pathlib import Path

import numpy as np
from PIL import Image

from bl30k_gen.annotations import visualise
from bl30k_gen.annotations.store import card
from bl30k_gen.dataset.derived import Flow, Tracks, every_kind

ROOT = Path(__file__).resolve().parents[2]


def test_near_is_light_and_background_is_grey():
    depth = np.array([[2.0, 4.0, np.nan]], np.float32)
    near, far, nothing = visualise.depth_image(depth)[0].astype(int)
    assert near.sum() > far.sum() and tuple(nothing) == visualise.INVALID
    assert (visualise.depth_image(depth * np.nan) == visualise.INVALID).all()


def test_flow_to_the_right_is_red_and_occluded_flow_is_darker():
    flow = np.array([[[3, 0], [0, 0], [-3, 0], [3, 0], [np.nan, np.nan]]], np.float32)
    valid = np.isfinite(flow[..., 0])
    hidden = np.array([[False, False, False, True, False]])
    right, still, left, darker, nothing = visualise.flow_image(Flow(flow, valid, hidden))[0].tolist()
    assert right == [255, 0, 0] and still == [255, 255, 255] and left[0] == 0
    assert darker[0] < 200 and darker[1:] == [0, 0] and tuple(nothing) == visualise.INVALID


def test_a_hidden_track_is_a_ring():
    rgb = np.zeros((160, 160, 3), np.uint8)
    places = np.array([[[40.0, 40.0]], [[120.0, 120.0]]], np.float32)
    queries = np.array([[0, 40, 40], [0, 120, 120]], np.float32)
    nothing = np.zeros((2, 1, 3), np.float32)
    visible = np.array([[True], [False]])
    tracks = Tracks(queries, np.zeros(2, np.uint8), places, visible, nothing[..., 0], nothing)
    drawn = visualise.tracks_image(np.repeat(np.repeat(rgb, 3, 0), 3, 1), tracks._replace(places=places * 3), 0)
    assert drawn[120, 120].any() and not drawn[360, 360].any() and drawn[355:366, 355:366].any()


def test_a_sheet_from_the_command_line(rendered, generate, tmp_path):
    done = generate("preview", rendered, "a00001", "--annotations", "--out", tmp_path, "--columns", 2)
    path = Path(done.stdout.splitlines()[-1])
    assert path == tmp_path / "annotations_a00001.png"
    with Image.open(path) as image:
        assert image.size == (
            visualise.CAPTION + 2 * (240 + visualise.GAP),
            7 * (150 + visualise.GAP) - visualise.GAP,
        )
        columns = np.asarray(image.convert("RGB"))[:, visualise.CAPTION :].reshape(image.height, -1)
    for row in range(7):
        assert columns[row * 154 : row * 154 + 150].std() > 5, "every row shows something"


def test_the_page_of_annotations_is_current():
    rows = [
        line for line in card([each for each in every_kind() if each.offset >= 0]).splitlines() if line[:1] == "|"
    ]
    page = (ROOT / "docs/annotations.md").read_text(encoding="utf-8")
    assert [row for row in rows if row not in page] == []
