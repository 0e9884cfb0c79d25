"""COCO, YouTube-VIS, BURST and TAO, read by their own packages or as their definitions say."""

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from bl30k_gen.export.encoders.rle import encode
from tests.support.synthetic import FRAMES, HEIGHT, WIDTH

TRAIN, VAL = ["a00000", "a00001"], ["a00002"]


def truth(store, name, i):
    return store.read_mask(name, i).ids


def decoded(size, counts):
    return coco_mask.decode({"size": size, "counts": counts}).astype(bool)


@pytest.mark.parametrize("split, names", [("train", TRAIN), ("val", VAL)])
def test_pycocotools_reads_the_masks_as_they_were(exported, store, split, names):
    out = exported("coco")
    coco = COCO(str(out / f"annotations/instances_{split}.json"))
    assert [v["name"] for v in coco.dataset["videos"]] == names
    assert len(coco.imgs) == len(names) * FRAMES
    for image in coco.loadImgs(coco.getImgIds()):
        name, i = image["file_name"].split("/")[0], image["frame_id"]
        ids = np.zeros((HEIGHT, WIDTH), np.uint8)
        for annotation in coco.loadAnns(coco.getAnnIds(image["id"])):
            mask = coco.annToMask(annotation).astype(bool)
            ids[mask] = annotation["track_id"]
            y, x = np.nonzero(mask)
            box = [x.min(), y.min(), x.max() - x.min() + 1, y.max() - y.min() + 1]
            assert annotation["bbox"] == box and annotation["area"] == mask.sum()
        assert (ids == truth(store, name, i)).all()
        opened = Image.open(out / split / image["file_name"])
        assert (opened.height, opened.width) == (image["height"], image["width"]) == (HEIGHT, WIDTH)
        assert (out / split / image["file_name"]).read_bytes() == store.rgb_bytes(name, i)
    assert len(set(coco.anns)) == len(coco.dataset["annotations"])


def test_frames_are_hard_linked_where_possible(exported, places):
    out = exported("coco")
    assert (out / "train/a00000/00003.jpg").samefile(places.rgb("a00000", 3))


def test_frames_can_be_left_out(exported):
    out = exported("coco", "frames=false")
    assert [p.name for p in out.iterdir() if not p.name.startswith(".")] == ["annotations"]


def test_youtube_vis_holds_each_object_through_the_video(exported, store):
    out = exported("youtube-vis")
    data = json.loads((out / "train/instances.json").read_text())
    videos = {video["id"]: video for video in data["videos"]}
    assert [v["file_names"][0] for v in data["videos"]] == ["a00000/00000.jpg", "a00001/00000.jpg"]
    rebuilt = {v["id"]: np.zeros((v["length"], v["height"], v["width"]), np.uint8) for v in data["videos"]}
    nulls = 0
    for track in data["annotations"]:
        assert track["category_id"] in {c["id"] for c in data["categories"]}
        assert len(track["segmentations"]) == len(track["bboxes"]) == len(track["areas"]) == track["length"] == FRAMES
        for i, rle in enumerate(track["segmentations"]):
            assert (rle is None) == (track["bboxes"][i] is None) == (track["areas"][i] is None)
            nulls += rle is None
            if rle:
                assert all(isinstance(run, int) for run in rle["counts"])
                mask = coco_mask.decode(coco_mask.frPyObjects(rle, *rle["size"])).astype(bool)
                assert mask.sum() == track["areas"][i] > 0
                rebuilt[track["video_id"]][i][mask] = track["id"] % 65536
    for number, ids in rebuilt.items():
        name = videos[number]["file_names"][0].split("/")[0]
        assert (ids == np.stack([truth(store, name, i) for i in range(FRAMES)])).all()
        for file in videos[number]["file_names"]:
            assert (out / "train/JPEGImages" / file).is_file()
    assert nulls, "an object leaves the image: that has to be a null"


def test_plain_run_lengths_are_those_of_the_compressed():
    random = np.random.default_rng(3)
    masks = [random.random((9, 7)) < 0.5 for _ in range(40)]
    masks += [np.ones((9, 7), bool), np.eye(9, 7, dtype=bool), np.eye(9, 7, dtype=bool)[::-1, ::-1]]
    for mask in masks:
        (seen,) = encode(mask.astype(np.uint8)).values()
        again = coco_mask.frPyObjects(seen.plain_rle, 9, 7)
        assert again["counts"].decode() == seen.counts and sum(seen.plain_rle["counts"]) == 63


