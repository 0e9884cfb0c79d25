"""Names as people have them: frames in natural order, each once, and lists of every editor."""

import pytest

from bl30k_gen.dataset.listing import by_frame, frame_number, natural_key, video_names
from bl30k_gen.dataset.reader import open_dataset
from bl30k_gen.errors import UserError
from tests.support.videos import write_video


@pytest.mark.parametrize(
    "names",
    [
        ["0", "1", "2", "10", "11"],
        ["00000", "00001", "00002", "00010"],
        ["frame_2", "frame_10", "frame_100"],
        ["a1b2", "a1b10", "a2b1", "b"],
        ["001", "01", "1", "2"],
    ],
)
def test_numbers_in_names_count_as_numbers(names):
    assert sorted(sorted(names), key=natural_key) == names


def test_hidden_files_and_other_kinds_are_left_out_and_suffixes_come_in_any_case():
    names = ["10.JPG", "2.jpg", "._2.jpg", ".DS_Store", "Thumbs.db", "notes.txt", "3.jpeg"]
    assert by_frame(names, (".jpg", ".jpeg"), "v") == {"2": "2.jpg", "3": "3.jpeg", "10": "10.JPG"}


def test_a_frame_that_exists_twice_is_refused_by_the_reader(tmp_path):
    with pytest.raises(UserError, match="v has frame 0 twice: 0.jpg and 0.png"):
        by_frame(["0.png", "0.jpg"], (".jpg", ".png"), "v")
    write_video(tmp_path, "clip", 2)
    write_video(tmp_path, "clip", 2, suffix="png")
    with pytest.raises(UserError, match="clip has frame 00000 twice"):
        open_dataset(tmp_path).frames("clip")


def test_the_reader_keeps_frames_and_masks_without_leading_zeros_in_order(tmp_path):
    write_video(tmp_path, "clip", 12, digits=1)
    store = open_dataset(tmp_path)
    assert store.frames("clip") == [str(n) for n in range(12)] and store.mask_frames("clip") == list(range(12))


@pytest.mark.parametrize(
    ("stem", "number"), [("00005", 5), ("frame_00005_mask", 5), ("v2_007", 7), ("first", None), ("", None)]
)
def test_the_number_of_a_frame(stem, number):
    assert frame_number(stem) == number


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (b"my clip\nother\n", ["my clip", "other"]),
        (b"\xef\xbb\xbfother\r\n\r\n  \r\nclip \r\n", ["other", "clip"]),
        ("ballé\nballé\n".encode(), ["ballé"]),
        (b"/JPEGImages/480p/bear/00000.jpg /Annotations/480p/bear/00000.png\n", ["bear"]),
        (b"JPEGImages/my clip/0.jpg\n", ["my clip"]),
        (b"", []),
    ],
)
def test_lists_of_videos(text, names):
    assert video_names(text, "list.txt") == names


def test_a_list_that_is_not_text_is_named():
    with pytest.raises(UserError, match="list.txt is no UTF-8 text"):
        video_names(b"\xff\xfea\0", "list.txt")


@pytest.mark.parametrize("text", ["my clip\n", "\ufeffmy clip\r\n"])
def test_lists_of_a_dataset(tmp_path, text):
    for name in ("my clip", "my"):
        write_video(tmp_path, name, 3)
    (tmp_path / "ImageSets").mkdir()
    (tmp_path / "ImageSets/train.txt").write_bytes(text.encode())
    assert open_dataset(tmp_path).image_set("train") == ["my clip"]
