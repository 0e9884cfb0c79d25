import json

import numpy as np
import pytest
import torch
from PIL import Image

from bl30k_gen.errors import UserError
from training.data.lvis import RunLengths, draw, expand
from training.data.mixture import Draw, Mixture, open_mixture
from training.schema.stage import load_stage

# A mask of 4 x 5 pixels (height x width) with the rows 1 and 2 of the columns 1 to 3 set, in each of the three forms.
# The compressed form was written by COCO's tools.
MASK = np.zeros((4, 5), bool)
MASK[1:3, 1:4] = True
COUNTS = [5, 2, 2, 2, 2, 2, 5]
PACKED = "5220003"
SQUARE = [1, 1, 4, 1, 4, 3, 1, 3]


@pytest.mark.parametrize(
    "shape",
    [
        [np.array(SQUARE, np.float32).reshape(-1, 2)],
        RunLengths(np.array(COUNTS), (4, 5)),
        RunLengths(PACKED.encode(), (4, 5)),
    ],
)
def test_the_three_forms_of_a_mask(shape):
    assert np.array_equal(draw(shape, 4, 5), MASK)


def test_compressed_counts_may_be_large_and_differ_both_ways():
    """1000 is 8 + 31 * 32: the characters of 8 + 32 ("more follow"), 31 + 32 and 0, counted from "0"."""
    assert expand(b"Xo0h0").tolist() == [1000, 24]
    assert expand(b"07Xo0iah3kPOQ^WL][T24").tolist() == [0, 7, 1000, 123456, 3, 1, 70000, 5]
    for bad in (b"5\x7f", b"522X", b"\xff"):
        with pytest.raises(ValueError, match="cut off|damaged"):
            expand(bad)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        (None, "no polygon"),
        ([], "no polygon"),
        ([np.array([[0, 0], [np.nan, 1], [2, 2]])], "no numbers"),
        (RunLengths(np.array([5, 5]), (4, 5)), "does not fill"),
        (RunLengths(np.array([-5, 25]), (4, 5)), "does not fill"),
        (RunLengths(np.array(COUNTS), (5, 4)), "4x5 pixels, its image is 5x4"),
    ],
)
def test_bad_shapes_are_explained(shape, words):
    with pytest.raises(ValueError, match=words):
        draw(shape, 4, 5)
    with pytest.raises(ValueError, match="image of 1000000x1000000"):
        draw([np.zeros((3, 2))], 10**6, 10**6)


W, H = 96, 80


def box(left: int, top: int, width: int, height: int) -> list[float]:
    return [left, top, left + width, top, left + width, top + height, left, top + height]


def runs(mask: np.ndarray) -> list[int]:
    flat = np.concatenate([[0], mask.T.ravel().astype(int), [0]])
    edges = np.flatnonzero(np.diff(flat))
    return np.diff(np.concatenate([[0], edges, [mask.size]])).tolist()


@pytest.fixture
def dataset(tmp_path):
    """dataset(**changes) -> root, in LVIS's layout: two images with polygons, a run-length mask, a crowd."""

    def make(images=None, annotations=None):
        content = json.loads(json.dumps(CONTENT))
        content["images"] += images or []
        content["annotations"] += annotations or []
        (tmp_path / "lvis_v1_train.json").write_text(json.dumps(content))
        (tmp_path / "train2017").mkdir(exist_ok=True)
        for number in (1, 2):
            image = np.full((H, W, 3), 40 * number, np.uint8)
            image[20:60, 20:70] = (200, 90, 60)
            Image.fromarray(image).save(tmp_path / f"train2017/{number:012d}.jpg")
        return tmp_path

    big = np.zeros((H, W), bool)
    big[10:70, 5:35] = True
    CONTENT = {
        "info": {"id": 7},
        "images": [
            {"id": n, "height": H, "width": W, "coco_url": f"http://x.org/train2017/{n:012d}.jpg"} for n in (1, 2)
        ],
        "annotations": [
            {"id": 11, "image_id": 1, "area": 2000, "segmentation": [box(20, 20, 50, 40)], "category_id": 3},
            {"id": 12, "image_id": 2, "area": 1800, "segmentation": {"counts": runs(big), "size": [H, W]}},
            {"id": 13, "image_id": 2, "area": 1000, "segmentation": [box(50, 5, 20, 20), box(50, 50, 30, 20)]},
            {"id": 14, "image_id": 2, "area": 9, "segmentation": [box(1, 1, 3, 3)]},
            {"id": 15, "image_id": 2, "area": 5000, "iscrowd": 1, "segmentation": [box(1, 1, 90, 70)]},
        ],
        "categories": [{"id": 3, "name": "chair"}],
    }
    return make


FEW = ["size=64", "validation=null", "data.lvis.smallest=500"]
ALONE = [f"data.{name}.weight=0" for name in ("fss", "duts_tr", "duts_te", "ecssd", "big", "hrsod")]


def mixture(stage: str, root, *overrides) -> Mixture:
    return open_mixture(load_stage(stage, ["data.lvis.weight=1", *ALONE, *overrides], [f"lvis={root}"]))


