import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from bl30k_gen.errors import UserError
from bl30k_gen.scene.spec import CameraSpec
from bl30k_gen.scene.trajectory import camera_poses, clearance, curve, intrinsics, object_poses

from .conftest import a_scene

POINTS = np.random.default_rng(0).normal(size=(5, 3))


def test_drift_is_one_polynomial_through_all_control_points():
    values = curve(POINTS, 161, "drift")
    assert np.allclose(values[::40], POINTS, atol=1e-12)
    times = np.linspace(0, 1, 161)
    for axis in range(3):
        fitted = np.polynomial.Polynomial.fit(times, values[:, axis], 4)
        assert np.allclose(fitted(times), values[:, axis], atol=1e-10)


def test_drift_leaves_repeated_points_and_hold_does_not():
    points = POINTS[[0, 1, 1, 1, 2]]
    resting = slice(40, 121)
    assert np.ptp(curve(points, 161, "drift")[resting], axis=0).min() > 0.01
    assert np.array_equal(curve(points, 161, "hold")[resting], np.repeat(points[1:2], 81, axis=0))


@pytest.mark.parametrize("rows", ["01123", "00122", "01233", "00112", "01222"])
def test_hold_goes_through_the_points_without_a_jump_in_speed(rows):
    points = POINTS[[int(row) for row in rows]]
    assert np.allclose(curve(points, 161, "hold")[::40], points, atol=1e-12)
    fine = curve(points, 16001, "hold")
    speed = np.diff(fine, axis=0) * 16000
    assert np.abs(np.diff(speed, axis=0)).max() < 0.02 * np.abs(speed).max()


def test_hold_without_a_rest_is_the_same_polynomial():
    assert np.allclose(curve(POINTS, 50, "hold"), curve(POINTS, 50, "drift"), atol=1e-12)


def test_a_single_frame_is_the_first_control_point():
    assert np.allclose(curve(POINTS, 1, "drift"), POINTS[:1])


def test_object_poses_are_translation_rotation_scale():
    thing = a_scene(0).objects[0]
    pose = object_poses(thing, 160, "drift")[159]
    turn = Rotation.from_euler("xyz", thing.rotation[-1]).as_matrix()  # lower case: about the fixed axes, x first
    assert np.allclose(pose[:3, :3], turn @ np.diag(thing.scale[-1]), atol=1e-6)
    assert np.allclose(pose[:3, 3], thing.location[-1])
    assert np.array_equal(pose[3], [0, 0, 0, 1])


def test_the_camera_points_at_its_target_without_roll():
    camera = a_scene(3).camera
    poses, targets = camera_poses(camera, 160, "drift"), curve(camera.target, 160, "drift")
    for pose, target in zip(poses, targets, strict=True):
        assert np.allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3)) and np.linalg.det(pose[:3, :3]) > 0
        x, y, z = (np.linalg.inv(pose) @ [*target, 1])[:3]
        assert abs(x) < 1e-9 and abs(y) < 1e-9 and z < 0
        assert abs(pose[2, 0]) < 1e-12 and pose[2, 1] > 0  # right is level, up is upwards


def test_a_camera_without_a_direction_is_refused():
    above = CameraSpec(field_of_view=0.7, location=((0, 0, 0),) * 2, target=((0, 0, 5),) * 2)
    with pytest.raises(UserError, match="camera on frame 0"):
        camera_poses(above, 3, "drift")


def test_intrinsics_put_the_edge_of_the_view_on_the_edge_of_the_image():
    k = intrinsics(0.8, 768, 512)
    u, v, w = k @ [np.tan(0.4), 0, 1]
    assert np.allclose([u, v, w], [768, 256, 1])
    assert k[0, 0] == k[1, 1]


def test_clearance_is_the_least_distance_at_equal_times():
    a = np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]])
    b = np.array([[2.0, 0, 0], [1, 0.5, 0], [0, 0, 0]])
    assert clearance(a, b) == 0.5
