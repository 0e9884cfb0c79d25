"""Check a video's annotations against what was rendered and recorded, and against each other.

Annotations, stored or derived, are compared with the masks, the images, and the matrices in ``Metadata/``; stored
arrays also with derived ones (``faults``).
"""

import contextlib
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from scipy.ndimage import binary_dilation, map_coordinates

from bl30k_gen.annotations import faults
from bl30k_gen.annotations.derive import open_video
from bl30k_gen.dataset.derived import Bools, Floats, Flow, Tracks, every_kind, stored_path
from bl30k_gen.dataset.reader import VideoStore
from bl30k_gen.errors import UserError
from bl30k_gen.scene.rays import cast
from bl30k_gen.text import plural

SAMPLE_FRAMES = 3  # of a video, where not all are asked for
MAX_WRONG_RATIO = 1e-4  # of an image's pixels: Blender and the rasteriser round an edge differently
MAX_WRONG_PIXELS = 3  # in addition, for images of any size
MAX_EDGE_DISTANCE = 2  # pixels from an edge, of pixels that differ
MAX_FLOW_ERROR = 0.05  # pixels, for 99 of 100 pixels
MIN_MOTION = 0.2  # pixels; with less mean motion images tell nothing about flow
MAX_TRACK_ERROR = 0.01  # pixels
MAX_WRONGLY_VISIBLE = 0.02  # ratio of the tracks: an occluder may be nearer by less than rounding


class Finding(NamedTuple):
    """An error found in an annotation. ``frame`` is None if it concerns the whole video."""

    video: str
    kind: str
    frame: int | None
    detail: str

    def __str__(self) -> str:
        where = self.video if self.frame is None else f"{self.video} frame {self.frame}"
        return f"{where}: {self.kind} {self.detail}"


def check(store: VideoStore, name: str, every_frame: bool = False) -> list[Finding]:
    """Check the annotations of a video, as ``store`` reads them.

    Args:
        every_frame: check all frames instead of ``SAMPLE_FRAMES``.
    """
    try:
        return list(_Check(store, name).run(every_frame))
    except UserError as error:
        return [Finding(name, "scene", None, f"cannot be checked: {error}")]


def check_all(
    store: VideoStore, every_frame: bool, workers: int, progress: Callable[[], object] = lambda: None
) -> list[Finding]:
    """Check the annotations of every video.

    Args:
        workers: processes.
        progress: called for each video.
    """
    one = partial(check, store, every_frame=every_frame)
    with contextlib.ExitStack() as stack:
        run: Callable[..., Iterable[list[Finding]]] = map
        if workers > 1:
            context = multiprocessing.get_context("spawn")
            run = stack.enter_context(ProcessPoolExecutor(workers, context)).map
        found = []
        for findings in run(one, store.videos):
            found += findings
            progress()
        return found


Problems = Iterator[tuple[str, str]]  # kind, what is wrong


