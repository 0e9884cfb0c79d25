import io
import os

import numpy as np
import pytest
from PIL import Image

from bl30k_gen.dataset import files
from bl30k_gen.errors import UserError


def test_writing_replaces_whole_files_and_creates_folders(tmp_path):
    path = tmp_path / "a/b/c.txt"
    files.write_atomically(path, "Grüße")
    files.write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert [p.name for p in path.parent.iterdir()] == ["c.txt"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_interrupted_write_keeps_the_old_file_and_leaves_nothing(tmp_path, monkeypatch, step):
    path = tmp_path / "c.txt"
    files.write_atomically(path, "old")

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, step, interrupt)
    with pytest.raises(KeyboardInterrupt):
        files.write_atomically(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["c.txt"]


def test_full_disk_is_one_clear_line_and_leaves_nothing(small_disk):
    files.write_atomically(small_disk / "first.bin", bytes(700_000))
    with pytest.raises(UserError, match=f"no space left in {small_disk} for second.bin"):
        files.write_atomically(small_disk / "second.bin", bytes(700_000))
    assert [p.name for p in small_disk.iterdir()] == ["first.bin"]


def test_a_file_in_place_of_a_folder_is_named(tmp_path):
    (tmp_path / "data").write_text("")
    with pytest.raises(UserError, match="data cannot be a folder"):
        files.write_atomically(tmp_path / "data/x.txt", "")


def test_digests(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert files.sha256(path) == files.sha256_bytes(b"abc") == known


@pytest.mark.parametrize(("subsampling", "number"), [("4:4:4", 0), ("4:2:2", 1), ("4:2:0", 2)])
def test_jpeg_is_deterministic_faithful_and_subsampled_as_asked(subsampling, number):
    from PIL import JpegImagePlugin

    y, x = np.mgrid[:64, :96]
    rgb = np.stack([x * 2, y * 3, x + y], -1).astype(np.uint8)
    data = files.encode_jpeg(rgb, 98, subsampling)
    assert data == files.encode_jpeg(rgb, 98, subsampling)
    assert JpegImagePlugin.get_sampling(Image.open(io.BytesIO(data))) == number
    assert np.abs(files.decode_rgb(data, "x").astype(int) - rgb).mean() < 1.5


def test_jpeg_refuses_other_arrays():
    with pytest.raises(ValueError, match="uint8"):
        files.encode_jpeg(np.zeros((4, 4, 3), np.float32), 98, "4:4:4")


def test_a_damaged_image_is_named():
    data = files.encode_jpeg(np.zeros((64, 96, 3), np.uint8), 98, "4:4:4")
    with pytest.raises(UserError, match="here.jpg is damaged"):
        files.decode_rgb(data[: len(data) // 2], "here.jpg")
