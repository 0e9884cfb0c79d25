"""Depth, flow and tracks of rendered videos: files equal the annotations."""

import io
import json
import pickle
import shutil

import cv2
import h5py
import numpy as np
import OpenEXR
import pycolmap
import pytest
import torchvision
import trimesh
from PIL import Image

from bl30k_gen.annotations import store as storing
from bl30k_gen.dataset.derived import parse_wanted
from bl30k_gen.dataset.reader import open_dataset
from bl30k_gen.errors import UserError
from bl30k_gen.export import point_tracks
from tests.export.conftest import run

NAME, SPLIT = "a00000", "train"


@pytest.fixture(scope="module")
def real(rendered):
    return open_dataset(rendered)


@pytest.fixture
def written(real, tmp_path):
    def make(name, *options):
        run(real, name, tmp_path / name, *options, names=[NAME])
        return tmp_path / name / SPLIT

    return make


def test_flow_as_sintel_is_what_torchvision_reads(written, real):
    place = written("flow")
    data = torchvision.datasets.Sintel(str(place), split="train", pass_name="clean")
    assert len(data) == 5
    for i, (one, two, read) in enumerate(data):
        flow, valid, occluded = real.read_flow(NAME, i)
        assert (np.asarray(one) == real.read_rgb(NAME, i)).all() and (
            np.asarray(two) == real.read_rgb(NAME, i + 1)
        ).all()
        read = read.transpose(1, 2, 0)
        assert (read[valid] == flow[valid]).all() and (np.abs(read[~valid]) > 1e9).all()
        name = f"{NAME}/frame_000{i + 1}.png"
        for kind, where in (("occlusions", occluded), ("invalid", ~valid)):
            assert ((np.asarray(Image.open(place / "Sintel/training" / kind / name)) == 255) == where).all()


def test_flow_backwards_as_flo5(written, real):
    place = written("flow", "encoding=flo5", "offset=-1")
    assert sorted(p.stem for p in (place / f"flow/{NAME}").iterdir()) == real.frames(NAME)[1:]
    with h5py.File(place / f"flow/{NAME}/00003.flo5") as file:
        assert np.array_equal(file["flow"][()], real.read_flow(NAME, 3, -1).flow, equal_nan=True)
    assert (place / f"frames/{NAME}/00005.jpg").read_bytes() == real.rgb_bytes(NAME, 5)


def test_flow_as_kitti_is_what_torchvision_reads(written, real):
    place = written("flow", "encoding=kitti")
    data = torchvision.datasets.KittiFlow(str(place), split="train")
    assert len(data) == 5
    for i, (one, two, read, known) in enumerate(data):
        flow, valid, occluded = real.read_flow(NAME, i)
        assert (np.asarray(one) == real.read_rgb(NAME, i)).all() and (
            np.asarray(two) == real.read_rgb(NAME, i + 1)
        ).all()
        assert (known == valid).all()
        assert np.abs(read.transpose(1, 2, 0) - flow)[valid].max() <= 1 / 128 + 1e-6
        stored = cv2.imread(str(place / f"KittiFlow/training/flow_noc/{NAME}_0000{i}_10.png"), cv2.IMREAD_UNCHANGED)
        assert ((stored[..., 0] == 1) == (valid & ~occluded)).all()


def test_layouts_of_the_next_frame_take_no_other(real, tmp_path):
    with pytest.raises(UserError, match="offset=-1: give encoding=flo5"):
        run(real, "flow", tmp_path / "o", "offset=-1")


def test_depth_as_png_and_exr(written, real):
    place = written("depth")
    metres = real.read_depth(NAME, 2)
    read = np.asarray(Image.open(place / f"depth/{NAME}/00002.png")) / 1000
    assert np.abs(read - metres)[read > 0].max() <= 0.0005 + 1e-5 and ((read == 0) == np.isnan(metres)).all()
    lines = np.loadtxt(place / f"cameras/{NAME}.txt")
    camera = real.metadata(NAME)["camera"]
    assert lines[3, 4:].reshape(3, 4) == pytest.approx(np.array(camera["extrinsics"][3])[:3])
    assert lines[3, [0, 2]] == pytest.approx(np.array(camera["intrinsics"])[0, [0, 2]])


def test_depth_as_exr(written, real):
    place = written("depth", "encoding=exr")
    with OpenEXR.File(str(place / f"depth/{NAME}/00004.exr")) as file:
        assert np.array_equal(file.channels()["Z"].pixels, real.read_depth(NAME, 4), equal_nan=True)


def test_depth_that_does_not_fit_names_the_frame_and_the_remedy(real, tmp_path):
    with pytest.raises(UserError, match=r"a00000/00000: depths of .* do not fit .*: choose another --set scale"):
        run(real, "depth", tmp_path / "o", "scale=20000", names=[NAME])


