"""Curves through control points, and the poses of objects and camera on every frame.

Blender's axes (x right, y into the image, z up), metres and radians. A frame's time is its number divided by that of
the last frame, so the curve is at its first and last control point on the first and last frame.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from bl30k_gen.errors import UserError
from bl30k_gen.scene.spec import CameraSpec, ObjectSpec, ShakeWave, Vec3

NEAR_CLIP = 0.1  # metres from the camera: nearer surfaces are not drawn

Static = Literal["drift", "hold"]


def curve(points: Sequence[Vec3] | np.ndarray, frames: int, static: Static) -> np.ndarray:
    """Values on every frame of the curve through equally spaced control points.

    ``drift`` is the polynomial of degree ``len(points) - 1`` through all points; where two neighbouring points are
    equal, it may leave their value between them. ``hold`` is constant between equal neighbours; each run of moves
    between such rests is a polynomial through its points that starts and stops smoothly.

    Args:
        points: (P, D), at times 0, 1/(P-1), ..., 1.
        frames: number of frames, spread evenly over the times 0 to 1; a single frame is at time 0.

    Returns:
        (frames, D) float64.
    """
    points = np.asarray(points, dtype=np.float64)
    moves = len(points) - 1
    times = np.linspace(0.0, moves, frames)  # in moves from the first point
    if static == "drift":
        return _polynomial(points, times)
    held = (points[1:] == points[:-1]).all(axis=1)
    rests = np.concatenate([[False], held, [False]])  # whether there is a rest before and after each move
    move = np.minimum(times.astype(int), moves - 1)
    eased = move + _ease(times - move, rests[move], rests[move + 2])
    values = points[move]
    for first, last in _runs(held):
        if not held[first]:
            here = (first <= move) & (move <= last)
            values[here] = _polynomial(points[first : last + 2], eased[here] - first)
    return values


def object_poses(spec: ObjectSpec, frames: int, static: Static) -> np.ndarray:
    """Object-to-world matrices T @ R @ S, (frames, 4, 4) float64; R = Rz @ Ry @ Rx, Blender's ``XYZ`` order."""
    poses = np.zeros((frames, 4, 4))
    poses[:, :3, :3] = _euler(curve(spec.rotation, frames, static)) * curve(spec.scale, frames, static)[:, None, :]
    poses[:, :3, 3] = curve(spec.location, frames, static)
    poses[:, 3, 3] = 1
    return poses


def camera_poses(spec: CameraSpec, frames: int, static: Static) -> np.ndarray:
    """Camera-to-world matrices of a camera that looks at its target, (frames, 4, 4) float64.

    The camera is Blender's: it looks along its -z, its y is up in the image. Only shake makes it roll or look past
    its target.

    Raises:
        UserError: on some frame the target is at the camera, or straight above or below it.
    """
    location = curve(spec.location, frames, static)
    back = location - curve(spec.target, frames, static)
    right = np.stack([-back[:, 1], back[:, 0], np.zeros(frames)], axis=1)  # up x back
    flat = np.linalg.norm(right, axis=1) < 1e-9
    if flat.any():
        raise UserError(
            f"camera on frame {int(flat.argmax())}: its target is at it, or straight above or below",
            "move camera.target apart from camera.location",
        )
    back /= np.linalg.norm(back, axis=1, keepdims=True)
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    poses = np.zeros((frames, 4, 4))
    poses[:, :3] = np.stack([right, np.cross(back, right), back, location], axis=2)
    poses[:, 3, 3] = 1
    if spec.shake:
        poses[:, :3, :3] = poses[:, :3, :3] @ _euler(shake_angles(spec.shake, frames))
    return poses


def shake_angles(waves: Sequence[ShakeWave], frames: int) -> np.ndarray:
    """Rotation of a shaken camera about its own x, y and z axis, (frames, 3) radians."""
    times = np.linspace(0.0, 1.0, frames)[:, None]
    return sum(np.array(w.angles) * np.sin(2 * np.pi * (w.cycles * times + np.array(w.phases))) for w in waves)


def extrinsics(spec: CameraSpec, frames: int, static: Static) -> np.ndarray:
    """World-to-camera matrices in OpenCV's axes (x right, y down, z forward), (frames, 4, 4) float64."""
    return to_opencv(camera_poses(spec, frames, static))


def to_opencv(poses: np.ndarray) -> np.ndarray:
    """Convert Blender's camera-to-world matrices to world-to-camera matrices in OpenCV's axes, (frames, 4, 4)."""
    turned = np.diag([1.0, -1.0, -1.0, 1.0])
    return turned @ np.linalg.inv(poses)


def between(matrices: np.ndarray, time: float) -> np.ndarray:
    """Interpolate (frames, 4, 4) matrices linearly at a time in frames; extrapolates beyond the ends.

    Entries are interpolated independently, so rotations must be small between frames: at 0.1 radians per frame,
    lengths shrink by up to 1/800.
    """
    if len(matrices) == 1:
        return matrices[0]
    frame = int(np.clip(np.floor(time), 0, len(matrices) - 2))
    return matrices[frame] + (time - frame) * (matrices[frame + 1] - matrices[frame])


def intrinsics(field_of_view: float, width: int, height: int) -> np.ndarray:
    """Pinhole camera matrix K, (3, 3) float64, in pixels: square pixels, their centres at +0.5.

    The field of view is horizontal. K expects x right, y down, z forward, as ``extrinsics`` gives it.
    """
    focal = 0.5 * width / np.tan(0.5 * field_of_view)
    return np.array([[focal, 0, 0.5 * width], [0, focal, 0.5 * height], [0, 0, 1]])


def clearance(a: np.ndarray, b: np.ndarray) -> float:
    """Smallest distance over time between two paths, each (frames, 3)."""
    return float(np.linalg.norm(a - b, axis=1).min())


def _polynomial(points: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Values at ``times`` of the polynomial through ``points`` at 0, 1, 2, ... (Lagrange's form, exact there)."""
    nodes = np.arange(len(points))
    values = np.zeros((len(times), points.shape[1]))
    for node, point in zip(nodes, points, strict=True):
        others = nodes[nodes != node]
        weight = np.prod((times[:, None] - others) / (node - others), axis=1)
        values += weight[:, None] * point
    return values


def _ease(time: np.ndarray, from_rest: np.ndarray, to_rest: np.ndarray) -> np.ndarray:
    """Time within a move, 0 to 1, as a cubic of speed 0 at an end that adjoins a rest, and of speed 1 elsewhere."""
    start, end = np.where(from_rest, 0, 1), np.where(to_rest, 0, 1)
    return time**2 * (3 - 2 * time) + time * (1 - time) * ((1 - time) * start - time * end)


def _runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """First and last index of every run of equal flags."""
    edges = np.flatnonzero(flags[1:] != flags[:-1]) + 1
    starts = [0, *edges.tolist()]
    return list(zip(starts, [*(e - 1 for e in starts[1:]), len(flags) - 1], strict=True))


def _euler(angles: np.ndarray) -> np.ndarray:
    """(N, 3) angles about x, y, z to (N, 3, 3) rotations Rz @ Ry @ Rx."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles).T, np.sin(angles).T
    rows = [
        [cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx],
        [sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx],
        [-sy, cy * sx, cy * cx],
    ]
    return np.moveaxis(np.array(rows), 2, 0)
