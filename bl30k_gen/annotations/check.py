"""Are a video's annotations true? They must fit what was rendered and recorded, and each other.

What is read, stored or derived, is held against the masks, the images, and the matrices in ``Metadata/``; stored
arrays also against those that are derived (``faults``).
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

SAMPLE = 3  # frames of a video, where not all are asked for
WRONG = 1e-4  # ratio of an image's pixels that may differ: Blender and the rasteriser round an edge differently
WRONG_PIXELS = 3  # and so many, whatever the image's size
EDGE = 2  # pixels from an edge within which they must lie
FLOW_ERROR = 0.05  # pixels, for 99 of 100 pixels
STILL = 0.2  # pixels; with less mean motion images tell nothing of flow
PLACE_ERROR = 0.01  # pixels, of tracks
LATE = 0.02  # ratio of the tracks that may be hidden by what is nearer than rounding


class Finding(NamedTuple):
    """Something is wrong. ``frame`` is None where it concerns the whole video."""

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
        every_frame: not a sample of ``SAMPLE`` frames alone.
    """
    try:
        return list(_Check(store, name).run(every_frame))
    except UserError as error:
        return [Finding(name, "scene", None, f"is of no use: {error}")]


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


Told = Iterator[tuple[str, str]]  # kind, what is wrong


class _Check:
    def __init__(self, store: VideoStore, name: str):
        self.store, self.name = store, name
        self.video = open_video(store, name)
        self.frames = self.video.geometry.frames
        recorded = store.metadata(name) or {}
        self.k = np.array(recorded["camera"]["intrinsics"])
        self.extrinsics = np.array(recorded["camera"]["extrinsics"])
        self.poses = {each["id"]: np.array(each["poses"]) for each in recorded["objects"]}
        self.ids = list(self.poses)
        self.deforming = {thing.id for thing in self.video.spec.objects if thing.deformation is not None}
        folder = store.annotations
        there = [each for each in every_kind() if folder is None or stored_path(folder, each, name).exists()]
        if not there:
            raise UserError(f"{folder} has no annotations of {name}", "make them with `generate.py annotations`")
        self.kinds = {str(each): each for each in there}

    def run(self, every_frame: bool) -> Iterator[Finding]:
        chosen = np.arange(self.frames)
        if not every_frame:
            chosen = np.unique(np.linspace(0, self.frames - 1, SAMPLE).round().astype(int))
        for frame in chosen.tolist():
            for kind, detail in self.of_frame(frame):
                yield Finding(self.name, kind, frame, detail)
        for kind, detail in (*self.images(chosen.tolist()), *self.matrices(), *self.tracks()):
            yield Finding(self.name, kind, None, detail)

    def read(self, kind: str, frame: int | None = None) -> Any:
        """None where it is not stored, or the video has no such other frame."""
        if kind not in self.kinds:
            return None
        if frame is not None and not 0 <= frame + self.kinds[kind].offset < self.frames:
            return None
        return self.store.annotation(kind, self.name, frame)

    # --- A frame ------------------------------------------------------------------------------------------------

    def of_frame(self, frame: int) -> Told:
        view, mask = self.video.view(frame), self.store.read_mask(self.name, frame).ids
        agree = view.surface.ids == mask
        yield from self.masks(mask, view.surface.ids)
        yield from self.wholes(mask, frame)
        yield from self.reprojection(mask, agree, frame)
        yield from self.there_and_back(agree, frame)
        if self.store.annotations is None:
            return
        for kind, wanted in self.kinds.items():
            if wanted.kind.of_frames and (stored := self.read(kind, frame)) is not None:
                if (wrong := faults.compare(view, wanted, stored)) is not None:
                    yield kind, wrong

    def masks(self, mask: np.ndarray, ids: np.ndarray) -> Told:
        wrong = mask != ids
        if (count := np.count_nonzero(wrong)) > _allowed(mask):
            objects = np.setdiff1d([mask[wrong], ids[wrong]], [0]).tolist()
            yield "ids", f"are not those of the mask on {count} of {mask.size} pixels (objects {objects})"
        elif (wrong & ~binary_dilation(_edges(ids), iterations=EDGE)).any():
            yield "ids", "are not those of the mask away from all edges"

    def wholes(self, mask: np.ndarray, frame: int) -> Told:
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

    def reprojection(self, mask: np.ndarray, agree: Bools, frame: int) -> Told:
        """Depth, K and the recorded poses give the flow of all that keeps its shape."""
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
            flat = _flat((in_camera[here] @ moved[:3, :3].T + moved[:3, 3]) @ self.k.T)
            error = np.linalg.norm(flat - places[here][:, :2] - flow.flow[here], axis=1)
            if not np.percentile(error, 99) <= FLOW_ERROR:
                what = f"object {id}" if id else "the backdrop"
                yield "flow+1", f"of {what} is not that of depth, camera and poses: {_median(error)} off"

    def there_and_back(self, agree: Bools, frame: int) -> Told:
        """Flow, followed by the next frame's flow back, ends where it began, where both are on one surface."""
        flow = self.read("flow+1", frame)
        back = None if flow is None else self.read("flow-1", frame + 1)
        if flow is None or back is None:
            return
        shown = flow.valid & ~flow.occluded & agree
        arrived = _arrived(flow.flow, shown)
        ids, other = self.video.view(frame).surface.ids[shown], self.video.view(frame + 1).surface
        alike = _alike(other.ids, other.faces, arrived, ids)
        if np.count_nonzero(alike) <= WRONG_PIXELS:
            return
        returned = np.stack([_at(back.flow[..., axis], arrived[alike]) for axis in (0, 1)], axis=1)
        error = np.linalg.norm(returned + flow.flow[shown][alike], axis=1)
        if not np.percentile(error, 99) <= FLOW_ERROR:
            yield "flow+1", f"and flow-1 of the next frame do not lead back: {_median(error)} off"

    # --- A video ------------------------------------------------------------------------------------------------

    def images(self, chosen: Sequence[int]) -> Told:
        """Where flow leads, the next image looks as this one does; the image after it does so less."""
        flows = ((frame, self.read("flow+1", frame)) for frame in chosen if frame + 2 < self.frames)
        found = [warp(self.store, self.name, frame, flow) for frame, flow in flows if flow is not None]
        if not found:
            return
        motion, right, late = np.mean(found, axis=0)
        if motion > STILL and right >= late:
            differences = f"{right:.2f} of 255 where it leads, {late:.2f} one frame later"
            yield "flow+1", f"is not how images move: they differ by {differences}"

    def matrices(self) -> Told:
        cameras, poses = self.read("cameras"), self.read("poses")
        if cameras is not None:
            for name, recorded in (("intrinsics", self.k), ("extrinsics", self.extrinsics)):
                if not np.allclose(getattr(cameras, name), recorded, atol=1e-6):
                    yield "cameras", f"have other {name} than the metadata"
        if poses is not None:
            for number, id in enumerate(self.ids):
                if not np.allclose(poses.to_world[:, number], self.poses[id], atol=1e-6):
                    yield "poses", f"of object {id} are not those of the metadata"

    def tracks(self) -> Told:
        tracks: Tracks | None = self.read("tracks")
        if tracks is None:
            return
        moved = np.einsum("fij,nfj->nfi", self.extrinsics[:, :3, :3], tracks.points) + self.extrinsics[:, :3, 3]
        before = tracks.depth > 1
        off = np.abs(_flat(moved[before] @ self.k.T) - tracks.places[before])
        if before.any() and not np.percentile(off, 99) <= PLACE_ERROR:
            yield "tracks", f"are not where the camera sees their points: {_median(off)} off"
        number, frame = np.arange(len(tracks.queries)), tracks.queries[:, 0].astype(int)
        if not np.abs(tracks.places[number, frame] - tracks.queries[:, 1:]).max(initial=0) <= PLACE_ERROR:
            yield "tracks", "are not where they were chosen"
        if not tracks.visible[number, frame].all():
            yield "tracks", "are hidden where they were chosen"
        for f in np.linspace(0, self.frames - 1, SAMPLE).round().astype(int).tolist():
            shown = np.flatnonzero(tracks.visible[:, f])
            met = cast(self.video.geometry, f, tracks.places[shown, f].astype(np.float64))
            right = (met.ids == tracks.ids[shown]) & np.isclose(met.depth, tracks.depth[shown, f], rtol=1e-2)
            if np.count_nonzero(~right) > LATE * len(shown):
                yield "tracks", f"show on frame {f} {np.count_nonzero(~right)} points that something else hides"