class _Check:
    def __init__(self, store: VideoStore, name: str):
        self.store, self.name = store, name
        self.video = open_video(store, name)
        self.frames = self.video.geometry.frames
        recorded = store.metadata(name) or {}
        self.k = np.array(recorded["camera"]["intrinsics"])
        self.extrinsics = np.array(recorded["camera"]["extrinsics"])
        self.poses = {entry["id"]: np.array(entry["poses"]) for entry in recorded["objects"]}
        self.ids = list(self.poses)
        self.deforming = {thing.id for thing in self.video.spec.objects if thing.deformation is not None}
        folder = store.annotations
        kinds = [kind for kind in every_kind() if folder is None or stored_path(folder, kind, name).exists()]
        if not kinds:
            raise UserError(f"{folder} has no annotations of {name}", "make them with `generate.py annotations`")
        self.kinds = {str(kind): kind for kind in kinds}

    def run(self, every_frame: bool) -> Iterator[Finding]:
        chosen = np.arange(self.frames)
        if not every_frame:
            chosen = np.unique(np.linspace(0, self.frames - 1, SAMPLE_FRAMES).round().astype(int))
        for frame in chosen.tolist():
            for kind, detail in self.frame(frame):
                yield Finding(self.name, kind, frame, detail)
        for kind, detail in (*self.images(chosen.tolist()), *self.matrices(), *self.tracks()):
            yield Finding(self.name, kind, None, detail)

    def read(self, kind: str, frame: int | None = None) -> Any:
        """Read an annotation; None where it is not stored, or the other frame of flow is outside of the video."""
        if kind not in self.kinds:
            return None
        if frame is not None and not 0 <= frame + self.kinds[kind].offset < self.frames:
            return None
        return self.store.annotation(kind, self.name, frame)

    # --- A frame ------------------------------------------------------------------------------------------------

    def frame(self, frame: int) -> Problems:
        view, mask = self.video.view(frame), self.store.read_mask(self.name, frame).ids
        agree = view.surface.ids == mask
        yield from compare_ids(mask, view.surface.ids)
        yield from self.objects(mask, frame)
        yield from self.reprojection(mask, agree, frame)
        yield from self.round_trip(agree, frame)
        if self.store.annotations is None:
            return
        for kind, wanted in self.kinds.items():
            if wanted.kind.of_frames and (stored := self.read(kind, frame)) is not None:
                if (wrong := faults.compare(view, wanted, stored)) is not None:
                    yield kind, wrong

    def objects(self, mask: np.ndarray, frame: int) -> Problems:
        """Amodal masks, occlusion order and boxes fit the rendered mask."""
        amodal, order, boxes = (self.read(kind, frame) for kind in ("amodal", "order", "boxes"))
        slack = _allowed(mask)
        for number, id in enumerate(self.ids):
            seen = mask == id
            area = int(np.count_nonzero(seen))
            if amodal is not None and np.count_nonzero(seen & ~amodal[number]) > slack:
                yield "amodal", f"mask of object {id} does not hold what is seen of it"
            if order is not None and abs(int(order.visible[number]) - area) > slack:
                yield "order", f"says that object {id} is seen on {order.visible[number]} pixels; it is on {area}"
            if boxes is not None and area > slack:
                rows, columns = (np.flatnonzero(seen.any(axis=axis)) for axis in (1, 0))
                box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
                if not np.abs(boxes.visible[number] - box).max() <= 1:
                    yield "boxes", f"say {boxes.visible[number].tolist()} of object {id}, seen in {box.tolist()}"
            if order is not None and amodal is not None:
                hidden = [int(np.count_nonzero(seen & whole)) for whole in amodal]
                for other in np.flatnonzero(np.array(hidden) > order.in_front[number] + slack):
                    if other != number:
                        yield "order", f"says that object {self.ids[other]} is before {id}, which hides it"

    def reprojection(self, mask: np.ndarray, agree: Bools, frame: int) -> Problems:
        """Depth, K and the recorded poses give the flow of everything that does not deform."""
        depth, flow = self.read("depth", frame), self.read("flow+1", frame)
        if depth is None or flow is None:
            return
        rows, columns = np.indices(mask.shape) + 0.5
        places = np.stack([columns, rows, np.ones(mask.shape)], axis=-1)
        in_camera = places @ np.linalg.inv(self.k).T * depth[..., None]
        for id in (0, *self.ids):
            here = agree & (mask == id) & flow.valid
            if id in self.deforming or np.count_nonzero(here) <= _allowed(mask):
                continue
            now, later = (self.extrinsics[f] @ (self.poses[id][f] if id else np.eye(4)) for f in (frame, frame + 1))
            moved = later @ np.linalg.inv(now)
            arrived = _project((in_camera[here] @ moved[:3, :3].T + moved[:3, 3]) @ self.k.T)
            error = np.linalg.norm(arrived - places[here][:, :2] - flow.flow[here], axis=1)
            if not np.percentile(error, 99) <= MAX_FLOW_ERROR:
                what = f"object {id}" if id else "the backdrop"
                yield "flow+1", f"of {what} is not that of depth, camera and poses: {_median(error)} off"

    def round_trip(self, agree: Bools, frame: int) -> Problems:
        """Flow, followed by the next frame's backward flow, ends where it began, where both are on one surface."""
        flow = self.read("flow+1", frame)
        back = None if flow is None else self.read("flow-1", frame + 1)
        if flow is None or back is None:
            return
        shown = flow.valid & ~flow.occluded & agree
        arrived = _flow_targets(flow.flow, shown)
        ids, other = self.video.view(frame).surface.ids[shown], self.video.view(frame + 1).surface
        comparable = _on_one_face(other.ids, other.faces, arrived, ids)
        if np.count_nonzero(comparable) <= MAX_WRONG_PIXELS:
            return
        returned = np.stack([_interpolate(back.flow[..., axis], arrived[comparable]) for axis in (0, 1)], axis=1)
        error = np.linalg.norm(returned + flow.flow[shown][comparable], axis=1)
        if not np.percentile(error, 99) <= MAX_FLOW_ERROR:
            yield "flow+1", f"and flow-1 of the next frame do not lead back: {_median(error)} off"

    # --- A video ------------------------------------------------------------------------------------------------

    def images(self, chosen: Sequence[int]) -> Problems:
        """At the targets of flow the next image resembles this one more than the image after it does."""
        flows = ((frame, self.read("flow+1", frame)) for frame in chosen if frame + 2 < self.frames)
        measured = [warp(self.store, self.name, frame, flow) for frame, flow in flows if flow is not None]
        if not measured:
            return
        motion, right, late = np.mean(measured, axis=0)
        if motion > MIN_MOTION and right >= late:
            differences = f"{right:.2f} of 255 where it leads, {late:.2f} one frame later"
            yield "flow+1", f"is not how images move: they differ by {differences}"

    def matrices(self) -> Problems:
        """Cameras and poses are those of the metadata."""
        cameras, poses = self.read("cameras"), self.read("poses")
        if cameras is not None:
            for name, recorded in (("intrinsics", self.k), ("extrinsics", self.extrinsics)):
                if not np.allclose(getattr(cameras, name), recorded, atol=1e-6):
                    yield "cameras", f"have other {name} than the metadata"
        if poses is not None:
            for number, id in enumerate(self.ids):
                if not np.allclose(poses.to_world[:, number], self.poses[id], atol=1e-6):
                    yield "poses", f"of object {id} are not those of the metadata"

    def tracks(self) -> Problems:
        """Tracks begin at their queries, follow their projected points, and are visible where they say so."""
        tracks: Tracks | None = self.read("tracks")
        if tracks is None:
            return
        moved = np.einsum("fij,nfj->nfi", self.extrinsics[:, :3, :3], tracks.points) + self.extrinsics[:, :3, 3]
        in_front = tracks.depth > 1
        error = np.abs(_project(moved[in_front] @ self.k.T) - tracks.places[in_front])
        if in_front.any() and not np.percentile(error, 99) <= MAX_TRACK_ERROR:
            yield "tracks", f"are not where the camera sees their points: {_median(error)} off"
        number, frame = np.arange(len(tracks.queries)), tracks.queries[:, 0].astype(int)
        if not np.abs(tracks.places[number, frame] - tracks.queries[:, 1:]).max(initial=0) <= MAX_TRACK_ERROR:
            yield "tracks", "are not where they were chosen"
        if not tracks.visible[number, frame].all():
            yield "tracks", "are hidden where they were chosen"
        for f in np.linspace(0, self.frames - 1, SAMPLE_FRAMES).round().astype(int).tolist():
            shown = np.flatnonzero(tracks.visible[:, f])
            met = cast(self.video.geometry, f, tracks.places[shown, f].astype(np.float64))
            right = (met.ids == tracks.ids[shown]) & np.isclose(met.depth, tracks.depth[shown, f], rtol=1e-2)
            if np.count_nonzero(~right) > MAX_WRONGLY_VISIBLE * len(shown):
                yield "tracks", f"show on frame {f} {np.count_nonzero(~right)} points that something else hides"