def test_tap_vid(written, real):
    place = written("tap-vid")
    found = real.read_tracks(NAME)
    with np.load(place / f"{NAME}.npz", allow_pickle=False) as read:
        known = np.isfinite(found.places)
        assert (read["points"] * [128, 80])[known] == pytest.approx(found.places[known], abs=1e-3)
        assert (read["occluded"] == ~found.visible).all()
        for query, track in zip(read["queries"], read["points"] * [128, 80], strict=True):
            assert track[int(query[0])] == pytest.approx(query[1:], abs=1e-3)
    assert not list(place.rglob("*.pkl")) and len(list((place / "frames" / NAME).iterdir())) == 6


def test_tap_vid_as_published_only_when_asked_for(generate, rendered, real, tmp_path):
    generate("export", rendered, "--to", "tap-vid", "--out", tmp_path / "o", "--pickle", "--video", NAME)
    (name, example), *others = pickle.loads((tmp_path / f"o/train/{NAME}.pkl").read_bytes()).items()
    assert name == NAME and not others
    assert (example["video"] == np.stack([real.read_rgb(NAME, i) for i in range(6)])).all()
    assert example["points"].dtype == np.float32 and example["occluded"].dtype == bool


def test_cotracker(written, real):
    place = written("cotracker", "points=300", "pickle=true") / NAME
    with np.load(place / f"{NAME}.npz", allow_pickle=False) as read:
        coords, hidden = read["coords"], read["visibility"]
    published = np.load(io.BytesIO((place / f"{NAME}.npy").read_bytes()), allow_pickle=True).item()
    assert (published["coords"] == coords).all() and (published["visibility"] == hidden).all()
    assert 250 < len(coords) <= 300 and np.isfinite(coords).all()
    inside = ((coords >= 0) & (coords <= [128, 80])).all(-1)
    assert not (~hidden & ~inside).any(), "what is seen is in the image"
    assert sorted(p.name for p in (place / "frames").iterdir()) == [f"0000{i}.jpg" for i in range(6)]


def alltracker_samples(root, depth, seq_len):
    """The rules by which AllTracker's loaders find and read their files, written anew from their sources.

    Its KubricMovifDataset has ``depth`` 2, its ExportDataset 3. Gives frames, points and visibility of each video.
    """
    found = []
    for folder in sorted(root.glob("/".join("*" * depth))):
        frames = sorted((folder / "frames").iterdir())
        if (folder / "annot.npy").is_file() and len(frames) >= seq_len:
            annotation = np.load(folder / "annot.npy", allow_pickle=True).item()
            valid = annotation["point_xys_valid"].sum(0) == len(frames) if depth == 2 else slice(None)
            images = np.stack([np.asarray(Image.open(frame)) for frame in frames])
            found.append((images, annotation["point_xys"][:, valid], annotation["point_visibs"][:, valid]))
    return found


def test_alltracker(written, real):
    place = written("alltracker", "points=300", "pickle=true")
    assert not alltracker_samples(place / "bl30k", 2, seq_len=7)
    samples = alltracker_samples(place / "bl30k", 2, seq_len=6), alltracker_samples(place, 3, seq_len=6)
    for (images, points, visible), *others in samples:
        assert not others and points.dtype == visible.dtype == np.float32
        assert (images == np.stack([real.read_rgb(NAME, i) for i in range(6)])).all()
        assert points.shape == (6, visible.shape[1], 2) and 250 < visible.shape[1] <= 300
        assert set(np.unique(visible)) == {0, 1}
        ids = np.stack([real.read_mask(NAME, i).ids for i in range(6)])
        frame, point = np.nonzero(visible)
        x, y = points[frame, point].round().astype(int).T
        assert (x >= 0).all() and (x <= 127).all() and (y >= 0).all() and (y <= 79).all()
        on_objects = ids[frame, y, x] > 0
        assert on_objects.any() and not on_objects.all()
    with np.load(place / f"bl30k/videos/{NAME}/annot.npz", allow_pickle=False) as read:
        assert np.array_equal(read["point_xys"], samples[0][0][1])


def test_alltracker_counts_from_the_centre_of_the_first_pixel(written, real):
    place = written("alltracker", "points=256")
    assert not list(place.rglob("*.npy"))
    with np.load(place / f"bl30k/videos/{NAME}/annot.npz", allow_pickle=False) as read:
        points, visible = read["point_xys"], read["point_visibs"]
    found = real.read_tracks(NAME)
    always = np.isfinite(found.places).all((1, 2))
    assert np.abs(points + 0.5 - found.places[always].transpose(1, 0, 2)).max() < 1e-4
    assert (visible == found.visible[always].T).all()


