"""Videos and masks as users have them: read correctly or refused in one line; see docs/results/robustness.md."""

import logging
import time

import numpy as np
import pytest
from PIL import Image

from bl30k_gen.dataset.files import decode_rgb
from bl30k_gen.dataset.reader import open_dataset
from bl30k_gen.errors import UserError
from tests.support.videos import frame, mask, write_masks, write_video
from training.data import lvis, transforms
from training.data.images import Pairs
from training.data.pairs import find_pairs
from training.data.videos import check_masks
from training.evaluation.semi_supervised import read_list, score_folders
from training.experiments.evaluate import require_scorable
from training.inference.segment import segment_frames
from training.inference.video import VideoFile, open_video, read_given


def quiet(text):
    pass


def j_and_f(truth, predictions, **options):
    return score_folders(truth, predictions, say=quiet, **options).summary()["J&F"]


# --- what masks mean -------------------------------------------------------


def test_soft_masks_are_scored_only_where_the_user_says_so(tmp_path):
    frames = range(6)
    write_masks(tmp_path / "truth/ball", [mask(n, 255) for n in frames])
    write_masks(tmp_path / "soft/ball", [mask(n, 255, soft=4) for n in frames])
    for pair in (("truth", "soft"), ("soft", "truth")):
        with pytest.raises(UserError, match=r"soft/ball/0000\d.png has soft edges.*--masks soft"):
            j_and_f(*(tmp_path / name for name in pair))
        assert j_and_f(*(tmp_path / name for name in pair), masks="soft") > 95
    write_masks(tmp_path / "ids/ball", [mask(n, 1) for n in frames])
    assert j_and_f(tmp_path / "ids", tmp_path / "soft", masks="soft") > 95, "ids stay ids"


def test_soft_masks_of_a_dataset_are_never_dozens_of_objects(tmp_path):
    write_video(tmp_path, "a", 6)
    write_masks(tmp_path / "Annotations/a", [mask(n, 255, soft=3) for n in range(6)])
    with pytest.raises(UserError, match="soft edges"):
        open_dataset(tmp_path).read_mask("a", 0)
    cut = open_dataset(tmp_path, masks_mean="soft").read_mask("a", 0)
    assert cut.void is None and (cut.ids == mask(0)).mean() > 0.98


@pytest.mark.parametrize("palette", [False, True], ids=["grey", "palette"])
def test_class_labels_with_void_are_the_same_in_every_mode(tmp_path, palette):
    labels = np.zeros((48, 64), np.uint8)
    labels[8:40, 8:28] = labels[8:40, 34:54] = 255
    labels[10:38, 10:26], labels[10:38, 36:52] = 5, 12
    for name in ("a", "b"):
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(frame(0)).save(tmp_path / f"images/{name}.jpg")
        (tmp_path / "masks").mkdir(exist_ok=True)
        image = Image.fromarray(labels)
        if palette:
            image.putpalette([9, 9, 9] * 256)
        image.save(tmp_path / f"masks/{name}.png")
    pairs = Pairs(tmp_path)
    drawn = {np.asarray(pairs.mask(0, np.random.default_rng(seed))).tobytes() for seed in range(12)}
    assert drawn == {((labels == label) * np.uint8(255)).tobytes() for label in (5, 12)}


def test_soft_masks_of_still_images_stay_soft_and_one_bright_pixel_changes_nothing(tmp_path):
    for name, values in (("a", mask(0, 255, soft=3)), ("b", np.zeros((48, 64), np.uint8))):
        Image.fromarray(frame(0)).save(tmp_path / f"{name}.jpg")
        Image.fromarray(values).save(tmp_path / f"{name}.png")
    pairs = Pairs(tmp_path)
    assert np.array_equal(np.asarray(pairs.mask(0, np.random.default_rng(0))), mask(0, 255, soft=3))
    Image.fromarray(np.kron(np.arange(1, 13, dtype=np.uint8).reshape(3, 4) * 20, np.ones((16, 16), np.uint8))).save(
        tmp_path / "a.png"
    )
    assert Pairs(tmp_path).meaning == "ids", "bright ids are no soft mask"


def test_transparent_predictions_are_background(tmp_path):
    write_masks(tmp_path / "truth/ball", [mask(n, 255) for n in range(6)])
    for mode, channels in (("RGBA", 4), ("LA", 2)):
        layers = [np.full((48, 64, channels), 255, np.uint8) for _ in range(6)]
        for n, layer in enumerate(layers):
            layer[..., -1] = mask(n, 255)
        write_masks(tmp_path / mode / "ball", layers)
        assert j_and_f(tmp_path / "truth", tmp_path / mode) == 100


# --- frames ------------------------------------------------------------------


