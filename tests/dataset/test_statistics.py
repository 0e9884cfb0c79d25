"""What is counted, on videos small enough to count by hand."""

import copy

import numpy as np
import pytest

from bl30k_gen.dataset.reader import open_dataset
from bl30k_gen.dataset.statistics import Histogram, ObjectTracks, Statistics

WIDTH, HEIGHT, FOCAL = 100, 60, 50.0


def video(areas, locations, scales=1.0):
    """Metadata of a video whose camera sits at the origin and looks along z; areas (O, F), locations (O, F, 3)."""
    areas = np.array(areas)
    poses = np.zeros((*areas.shape, 4, 4))
    poses[..., :3, :3] = np.eye(3) * np.broadcast_to(scales, areas.shape)[..., None, None]
    poses[..., :3, 3] = locations
    poses[..., 3, 3] = 1
    return {
        "split": "train",
        "config_digest": "c",
        "versions": {"bpy": "4"},
        "files": {"a.jpg": {"bytes": 7}, "a.png": {"bytes": 5}},
        "scene": {
            "video": {"frames": areas.shape[1], "width": WIDTH, "height": HEIGHT},
            "objects": [{"clearance_failed": False}] * len(areas),
        },
        "camera": {
            "intrinsics": [[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]],
            "extrinsics": np.tile(np.eye(4), (areas.shape[1], 1, 1)).tolist(),
        },
        "objects": [{"visible_area": a.tolist(), "poses": p.tolist()} for a, p in zip(areas, poses, strict=True)],
    }


def test_centres_are_projected():
    tracks = ObjectTracks.of(video([[9, 9]], [[[0, 0, 5], [1, -1, 5]]], scales=2.0))
    assert tracks.centre.tolist() == [[[50, 30], [60, 20]]]
    assert tracks.depth.tolist() == [[5, 5]]
    assert tracks.scale == pytest.approx(2) and tracks.reach == pytest.approx(10)


def test_motion_is_counted_between_frames_that_show_the_object():
    tracks = ObjectTracks.of(video([[9, 9, 0, 9]], [[[x, 0, 5] for x in (0, 1, 2, 4)]]))
    assert tracks.motion() == pytest.approx([10])  # 10 of 100 pixels; the other steps begin or end unseen


def test_an_approaching_object_is_not_hidden_and_a_covered_one_is():
    depth = np.array([4.0, 2.0, 2.0, 2.0])
    tracks = ObjectTracks.of(video([[25, 100, 50, 0]], [[[0, 0, z] for z in depth]], scales=0.1))
    assert tracks.hidden() == pytest.approx([0, 0, 50, 100])


def test_an_object_cut_off_by_the_image_border_is_not_hidden():
    tracks = ObjectTracks.of(video([[25, 10]], [[[0, 0, 4], [4, 0, 4]]]))  # the second lies on the edge
    assert tracks.hidden() == pytest.approx([0])


def test_objects_behind_the_camera_are_neither_visible_nor_moving():
    tracks = ObjectTracks.of(video([[0, 0]], [[[0, 0, -4], [1, 0, -4]]]))
    assert not tracks.inside().any() and tracks.motion().size == tracks.hidden().size == 0


def test_objects_that_leave_and_return():
    counted = Statistics()
    counted.add(video([[0, 9, 0, 9], [0, 0, 0, 0], [9, 9, 9, 9], [0, 9, 9, 9]], np.tile([0, 0, 5.0], (4, 4, 1))))
    numbers = counted.to_json()
    assert (numbers["objects"], numbers["never_seen"], numbers["vanishing"], numbers["returning"]) == (4, 1, 1, 1)
    assert numbers["covered"] == 2 + 4 + 1  # all stand in the middle of the image, and 7 times nothing is seen
    assert numbers["histograms"]["lifetime"]["counts"] == [1, 0, 0, 0, 0, 1, 0, 1, 0, 1]
    assert numbers["histograms"]["objects"]["counts"] == [0, 0, 0, 0, 1]


def test_a_histogram_has_all_values_and_their_mean():
    histogram = Histogram("t", "u", "a", [0, 1, 10, 100])
    histogram.add(np.array([0, 0.99, 1, 100, 150]))
    histogram.add(np.array([]))
    assert histogram.to_json() | {"mean": None} == {
        "title": "t",
        "unit": "u",
        "about": "a",
        "edges": [0, 1, 10, 100],
        "counts": [2, 1, 2],
        "mean": None,
    }
    assert histogram.to_json()["mean"] == pytest.approx(251.99 / 5)


@pytest.mark.parametrize(
    "damage",
    [
        lambda m: m["objects"][0].update(visible_area=[1]),
        lambda m: m["objects"][0]["poses"][0][0].__setitem__(3, float("nan")),
        lambda m: m.update(camera={}),
        lambda m: m.update(files={"a": {}}),
        lambda m: m["scene"].update(objects=None),
        lambda m: m["scene"]["video"].update(frames="many"),
    ],
)
def test_a_damaged_video_is_not_counted(damage):
    counted, whole = Statistics(), Statistics()
    good = video([[9, 9]], [[[0, 0, 5], [1, 0, 5]]])
    bad = copy.deepcopy(good)
    damage(bad)
    with pytest.raises((KeyError, TypeError, ValueError, AttributeError)):
        counted.add(bad)
    counted.add(good)
    whole.add(good)
    assert counted.to_json() == whole.to_json()


def test_a_published_dataset_is_counted(dataset):
    counted = Statistics()
    store = open_dataset(dataset.root)
    for name in store.videos:
        counted.add(store.metadata(name))
    numbers = counted.to_json()
    assert (numbers["videos"], numbers["frames"], numbers["objects"]) == (3, 24, 9)
    assert numbers["splits"] == {"train": 2, "val": 1} and numbers["sizes"] == {"96x64": 3}
    frames = [p for p in dataset.root.rglob("*") if p.suffix in (".jpg", ".png")]
    assert numbers["bytes"] == sum(path.stat().st_size for path in frames)