def warp(store: VideoStore, name: str, frame: int, flow: Flow) -> tuple[float, float, float]:
    """Compare images along the flow to the next frame.

    Returns:
        Over pixels that are not occluded: the mean motion in pixels, and the mean grey value difference, of 255,
        between a frame and the flow's targets in the next frame, and in the wrong one after it.
    """
    shown = flow.valid & ~flow.occluded
    arrived = _flow_targets(flow.flow, shown)
    now, right, late = (store.read_rgb(name, frame + n).mean(axis=2) for n in range(3))
    differences = [float(np.abs(_interpolate(image, arrived) - now[shown]).mean()) for image in (right, late)]
    return float(np.linalg.norm(flow.flow[shown], axis=1).mean()), differences[0], differences[1]


def compare_ids(mask: np.ndarray, ids: np.ndarray) -> Problems:
    """Compare the ids of a rendered mask with rasterised ones, both (H, W): few may differ, mostly at edges."""
    wrong = mask != ids
    if (count := np.count_nonzero(wrong)) > _allowed(mask):
        objects = np.setdiff1d([mask[wrong], ids[wrong]], [0]).tolist()
        yield "ids", f"are not those of the mask on {count} of {mask.size} pixels (objects {objects})"
        return
    far = int(np.count_nonzero(wrong & ~binary_dilation(_edges(ids), iterations=MAX_EDGE_DISTANCE)))
    if far > MAX_WRONG_PIXELS:  # in single pixels Blender sees through between two faces that touch
        yield "ids", f"are not those of the mask on {plural(far, 'pixel')} away from all edges"


