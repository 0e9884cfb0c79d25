import io
import tarfile

import cv2
import numpy as np
import pytest
from PIL import Image

from bl30k_gen.dataset.files import encode_jpeg
from bl30k_gen.dataset.masks import encode_mask
from bl30k_gen.errors import UserError
from training.inference.video import FrameFolder, first_appearances, open_frames, open_video, read_given

MASK = encode_mask(np.ones((24, 32), np.uint8))


def write_frames(folder, count, size=(24, 32), suffix="png", names=None):
    folder.mkdir(exist_ok=True)
    frames = []
    for t in range(count):
        frames.append(np.full((*size, 3), 10 * t, np.uint8))
        Image.fromarray(frames[-1]).save(folder / f"{names[t] if names else t}.{suffix}")
    return frames


def write_mask(path, ids):
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(encode_mask(np.asarray(ids, np.uint8)))


def write_movie(file, frames):
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*"MJPG"), 5, (48, 32))
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()


def test_folders_are_read_in_the_order_of_numbers(tmp_path):
    frames = write_frames(tmp_path / "v", 12)
    video = open_video(tmp_path / "v")
    assert video.names == [str(t) for t in range(12)]
    assert all((frame == expected).all() for frame, expected in zip(video, frames, strict=True))


def test_a_damaged_frame_has_the_remedy_of_its_kind_of_folder(tmp_path):
    """`generate.py verify` knows the videos that this project has rendered, but not a user's own."""
    (tmp_path / "JPEGImages").mkdir()
    folder = tmp_path / "JPEGImages" / "v"
    write_frames(folder, 1)
    (folder / "0.png").write_bytes(b"nothing")
    with pytest.raises(UserError, match="0.png is damaged .*: replace it by an undamaged copy$"):
        open_frames(folder)[0]
    (tmp_path / "Metadata").mkdir()
    with pytest.raises(UserError, match="0.png is damaged .*: restore it; `generate.py verify` lists all such$"):
        (video := open_frames(folder))[0]
    (folder / "0.png").unlink()
    with pytest.raises(UserError, match="0.png cannot be read .No such file.*: restore it"):
        video[0]


def test_video_files_stream(tmp_path):
    file = tmp_path / "v.avi"
    frames = [np.full((32, 48, 3), (40 * t, 20, 200 - 40 * t), np.uint8) for t in range(5)]
    write_movie(file, frames)
    video = open_video(file)
    for _ in range(2):
        read = list(video)
        assert len(read) == 5 and read[0].shape == (32, 48, 3)
        assert all(np.abs(a.astype(int) - b).max() < 12 for a, b in zip(read, frames, strict=True))


def test_bad_videos_are_one_clear_line(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        open_video(tmp_path / "absent.mp4")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="has no frames"):
        open_video(tmp_path / "empty")
    write_frames(tmp_path / "v", 2)
    Image.new("RGB", (30, 24)).save(tmp_path / "v" / "2.png")
    with pytest.raises(UserError, match="2.png is 30x24, others are 32x24"):
        list(open_video(tmp_path / "v"))
    (tmp_path / "v" / "2.png").write_bytes(b"nothing")
    with pytest.raises(UserError, match="2.png is damaged .*: replace it by an undamaged copy$"):
        FrameFolder(tmp_path / "v")[2]
    write_frames(tmp_path / "v", 2, suffix="jpg")
    with pytest.raises(UserError, match="frame 0 twice"):
        open_video(tmp_path / "v")
    (tmp_path / "v.mp4").write_bytes(b"no video")
    with pytest.raises(UserError, match="v.mp4 holds no video"):
        list(open_video(tmp_path / "v.mp4"))


def test_a_video_file_that_ends_early_is_named(tmp_path):
    file = tmp_path / "v.avi"
    write_movie(file, np.random.default_rng(0).integers(0, 255, (20, 32, 48, 3), np.uint8))
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    read = iter(open_video(file))
    with pytest.raises(UserError, match=r"v.avi is damaged after frame \d+, \d\.\d of 4.0 s"):
        while True:
            next(read)
    with pytest.raises(UserError, match=r"v.avi is damaged after frame \d+, \d\.\d of 4.0 s"):
        open_frames(file)  # random access read the first part as the whole
    file.write_bytes(b"no video")
    with pytest.raises(UserError, match="v.avi holds no video"):
        open_frames(file)