def test_grey_frames_of_16_bits_keep_their_brightness(tmp_path):
    grey = (frame(0)[..., 0].astype(np.uint16) * 257) + 3
    Image.fromarray(grey).save(tmp_path / "0.png")
    data = (tmp_path / "0.png").read_bytes()
    assert np.array_equal(decode_rgb(data, "0.png"), np.repeat(frame(0)[..., :1], 3, axis=2))
    opened = transforms.open_image(data, "0.png")
    assert np.array_equal(
        np.asarray(transforms.decode(opened, (0, 0, 64, 48), (64, 48), "0.png"))[..., 0], frame(0)[..., 0]
    )


def test_frames_with_exif_orientation_are_refused_by_every_reader(tmp_path):
    exif = Image.new("RGB", (1, 1)).getexif()
    exif[0x0112] = 3
    write_video(tmp_path, "clip", 2, exif=exif)
    path = tmp_path / "JPEGImages/clip/00000.jpg"
    line = "00000.jpg has EXIF orientation 3.*mogrify"
    for read in (
        lambda: open_dataset(tmp_path).read_rgb("clip", 0),
        lambda: open_video(path.parent)[0],
        lambda: transforms.open_image(path.read_bytes(), path),
    ):
        with pytest.raises(UserError, match=line):
            read()
    exif[0x0112] = 1
    write_video(tmp_path, "clip", 2, exif=exif)
    assert open_dataset(tmp_path).read_rgb("clip", 0).shape == (48, 64, 3)


def test_hidden_files_suffixes_in_any_case_and_frames_that_are_there_twice(tmp_path):
    write_masks(tmp_path / "truth/clip", [mask(n) for n in range(6)], suffix="PNG")
    (tmp_path / "truth/clip/._00003.PNG").write_bytes(b"of another system")
    assert j_and_f(tmp_path / "truth", tmp_path / "truth") == 100
    write_masks(tmp_path / "truth/clip", [mask(0)])
    with pytest.raises(UserError, match="frame 00000 twice"):
        j_and_f(tmp_path / "truth", tmp_path / "truth")
    write_video(tmp_path / "data", "clip", 2)
    write_video(tmp_path / "data", "clip", 2, suffix="png")
    with pytest.raises(UserError, match="00000.jpg is there twice, also as 00000.png"):
        find_pairs(tmp_path / "data")


def test_masks_without_leading_zeros_are_scored_in_their_order(tmp_path):
    for digits in (1, 5):
        write_masks(tmp_path / f"{digits}/clip", [mask(n) for n in range(12)], digits)
    results = [score_folders(tmp_path / d, tmp_path / d, say=quiet) for d in "15"]
    assert [len(result.objects[0].frames) for result in results] == [10, 10]
    assert results[0].left_out == {"clip": ("0", "11")}


def matroska(path, promised, cut=0):
    """A WebM of ten frames whose header gives a duration in seconds, optionally without its last bytes."""
    cv2 = pytest.importorskip("cv2")
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"VP80"), 10, (64, 48))
    for number in range(10):
        writer.write(np.ascontiguousarray(frame(number)[..., ::-1]))
    writer.release()
    data = bytearray(path.read_bytes())
    place = data.index(b"\x44\x89\x88") + 3  # the duration: its number, and that it has eight bytes
    data[place : place + 8] = np.array(1000 * promised, ">f8").tobytes()
    path.write_bytes(data[: len(data) - cut])
    return path


def test_audio_that_is_longer_than_the_video_is_no_damage(tmp_path):
    assert sum(1 for _ in VideoFile(matroska(tmp_path / "a.webm", 4))) == 10
    with pytest.raises(UserError, match="b.webm is damaged after frame"):
        list(VideoFile(matroska(tmp_path / "b.webm", 4, cut=200)))


# --- masks that are given ------------------------------------------------------


def test_a_mask_belongs_to_the_frame_with_its_number(tmp_path):
    names = [f"{n:05d}" for n in range(8)]
    for name in ("00005.png", "frame_00005_mask.png", "5.png"):
        Image.fromarray(mask(5)).save(tmp_path / name)
        assert list(read_given(tmp_path / name, names)) == [5]
        assert list(read_given(tmp_path / name)) == [5], "of a video file as well"
    Image.fromarray(mask(0)).save(tmp_path / "first.png")
    said = []
    assert list(read_given(tmp_path / "first.png", names, say=said.append)) == [0]
    assert "first.png is taken for the mask of the first frame" in said[0]