def _allowed(mask: np.ndarray) -> float:
    """How many pixels may differ."""
    return MAX_WRONG_PIXELS + MAX_WRONG_RATIO * mask.size


def _edges(ids: np.ndarray) -> Bools:
    """Pixels whose left or upper neighbour has another id."""
    edges = np.zeros(ids.shape, bool)
    edges[:, 1:] |= ids[:, 1:] != ids[:, :-1]
    edges[1:] |= ids[1:] != ids[:-1]
    return edges


def _project(points: Floats) -> Floats:
    """(N, 2) x, y of (N, 3) homogeneous points."""
    return points[:, :2] / points[:, 2:]


def _flow_targets(flow: np.ndarray, shown: Bools) -> Floats:
    """(N, 2) x, y to which the flow of the ``shown`` pixels leads, centres of pixels at whole numbers."""
    rows, columns = np.nonzero(shown)
    return flow[shown].astype(np.float64) + np.stack([columns, rows], axis=1)


def _interpolate(image: np.ndarray, places: Floats) -> Floats:
    """(N,) bilinear values of an image at (N, 2) x, y, centres of pixels at whole numbers."""
    return map_coordinates(image.astype(np.float64), places.T[::-1], order=1, mode="nearest")


def _on_one_face(ids: np.ndarray, faces: np.ndarray, places: Floats, own: np.ndarray) -> Bools:
    """(N,) whether all four pixels around a place show the same triangle of the body ``own`` (N,)."""
    corner = np.floor(np.nan_to_num(places, nan=-1)).astype(int)
    within = np.asarray(((corner >= 0) & (corner < [ids.shape[1] - 1, ids.shape[0] - 1])).all(axis=1))
    column, row = np.where(within[:, None], corner, 0).T
    around = [(row + down, column + right) for down in (0, 1) for right in (0, 1)]
    same = [(ids[place] == own) & (faces[place] == faces[around[0]]) for place in around]
    return within & np.all(same, axis=0)


def _median(errors: np.ndarray) -> str:
    return f"{np.median(np.nan_to_num(errors, nan=np.inf)):.2g} pixels in the median"