def test_given_masks_are_matched_by_name_and_each_is_a_reference(tmp_path):
    a = np.zeros((4, 4), np.uint8)
    a[0], a[1] = 1, 2
    b = a.copy()
    b[2] = 7
    write_mask(tmp_path / "m" / "f010.png", a)
    write_mask(tmp_path / "m" / "f012.png", b)
    given = read_given(tmp_path / "m", ["f009", "f010", "f011", "f012"])
    assert set(given) == {1, 3}
    assert (given[1] == a).all() and (given[3] == b).all()
    assert set(read_given(tmp_path / "m" / "f012.png", ["f009", "f010", "f011", "f012"])) == {3}
    assert set(read_given(tmp_path / "m" / "f012.png", ["0", "1"])) == {0}, "any name for the first frame's"
    write_mask(tmp_path / "n" / "00004.png", a)
    assert set(read_given(tmp_path / "n")) == {4}, "frames of a video file are numbered"


def test_masks_of_all_kinds(tmp_path):
    ids = np.zeros((6, 6), np.uint16)
    ids[2:4] = 3
    Image.fromarray(ids).save(tmp_path / "deep.png")
    assert (read_given(tmp_path / "deep.png")[0] == ids).all()
    Image.fromarray((ids > 0).astype(np.uint8) * 255).save(tmp_path / "white.png")
    assert (read_given(tmp_path / "white.png")[0] == (ids > 0)).all()


def test_bad_masks_are_one_clear_line(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        read_given(tmp_path / "absent.png")
    (tmp_path / "m").mkdir()
    with pytest.raises(UserError, match="has no masks"):
        read_given(tmp_path / "m")
    write_mask(tmp_path / "m" / "00007.png", np.zeros((4, 4)))
    with pytest.raises(UserError, match="00007.png belongs to no frame: frames are called like f0"):
        read_given(tmp_path / "m", ["f0", "f1"])
    with pytest.raises(UserError, match="shows no object"):
        read_given(tmp_path / "m")


def test_first_appearances():
    masks = [(0, np.array([[0, 1]])), (3, np.array([[1, 1]])), (5, np.array([[1, 2]]))]
    given = first_appearances(masks)
    assert {t: ids.tolist() for t, ids in given.items()} == {0: [[0, 1]], 5: [[0, 2]]}


@pytest.mark.parametrize("code, suffix", [("MJPG", "avi"), ("mp4v", "mp4")])
def test_frames_of_a_video_file_in_any_order(tmp_path, code, suffix):
    """Each frame equals that of reading from the beginning, even if seeking is unreliable."""
    file = tmp_path / f"v.{suffix}"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*code), 12.5, (48, 32))
    for t in range(90):
        frame = np.full((32, 48, 3), 2 * t, np.uint8)
        frame[:, t % 48] = 255
        writer.write(frame)
    writer.release()
    expected = list(open_video(file))
    video = open_frames(file)
    assert len(video) == 90 and video.names[3] == "00003" and video.rate == pytest.approx(12.5)
    for index in (70, 3, 4, 89, 0, 55, 54, 70):
        assert (video[index] == expected[index]).all(), index
    video._capture.set(1, 40)  # as if a seek had ended at another frame
    video._next = 60
    assert (video[61] == expected[61]).all()
    with pytest.raises(IndexError):
        video[90]


def test_one_video_of_a_dataset_must_be_named(tmp_path):
    write_frames((tmp_path / "JPEGImages").parent / "x", 1)
    (tmp_path / "JPEGImages").mkdir()
    (tmp_path / "x").rename(tmp_path / "JPEGImages" / "x")
    for opened in (open_frames, open_video):
        assert opened(tmp_path / "x").path == tmp_path / "JPEGImages" / "x"
        with pytest.raises(UserError, match="name one of them, such as .*x"):
            opened(tmp_path)
    (tmp_path / "JPEGImages/x").rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="dataset of 0 videos"):
        open_video(tmp_path)


def test_a_video_in_a_shard_has_its_frames(tmp_path):
    frames = [encode_jpeg(np.full((24, 32, 3), 40 * t, np.uint8), 90, "4:4:4") for t in range(3)]
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for t, data in enumerate(frames):
            for name, content in ((f"JPEGImages/v/{t:05d}.jpg", data), (f"Annotations/v/{t:05d}.png", MASK)):
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    for path in (tmp_path / "a.tar/v", tmp_path / "v"):
        video = open_frames(path)
        assert video.names == ["00000", "00001", "00002"] and video.path == path
        assert [video.encoded(t) for t in range(3)] == frames
        assert video[2].shape == (24, 32, 3) and video[2].mean() > 70
    with pytest.raises(UserError, match="has no video w"):
        open_frames(tmp_path / "a.tar/w")
    for dataset in (tmp_path, tmp_path / "a.tar"):
        with pytest.raises(UserError, match="dataset of 1 video"):
            open_frames(dataset)
