"""Video files and SA-V, decoded by OpenCV and PyAV."""

import json
import shutil

import av
import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from bl30k_gen.dataset.reader import open_dataset
from bl30k_gen.errors import UserError
from bl30k_gen.export.encoders import movie
from tests.export.conftest import run
from tests.support.synthetic import FRAMES, HEIGHT, WIDTH


def by_opencv(path):
    capture, images = cv2.VideoCapture(str(path)), []
    while (read := capture.read())[0]:
        images.append(read[1][..., ::-1])
    return images


def by_av(path):
    with av.open(str(path)) as file:
        return [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]


def psnr(a, b):
    return 10 * np.log10(255**2 / np.square(a.astype(float) - b).mean())


def nearest(image, candidates):
    return int(np.argmax([psnr(image, candidate) for candidate in candidates]))


@pytest.mark.parametrize("codec", ["av1", "h264"])
@pytest.mark.parametrize("reader", [by_opencv, by_av])
def test_frame_i_of_the_file_is_frame_i(exported, store, codec, reader):
    out = exported("video", f"codec={codec}")
    for name, split in (("a00001", "train"), ("a00002", "val")):
        stored = [store.read_rgb(name, i) for i in range(FRAMES)]
        seen = reader(out / split / f"{name}.mp4")
        assert [nearest(image, stored) for image in seen] == list(range(FRAMES))
        assert min(psnr(a, b) for a, b in zip(seen, stored, strict=True)) > 27  # edges lose half of their chroma
        # A wrong matrix or range would change every pixel.
        assert max(np.median(np.abs(a.astype(int) - b)) for a, b in zip(seen, stored, strict=True)) <= 2


@pytest.mark.parametrize("codec", ["av1", "h264"])
def test_jumping_to_a_frame_gives_that_frame(tmp_path, codec):
    y, x = np.mgrid[:64, :96]
    images = [np.stack([x * 2, y * 3, 0 * x + (x // 8 == i // 5) * 200], -1).astype(np.uint8) for i in range(60)]
    for i, image in enumerate(images):
        image[:16, : (i % 5) * 16 + 16] = 255
    movie.write_rgb(tmp_path / "x.mp4", images, (64, 96), 24, codec, 18)
    capture = cv2.VideoCapture(str(tmp_path / "x.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 60 and capture.get(cv2.CAP_PROP_FPS) == 24
    for i in (47, 3, 24, 59):
        capture.set(cv2.CAP_PROP_POS_FRAMES, i)
        assert nearest(capture.read()[1][..., ::-1], images) == i


def test_masks_are_lossless(exported, store):
    out = exported("video")
    for reader in (by_opencv, by_av):
        for i, image in enumerate(reader(out / "train/a00000_masks.mkv")):
            assert (image == store.read_mask("a00000", i).ids[..., None]).all()
        assert i == FRAMES - 1


def test_odd_sizes_are_refused_naming_them(tmp_path):
    with pytest.raises(ValueError, match="even width and height, not 95x64"):
        movie.write_rgb(tmp_path / "x.mp4", [], (64, 95), 24, "av1", 18)


def test_sav_as_its_readers_index_it(exported, store):
    out = exported("sav")
    data = json.loads((out / "sav_train/a00001_manual.json").read_text())
    assert (data["video_height"], data["video_width"], data["video_frame_count"]) == (HEIGHT, WIDTH, FRAMES)
    assert data["masklet_num"] == len(data["masklet_id"]) == 3
    stored = np.stack([store.read_mask("a00001", i).ids for i in range(FRAMES)])
    for i, rles in enumerate(data["masklet"]):
        masks = coco_mask.decode(rles)  # every object of the frame at once, as SAM 2 does
        for k, number in enumerate(data["masklet_id"]):
            assert (masks[..., k].astype(bool) == (stored[i] == number)).all()
    two = data["masklet_id"].index(2)
    assert data["masklet_first_appeared_frame"][two] == 2
    areas = (stored == 2).sum((1, 2))
    assert data["masklet_size_abs"][two] == pytest.approx(areas[areas > 0].mean())
    assert data["masklet_size_bucket"][two] == "small"
    hidden = json.loads((out / "sav_train/a00000_manual.json").read_text())
    assert hidden["masklet_visibility_changes"][hidden["masklet_id"].index(2)] == 2
    assert len(by_opencv(out / "sav_train/a00001.mp4")) == len(data["masklet"])
    assert len(list((out / "sav_train/JPEGImages_24fps/a00001").iterdir())) == FRAMES


def test_sav_with_masks_of_every_fourth_frame(exported, store):
    data = json.loads((exported("sav", "every=4") / "sav_val/a00002_manual.json").read_text())
    assert len(data["masklet"]) == 2
    masks = coco_mask.decode(data["masklet"][1])
    for k, number in enumerate(data["masklet_id"]):
        assert (masks[..., k].astype(bool) == (store.read_mask("a00002", 4).ids == number)).all()


def test_frames_without_masks_are_refused_if_the_format_cannot_mark_them(store, places, tmp_path):
    shutil.copytree(places.root, tmp_path / "data")
    (tmp_path / "data/Annotations/a00000/00005.png").unlink()
    for name, message in (("video", "masks on 7 of 8 frames"), ("sav", "frame 00005 of a00000 has no mask")):
        with pytest.raises(UserError, match=message):
            run(open_dataset(tmp_path / "data"), name, tmp_path / name)
        assert [path.name for path in (tmp_path / name).iterdir()] == [".export"]