def test_burst_matches_its_format(exported, store):
    out = exported("burst")
    data = json.loads((out / "annotations/train/all_classes.json").read_text())
    first = json.loads((out / "annotations/train/first_frame_annotations.json").read_text())
    assert data["split"] == "train" and {"id", "name", "synset", "def", "synonyms"} <= data["categories"][0].keys()
    assert [s["seq_name"] for s in data["sequences"]] == [s["seq_name"] for s in first["sequences"]] == TRAIN
    for sequence, begun in zip(data["sequences"], first["sequences"], strict=True):
        name, size = sequence["seq_name"], [sequence["height"], sequence["width"]]
        assert set(map(int, sequence["track_category_ids"].values())) == {1}
        for i, (path, frame) in enumerate(
            zip(sequence["annotated_image_paths"], sequence["segmentations"], strict=True)
        ):
            ids = np.zeros(size, np.uint8)
            for track, entry in frame.items():
                ids[decoded(size, entry["rle"])] = int(track)
            assert (ids == truth(store, name, i)).all()
            assert (out / "frames/train" / sequence["dataset"] / name / path).is_file()
        seen = {}
        for i, frame in enumerate(begun["segmentations"]):
            for track, entry in frame.items():
                assert track not in seen
                seen[track] = i
                x, y = entry["point"]
                assert truth(store, name, i)[y, x] == int(track)
                assert entry["bbox"][2] > 0
        assert seen.keys() == sequence["track_category_ids"].keys()
        for track, i in seen.items():
            assert not any((truth(store, name, j) == int(track)).any() for j in range(i))


def test_tao_is_consistent_as_its_reader_demands(exported, store):
    out = exported("tao")
    data = json.loads((out / "annotations/train.json").read_text())
    tracks = {track["id"]: track for track in data["tracks"]}
    images = {image["id"]: image for image in data["images"]}
    videos = {video["id"]: video for video in data["videos"]}
    assert len({a["id"] for a in data["annotations"]}) == len(data["annotations"])
    pixels = 0
    for annotation in data["annotations"]:
        image, track = images[annotation["image_id"]], tracks[annotation["track_id"]]
        assert annotation["category_id"] == track["category_id"]
        assert image["video_id"] == track["video_id"] == annotation["video_id"]
        x, y, width, height = annotation["bbox"]
        assert min(x, y) >= 0 and min(width, height) > 0
        name = videos[image["video_id"]]["name"].rpartition("/")[2]
        mask = truth(store, name, image["frame_index"]) == annotation["track_id"] % 65536
        assert (decoded(annotation["segmentation"]["size"], annotation["segmentation"]["counts"]) == mask).all()
        assert annotation["area"] == mask.sum()
        pixels += mask.sum()
    assert pixels == sum((truth(store, n, i) > 0).sum() for n in TRAIN for i in range(FRAMES))
    assert all((out / "frames" / image["file_name"]).is_file() for image in images.values())


def _scored(annotations):
    return [dict(annotation, score=1.0) for annotation in annotations]


def _packed(tracks):
    """With compressed run lengths, which the evaluation requires of predictions."""
    for track in tracks:
        packed = [rle and coco_mask.frPyObjects(rle, *rle["size"]) for rle in track["segmentations"]]
        yield track | {"segmentations": [rle and rle | {"counts": rle["counts"].decode()} for rle in packed]}


@pytest.mark.parametrize(
    ("name", "file", "dataset", "predict"),
    [
        ("tao", "annotations/train.json", "TAO", lambda truth: _scored(truth["annotations"])),
        ("youtube-vis", "train/instances.json", "YouTubeVIS", lambda truth: _scored(_packed(truth["annotations"]))),
        ("burst", "annotations/train/all_classes.json", "BURST", lambda truth: truth),
    ],
)
def test_trackeval_scores_exported_truth_against_itself(exported, published, tmp_path, name, file, dataset, predict):
    trackeval = published("trackeval")
    truth = json.loads((exported(name) / file).read_text())
    ending = "youtube_vis_train" if name == "youtube-vis" else ""  # it appends this to the names of its folders
    for place, value in (
        (f"gt{ending}/train.json", truth),
        (f"trackers{ending}/self/data/it.json", predict(truth)),
    ):
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / place).write_text(json.dumps(value))
    folders = {"GT_FOLDER": str(tmp_path / "gt"), "TRACKERS_FOLDER": str(tmp_path / "trackers")}
    quiet = (
        "PRINT_RESULTS",
        "OUTPUT_SUMMARY",
        "OUTPUT_DETAILED",
        "OUTPUT_EMPTY_CLASSES",
        "PLOT_CURVES",
        "PRINT_CONFIG",
    )
    evaluator = trackeval.Evaluator(dict.fromkeys((*quiet, "TIME_PROGRESS"), False))
    config = folders | {"PRINT_CONFIG": False, "SPLIT_TO_EVAL": "train"}
    data = getattr(trackeval.datasets, dataset)(config)
    results, _ = evaluator.evaluate([data], [trackeval.metrics.HOTA({"PRINT_CONFIG": False})])
    (scores,) = (s for c, s in results[data.get_name()]["self"]["COMBINED_SEQ"].items() if "comb" not in c)
    assert scores["HOTA"]["HOTA"] == pytest.approx(1.0)
