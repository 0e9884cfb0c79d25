"""COLMAP and BOP project points of the world and of models to the same pixels as our own matrices."""

import json
import shutil

import numpy as np
import pycolmap
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from bl30k_gen.dataset.reader import open_dataset
from bl30k_gen.errors import UserError
from bl30k_gen.scene.trajectory import intrinsics
from tests.export.conftest import run
from tests.support.synthetic import FRAMES, HEIGHT, WIDTH


def rigid(random, away):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.random(random_state=random).as_matrix()
    matrix[:3, 3] = random.normal(size=3) + [0, 0, away]
    return matrix


@pytest.fixture(scope="module")
def posed(places, tmp_path_factory):
    """The dataset with rotating cameras and objects of non-uniform, changing scale."""
    root = tmp_path_factory.mktemp("posed") / "data"
    shutil.copytree(places.root, root)
    random = np.random.RandomState(4)
    for path in (root / "Metadata").glob("*.json"):
        values = json.loads(path.read_text())
        values["camera"]["intrinsics"] = intrinsics(0.75, WIDTH, HEIGHT).tolist()
        values["camera"]["extrinsics"] = [rigid(random, 12).round(7).tolist() for _ in range(FRAMES)]
        for thing in values["objects"]:
            poses = [rigid(random, 0) @ np.diag([*random.uniform(0.3, 3, 3), 1]) for _ in range(FRAMES)]
            thing["poses"] = np.round(poses, 7).tolist()
        path.write_text(json.dumps(values))
    return open_dataset(root)


def pixel(values, i, point):
    """The pixel of a world point in frame ``i``; centres of pixels at +0.5."""
    x = np.array(values["camera"]["intrinsics"]) @ (np.array(values["camera"]["extrinsics"][i]) @ [*point, 1])[:3]
    return x[:2] / x[2]


def test_colmap_itself_projects_to_the_same_pixels(posed, tmp_path):
    run(posed, "colmap", tmp_path / "o")
    for name, split in (("a00001", "train"), ("a00002", "val")):
        values = posed.metadata(name)
        place = tmp_path / "o" / split / name
        model = pycolmap.Reconstruction(str(place / "sparse/0"))
        assert model.num_images() == FRAMES and model.num_points3D() == 0
        for i in range(FRAMES):
            image = model.images[i + 1]
            assert (place / "images" / image.name).read_bytes() == posed.rgb_bytes(name, i)
            for point in ([0.1, 0.2, -0.3], [-0.5, 0.1, 0.4]):
                assert image.project_point(np.array(point)) == pytest.approx(pixel(values, i, point), abs=1e-4)
            still = np.asarray(Image.open(place / "masks" / f"{image.name}.png"))
            assert still.dtype == np.uint8 and ((still == 255) == (posed.read_mask(name, i).ids == 0)).all()


def test_bop_poses_and_cameras_agree_with_ours(posed, tmp_path):
    run(posed, "bop", tmp_path / "o")
    scenes = json.loads((tmp_path / "o/scenes.json").read_text())
    assert scenes == {"000000": "a00000", "000001": "a00001", "000002": "a00002"}
    name, place = "a00001", tmp_path / "o/train/000001"
    values = posed.metadata(name)
    cameras, poses, infos, described = (
        json.loads((place / f"{file}.json").read_text())
        for file in ("scene_camera", "scene_gt", "scene_gt_info", "objects")
    )
    for i in range(FRAMES):
        k = np.reshape(cameras[str(i)]["cam_K"], (3, 3))
        for number, (pose, info) in enumerate(zip(poses[str(i)], infos[str(i)], strict=True)):
            rotation, translation = np.reshape(pose["cam_R_m2c"], (3, 3)), np.array(pose["cam_t_m2c"])
            assert rotation @ rotation.T == pytest.approx(np.eye(3), abs=1e-6) and np.linalg.det(rotation) > 0
            own = np.array([0.2, -0.1, 0.3])  # metres of the model, before its scale
            seen = k @ (rotation @ (own * pose["scale"] * 1000) + translation)
            world = (np.array(values["objects"][number]["poses"][i]) @ [*own, 1])[:3]
            assert seen[:2] / seen[2] + 0.5 == pytest.approx(pixel(values, i, world), abs=1e-3)
            w2c, t = np.reshape(cameras[str(i)]["cam_R_w2c"], (3, 3)), cameras[str(i)]["cam_t_w2c"]
            again = k @ (w2c @ (world * 1000) + t)
            assert again[:2] / again[2] + 0.5 == pytest.approx(pixel(values, i, world), abs=1e-4)
            mask = np.asarray(Image.open(place / f"mask_visib/{i:06d}_{number:06d}.png")) > 0
            mask_id = described[str(pose["obj_id"])]["mask_id"]
            assert (mask == (posed.read_mask(name, i).ids == mask_id)).all()
            assert info["px_count_visib"] == mask.sum()
            if mask.any():
                y, x = np.nonzero(mask)
                assert info["bbox_visib"] == [x.min(), y.min(), np.ptp(x), np.ptp(y)]
            else:
                assert info["bbox_visib"] == [-1, -1, -1, -1]
        assert (place / f"rgb/{i:06d}.jpg").read_bytes() == posed.rgb_bytes(name, i)
    ids = {
        int(k)
        for scene in ("train/000000", "train/000001", "val/000002")
        for k in json.loads((tmp_path / "o" / scene / "objects.json").read_text())
    }
    assert len(ids) == 9


@pytest.mark.parametrize("name", ["colmap", "bop"])
def test_a_dataset_without_cameras_is_refused(places, tmp_path, name):
    shutil.copytree(places.root, tmp_path / "data", ignore=shutil.ignore_patterns("Metadata"))
    with pytest.raises(UserError, match="needs cameras and poses"):
        run(open_dataset(tmp_path / "data"), name, tmp_path / "o")