def test_pips(written, real):
    place = written("pips") / NAME
    with np.load(place / "track.npz", allow_pickle=False) as read:
        track = read["track_g"]
    found = real.read_tracks(NAME)
    assert track.shape == (6, len(found.places), 4)
    assert (track[..., 2].T == found.visible).all()
    assert cv2.VideoCapture(str(place / "rgb.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == 6


def test_bop_with_whole_silhouettes(written, real):
    scene = written("bop", "amodal=true") / "000000"
    infos = json.loads((scene / "scene_gt_info.json").read_text())
    for i in range(6):
        amodal, order = real.read_amodal(NAME, i), real.read_order(NAME, i)
        for number, info in enumerate(infos[str(i)]):
            visible, whole = (
                np.asarray(Image.open(scene / f"{kind}/{i:06d}_{number:06d}.png")) == 255
                for kind in ("mask_visib", "mask")
            )
            assert (whole == amodal[number] | visible).all() and info["px_count_all"] == whole.sum()
            if whole.sum() > 20:
                assert info["visib_fract"] == pytest.approx(order.visible_fraction[number], abs=0.05)


def test_bop_models_and_poses_cover_the_boxes(written, real):
    """Vertices of the exported models under the exported rigid poses fill the objects' amodal boxes."""
    scene = written("bop", "models=true") / "000000"
    poses, cameras = (json.loads((scene / f"scene_{kind}.json").read_text()) for kind in ("gt", "camera"))
    models = scene.parents[1] / "models"
    info = json.loads((models / "models_info.json").read_text())
    assert {path.stem for path in models.glob("*.ply")} == {f"obj_{int(id):06d}" for id in info}
    for i in (0, 4):
        boxes = real.read_boxes(NAME, i).amodal
        k = np.reshape(cameras[str(i)]["cam_K"], (3, 3))
        for number, pose in enumerate(poses[str(i)]):
            mesh = trimesh.load(models / f"obj_{pose['obj_id']:06d}.ply", process=False)
            said = info[str(pose["obj_id"])]
            assert i or pose["scale"] == pytest.approx([1, 1, 1], abs=1e-5)  # later ones may change
            assert said["size_x"] == pytest.approx(np.ptp(mesh.vertices[:, 0]), rel=1e-5)
            span = np.linalg.norm(mesh.vertices[:, None] - mesh.vertices[::7], axis=-1).max()
            assert span * 0.999 <= said["diameter"] <= np.linalg.norm(np.ptp(mesh.vertices, axis=0)) * 1.00001
            seen = (mesh.vertices * pose["scale"]) @ np.reshape(pose["cam_R_m2c"], (3, 3)).T + pose["cam_t_m2c"]
            flat = (seen @ k.T)[:, :2] / seen[:, 2:] + 0.5
            assert [*flat.min(axis=0), *flat.max(axis=0)] == pytest.approx(boxes[number], abs=0.02)


def test_colmap_points_are_seen_where_colmap_projects_them(written, real):
    place = written("colmap", "points=60") / NAME
    model = pycolmap.Reconstruction(str(place / "sparse/0"))
    assert 20 <= model.num_points3D() <= 60
    for point in model.points3D.values():
        assert len(point.track.elements) >= 1
        for element in point.track.elements:
            image = model.images[element.image_id]
            at = image.points2D[element.point2D_idx]
            assert image.project_point(point.xyz) == pytest.approx(at.xy, abs=2e-3)
            column, row = np.floor(at.xy).astype(int)
            assert real.read_mask(NAME, element.image_id - 1).ids[row, column] == 0 or min(at.xy % 1) < 0.5


def test_stored_annotations_are_used(generate, rendered, real, tmp_path, monkeypatch):
    storing.write(real, [parse_wanted("depth"), parse_wanted("tracks")], tmp_path / "stored", [NAME])
    store = open_dataset(rendered, annotations=tmp_path / "stored")
    monkeypatch.setattr(point_tracks, "open_video", None)  # would derive them
    run(store, "tap-vid", tmp_path / "tracks", names=[NAME])
    shutil.rmtree(tmp_path / "stored/depth")
    with pytest.raises(UserError, match="depth/a00000.h5 does not exist"):
        run(store, "depth", tmp_path / "depth", names=[NAME])
    generate(
        "export",
        rendered,
        "--to",
        "tap-vid",
        "--out",
        tmp_path / "o",
        "--video",
        NAME,
        "--annotations",
        tmp_path / "stored",
        "--json",
    )


def test_zero_is_not_a_frame_offset(real, tmp_path):
    with pytest.raises(UserError, match="offset = 0"):
        run(real, "flow", tmp_path / "o", "offset=0")
    frames = len(real.frames(real.videos[0]))
    with pytest.raises(UserError, match=f"has {frames} frames, none [+]{frames} from another"):
        run(real, "flow", tmp_path / "o", "encoding=flo5", f"offset={frames}")
