"""Flow, depth and tracks in files, read back as their definitions say: exact, or within the format's precision."""

import io
import pickle
import struct

import cv2
import h5py
import numpy as np
import OpenEXR
import pytest
from PIL import Image

from bl30k_gen.export.encoders import depth, flow, tracks


@pytest.fixture
def motion():
    random = np.random.default_rng(0)
    moved = random.normal(0, 40, (20, 31, 2)).astype(np.float32)
    valid = random.random((20, 31)) < 0.8
    moved[~valid] = np.nan
    return moved, valid


def read_flo(data):
    """As the readme of Middlebury's flow code describes it."""
    assert data[:4] == b"PIEH"
    width, height = struct.unpack("<ii", data[4:12])
    values = np.frombuffer(data, "<f4", offset=12).reshape(height, width, 2)
    return values, (np.abs(values) <= 1e9).all(-1)


def test_flo_is_exact(motion):
    moved, valid = motion
    values, known = read_flo(flow.flo(moved, valid))
    assert (known == valid).all() and (values[valid] == moved[valid]).all()


def test_flo_is_what_opencv_reads(motion, tmp_path):
    moved, valid = motion
    (tmp_path / "x.flo").write_bytes(flow.flo(moved, valid))
    read = cv2.readOpticalFlow(str(tmp_path / "x.flo"))
    assert (read[valid] == moved[valid]).all()


def test_flo5_is_exact_and_the_same_bytes_each_time(motion):
    moved, valid = motion
    data = flow.flo5(moved, valid)
    with h5py.File(io.BytesIO(data)) as file:
        read = file["flow"][()]
    assert read.dtype == np.float32 and np.array_equal(read, moved, equal_nan=True)
    assert (np.isfinite(read).all(-1) == valid).all() and data == flow.flo5(moved, valid)


def read_kitti(data):
    """As the devkit's readme describes it."""
    stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)[..., ::-1]
    assert stored.dtype == np.uint16
    return (stored[..., :2].astype(np.float64) - 2**15) / 64, stored[..., 2] == 1


def test_kitti_keeps_flow_to_half_a_step(motion):
    moved, valid = motion
    data, lost = flow.kitti(moved, valid)
    values, known = read_kitti(data)
    assert lost == 0 and (known == valid).all()
    assert np.abs(values[valid] - moved[valid]).max() <= 1 / 128


def test_kitti_names_motion_beyond_its_range(motion):
    moved, valid = motion
    moved[3, 4], valid[3, 4] = (600, 0), True
    data, lost = flow.kitti(moved, valid)
    assert lost == 1 and not read_kitti(data)[1][3, 4]


@pytest.fixture
def metres():
    random = np.random.default_rng(1)
    values = random.uniform(0.5, 60, (20, 31)).astype(np.float32)
    values[random.random((20, 31)) < 0.1] = np.nan
    return values


@pytest.mark.parametrize("scale", [1000, 256])
def test_depth_png_keeps_half_a_step(metres, scale):
    data = depth.png(metres, scale)
    read = np.asarray(Image.open(io.BytesIO(data)))
    assert read.dtype == np.uint16 and ((read == 0) == np.isnan(metres)).all()
    assert np.nanmax(np.abs(read / scale - metres)[read > 0]) <= 0.5 / scale + 1e-5
    assert (cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) == read).all()


def test_depth_that_does_not_fit_is_refused(metres):
    with pytest.raises(ValueError, match="do not fit into 16 bits with scale 5000"):
        depth.png(metres, 5000)
    with pytest.raises(ValueError, match="do not fit"):
        depth.png(np.array([[1e-5]], np.float32), 1000)
    assert not np.asarray(Image.open(io.BytesIO(depth.png(np.full((2, 2), np.nan, np.float32), 1000)))).any()


def test_depth_exr_is_exact(metres, tmp_path):
    depth.exr(tmp_path / "x.exr", metres)
    with OpenEXR.File(str(tmp_path / "x.exr")) as file:
        read = file.channels()["Z"].pixels
    assert read.dtype == np.float32 and np.array_equal(read, metres, equal_nan=True)


@pytest.fixture
def points():
    random = np.random.default_rng(2)
    return random.uniform(-20, 140, (7, 5, 2)).astype(np.float32), random.random((7, 5)) < 0.6


def test_tapvid_points_come_back_at_any_resolution(points):
    places, visible = points
    places[2, 3], visible[2, 3] = np.nan, False
    made = np.load(io.BytesIO(tracks.npz(tracks.tapvid(places, visible, (64, 96)))), allow_pickle=False)
    assert made["points"].dtype == np.float32 and made["occluded"].dtype == bool
    assert (made["occluded"] == ~visible).all() and np.isfinite(made["points"]).all()
    known = np.isfinite(places)
    assert (made["points"] * [96, 64])[known] == pytest.approx(places[known], abs=1e-4)


def test_pickled_layouts_load_in_their_readers(points):
    places, visible = points
    data = tracks.pickled({"a": tracks.tapvid(places, visible, (64, 96))})
    assert (pickle.loads(data)["a"]["occluded"] == ~visible).all()
    read = np.load(io.BytesIO(tracks.pickled_npy(tracks.cotracker(places, visible))), allow_pickle=True).item()
    assert (read["coords"] == places).all() and (np.logical_not(read["visibility"]) == visible).all()


@pytest.mark.parametrize("encode", [tracks.cotracker, tracks.alltracker])
def test_layouts_without_validity_have_no_unknown_places(points, encode):
    places, visible = points
    places[0, 0] = np.nan
    with pytest.raises(ValueError, match="without a place"):
        encode(places, visible)


def test_pips_has_frames_first(points):
    places, visible = points
    valid = np.ones_like(visible)
    track = tracks.pips(places, visible, valid)["track_g"]
    assert track.shape == (5, 7, 4)
    assert (track[3, 2, :2] == places[2, 3]).all() and track[3, 2, 2] == visible[2, 3] and (track[..., 3] == 1).all()


def test_no_objects_in_a_file_without_pickle():
    with pytest.raises(ValueError, match="array of objects"):
        tracks.npz({"a": np.array([{}], dtype=object)})