def test_every_given_mask_is_a_reference_in_every_direction(tmp_path, cells):
    video = cells.video(8)
    for number in (0, 5):
        Image.fromarray(cells.mask(video, number, {1: (0, 5)})).save(tmp_path / f"{number:05d}.png")
    given = read_given(tmp_path, [f"{n:05d}" for n in range(8)])
    assert list(given) == [0, 5]
    given = {0: given[0], 7: cells.mask(video, 7, {1: (0, 5)})}
    backward = segment_frames(cells.network(), list(video), given, direction="backward", say=quiet)
    assert [bool(result.labels().any()) for result in backward] == [True] * 8
    network = cells.network()
    list(segment_frames(network, list(video), {0: given[0], 5: cells.mask(video, 5, {1: (0,)})}, say=quiet))
    assert 5 in network.memorised, "the second mask of an object went into memory"


# --- true messages ---------------------------------------------------------------


def test_why_nothing_is_scored(tmp_path):
    write_masks(tmp_path / "two/clip", [mask(0), mask(1)])
    with pytest.raises(UserError, match="no frame of .* is left to score.*--protocol all"):
        j_and_f(tmp_path / "two", tmp_path / "two")
    write_masks(tmp_path / "late/clip", [np.zeros((48, 64), np.uint8), *(mask(n) for n in range(4))])
    with pytest.raises(UserError, match="clip: object 1 is absent from the first frame, 00000.*--protocol youtube"):
        j_and_f(tmp_path / "late", tmp_path / "late")
    write_masks(tmp_path / "none/clip", [np.zeros((48, 64), np.uint8)] * 4)
    with pytest.raises(UserError, match="no annotation in .* has an object"):
        j_and_f(tmp_path / "none", tmp_path / "none")


@pytest.mark.parametrize("given", [{0: 1}, {0: 1, 15: 2}], ids=["test-dev", "YouTube-VOS valid"])
def test_datasets_with_only_given_masks_are_refused_before_segmenting(tmp_path, given):
    write_video(tmp_path, "v", 20)
    for number in range(20):
        path = tmp_path / f"Annotations/v/{number:05d}.png"
        path.unlink()
        if number in given:
            Image.fromarray(mask(0, given[number])).save(path)
    store = open_dataset(tmp_path)
    with pytest.raises(UserError, match="only given masks .* are public: nothing to score"):
        require_scorable(store, store.videos, tmp_path)
    Image.fromarray(mask(1)).save(tmp_path / "Annotations/v/00001.png")
    require_scorable(open_dataset(tmp_path), ["v"], tmp_path)


def test_masks_without_any_object_and_short_videos_are_said_before_training(tmp_path, caplog):
    write_video(tmp_path, "a", 6)
    write_video(tmp_path, "short", 2)
    store = open_dataset(tmp_path)
    with caplog.at_level(logging.WARNING):
        check_masks(store, ["a", "short"])
    assert "1 of 2 videos, such as short, have under 3 annotated frames" in caplog.text
    with pytest.raises(UserError, match="short has 2 annotated frames"):
        check_masks(store, ["short"])
    write_masks(tmp_path / "Annotations/a", [np.zeros((48, 64), np.uint8)] * 6)
    with pytest.raises(UserError, match="shows no object in any of 4 masks"):
        check_masks(open_dataset(tmp_path), ["a", "short"])


def test_lists_of_videos_to_score(tmp_path):
    for name in ("ball one", "ball", "ballé"):
        write_masks(tmp_path / "truth" / name, [mask(n) for n in range(4)])
    (tmp_path / "list.txt").write_bytes("\ufeffball one\r\n\r\nballé\r\n".encode())
    names = read_list(tmp_path / "list.txt")
    assert names == ["ball one", "ballé"]
    result = score_folders(tmp_path / "truth", tmp_path / "truth", videos=names, say=quiet)
    assert [score.video for score in result.objects] == names


# --- polygons of LVIS --------------------------------------------------------------


def test_polygons_are_filled_as_by_a_test_of_each_pixel_and_fast():
    from skimage.draw import polygon2mask

    random = np.random.default_rng(0)
    for corners in (3, 4, 9, 40):
        points = (random.random((corners, 2)) * (90, 70) - 10).astype(np.float32)
        expected = polygon2mask((50, 64), points[:, ::-1] - 0.5)
        got = lvis.draw([points], 50, 64)
        assert (got != expected).sum() <= 2, "but for centres that lie on an edge"
    angles = np.linspace(0, 2 * np.pi, 2000, endpoint=False)
    wheel = np.stack([500 + 400 * np.cos(angles), 400 + 350 * np.sin(angles)], 1).astype(np.float32)
    began = time.process_time()
    area = sum(int(lvis.draw([wheel], 800, 1000).sum()) for _ in range(20)) / 20
    assert area == pytest.approx(np.pi * 400 * 350, rel=0.01)
    assert time.process_time() - began < 1