def test_objects_are_items_of_s2m(dataset):
    source = mixture("s2m/static", dataset(), *FEW).sources[0]
    assert source.names == [f"train2017/{i:012d}.jpg #{a}" for i, a in ((1, 11), (2, 12), (2, 13))]
    drawn = np.array(source.stills.mask(2, None)) > 0
    assert drawn[5:25, 50:70].all() and drawn[50:70, 50:80].all() and drawn.sum() == 400 + 600
    others = [source.stills.another(1, np.random.default_rng(n), 900) for n in range(20)]
    found = {None if other is None else int((np.array(other) > 0).sum()) for other in others}
    assert found == {None, 1000}  # neither the crowd nor the small object counts, nor the object itself
    assert source.stills.another(0, np.random.default_rng(0), 900) is None


def test_another_object_is_marked_negative_or_in_the_current_mask(dataset):
    always = ["scribbles.from_zero=0", "scribbles.another=1", "scribbles.iou=[0.9, 0.95]", "scribbles.free=0"]
    for negative in (0, 1):
        many = mixture("s2m/static", dataset(), *FEW, *always, f"scribbles.another_negative={negative}", "size=96")
        samples = [many[Draw(0, n, 0, 1, 1)] for n in range(10)]
        spilt = [float((s.before > 0)[s.true == 0].float().mean()) for s in samples]
        assert all(set(s.before.unique().tolist()) <= {0, 255} for s in samples)
        assert (max(spilt) > 0.05) == (negative == 0)
    assert any((s.negative > 0).sum() > 60 for s in samples)


def test_lvis_is_a_source_of_sequences_too(dataset):
    many = mixture("stm/static", dataset(), "size=64", "data.lvis.smallest=500")
    sample = many[Draw(0, 0, 0, 1, 1)]
    assert sample.images.shape == (3, 3, 64, 64) and sample.name.endswith("#12") and (sample.masks > 127).any()


def test_lvis_has_a_scale_of_its_own(dataset):
    source = mixture("s2m/static", dataset(), *FEW).sources[0]
    assert source.warper.change.scale == (0.8, 1.0) and source.augmentation.frame.scale == (0.8, 1.25)


def test_bad_annotations_and_missing_images_are_skipped_and_named(dataset):
    root = dataset(
        images=[
            {"id": 3, "height": H, "width": W, "file_name": "train2017/lost.jpg"},
            {"id": 4, "height": H, "width": W, "file_name": "../../etc/passwd.jpg"},
        ],
        annotations=[
            {"id": 21, "image_id": 1, "area": 800, "segmentation": [[1, 2, 3]]},
            {"id": 22, "image_id": 3, "area": 800, "segmentation": [box(1, 1, 40, 20)]},
            {"id": 23, "image_id": 1, "area": 800, "segmentation": {"counts": "5", "size": [H, W]}},
            {"id": 24, "image_id": 4, "area": 800, "segmentation": [box(1, 1, 40, 20)]},
            {"id": 25, "image_id": 99, "area": 800, "segmentation": [box(1, 1, 40, 20)]},
        ],
    )
    many = mixture("s2m/static", root, *FEW)
    words = {
        21: "annotation 21 has no polygon",
        22: "lost.jpg is not in",
        23: "annotation 23 has a run-length",
        24: "passwd.jpg is not in",
    }
    numbers = [int(name.split("#")[1]) for name in many.sources[0].names]
    assert 25 not in numbers and {21, 22, 23, 24} <= set(numbers)
    for number, text in words.items():
        sample = many[Draw(0, 0, 0, numbers.index(number), 1)]
        assert text in sample.skipped[0] and torch.any(sample.image)
    small = Image.new("RGB", (W // 2, H))
    small.save(root / "train2017/000000000001.jpg")
    assert "its mask" in many[Draw(0, 0, 0, 0, 1)].skipped[0]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is no annotation file"),
        ("[]", "is no annotation file"),
        ('{"images": []}', "lacks 'annotations'"),
        ('{"images": [{"id": 1}], "annotations": []}', "lacks 'coco_url'"),
        ('{"images": [], "annotations": [{"id": 1}]}', "1 annotations lack id"),
        ('{"images": [], "annotations": []}', "has no object of"),
        ('{"images": [], "annotations": [{"id": 1, "image_id": null, "area": 1, "segmentation": []}]}', "is no anno"),
    ],
)
def test_other_files_are_refused(tmp_path, content, words):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(UserError, match=words):
        mixture("s2m/static", tmp_path / "a.json", *FEW)


def test_the_file_is_found(dataset, tmp_path):
    root = dataset()
    (root / "annotations").mkdir()
    (root / "lvis_v1_train.json").rename(root / "annotations/own.json")
    assert len(mixture("s2m/static", root, *FEW).sources[0]) == 3
    assert mixture("s2m/static", root / "annotations/own.json", *FEW)[Draw(0, 0, 0, 0, 1)].skipped == []
    (root / "annotations/more.json").write_text("{}")
    with pytest.raises(UserError, match="several JSON files"):
        mixture("s2m/static", root, *FEW)
    with pytest.raises(UserError, match="do not exist"):
        mixture("s2m/static", tmp_path / "nothing", *FEW)
    with pytest.raises(UserError, match="holds no JSON file"):
        mixture("s2m/static", root / "train2017", *FEW)
    with pytest.raises(UserError, match="image folder"):
        mixture("s2m/static", root / "annotations/own.json", *FEW, "data.lvis.images=/no/such")


def test_objects_of_an_image_are_held_out_together(dataset):
    many = mixture("s2m/static", dataset(), *FEW, "validation={share: 0.3, samples: 5, every: 5}")
    images = [{name.split("#")[0] for name in part.sources[0].names} for part in (many, many.held_out())]
    assert len(images[0]) == len(images[1]) == 1 and not images[0] & images[1]