def warp(store: VideoStore, name: str, frame: int, flow: Flow) -> tuple[float, float, float]:
    """How well images move as flow to the next frame says.

    Returns:
        Mean motion in pixels; and the mean difference, of 255, between what is seen in a frame and where flow leads
        on the next frame, and on the one after that, which is wrong. Of pixels that are not occluded.
    """
    shown = flow.valid & ~flow.occluded
    arrived = _arrived(flow.flow, shown)
    now, right, late = (store.read_rgb(name, frame + n).mean(axis=2) for n in range(3))
    differences = [float(np.abs(_at(image, arrived) - now[shown]).mean()) for image in (right, late)]
    return float(np.linalg.norm(flow.flow[shown], axis=1).mean()), differences[0], differences[1]


def _allowed(mask: np.ndarray) -> float:
    return WRONG_PIXELS + WRONG * mask.size


def _edges(ids: np.ndarray) -> Bools:
    edges = np.zeros(ids.shape, bool)
    edges[:, 1:] |= ids[:, 1:] != ids[:, :-1]
    edges[1:] |= ids[1:] != ids[:-1]
    return edges


def _flat(points: Floats) -> Floats:
    return points[:, :2] / points[:, 2:]


def _arrived(flow: np.ndarray, shown: Bools) -> Floats:
    """(N, 2) where flow leads, centres of pixels at whole numbers."""
    rows, columns = np.nonzero(shown)
    return flow[shown].astype(np.float64) + np.stack([columns, rows], axis=1)


def _at(image: np.ndarray, places: Floats) -> Floats:
    """(N,) values between pixels, linear; centres of pixels at whole numbers."""
    return map_coordinates(image.astype(np.float64), places.T[::-1], order=1, mode="nearest")


def _alike(ids: np.ndarray, faces: np.ndarray, places: Floats, own: np.ndarray) -> Bools:
    """(N,) whether all four pixels around a place show one triangle of the body ``own``."""
    corner = np.floor(np.nan_to_num(places, nan=-1)).astype(int)
    within = np.asarray(((corner >= 0) & (corner < [ids.shape[1] - 1, ids.shape[0] - 1])).all(axis=1))
    column, row = np.where(within[:, None], corner, 0).T
    around = [(row + down, column + right) for down in (0, 1) for right in (0, 1)]
    same = [(ids[place] == own) & (faces[place] == faces[around[0]]) for place in around]
    return within & np.all(same, axis=0)


def _median(errors: np.ndarray) -> str:
    return f"{np.median(np.nan_to_num(errors, nan=np.inf)):.2g} pixels in the median"
