import io
import json
import logging
import multiprocessing
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bl30k_gen.dataset import masks, pack, writers
from bl30k_gen.dataset.reader import open_dataset
from bl30k_gen.errors import UserError


@pytest.fixture(params=["folder", "tar", "hdf5"])
def store(request, dataset, tmp_path):
    if request.param == "folder":
        return open_dataset(dataset.root)
    pack.pack(open_dataset(dataset.root), tmp_path / "shards", request.param)
    return open_dataset(tmp_path / "shards")


def test_every_store_reads_the_same_bytes(store, dataset):
    assert store.videos == ["a00000", "a00001", "a00002"]
    for name in store.videos:
        assert store.frames(name) == [f"{i:05d}" for i in range(8)]
        assert store.mask_frames(name) == list(range(8))
        for i in range(8):
            assert store.rgb_bytes(name, i) == dataset.rgb(name, i).read_bytes()
            assert store.mask_bytes(name, i) == dataset.mask(name, i).read_bytes()
        described = store.metadata(name)
        assert described == json.loads(dataset.metadata(name).read_text())
        assert store.members(name) == {p: e["bytes"] for p, e in described["files"].items()} | {
            f"Metadata/{name}.json": dataset.metadata(name).stat().st_size
        }
    assert store.image_set("train") == ["a00000", "a00001"]


def test_decoded_frames_and_masks_agree_with_the_metadata(store):
    rgb, mask = store.read_rgb("a00001", 3), store.read_mask("a00001", 3)
    assert rgb.shape == (64, 96, 3) and rgb.dtype == np.uint8
    assert mask.void is None and mask.kind == "ids"
    for described in store.metadata("a00001")["objects"]:
        assert (mask.ids == described["id"]).sum() == described["visible_area"][3]


def test_a_video_without_metadata_is_named_with_the_nearest(store):
    with pytest.raises(UserError, match=r"has no metadata of video a0002: did you mean a00002\?"):
        store.required_metadata("a0002")


def digest_all(store):
    return [hash_of(store, name, i) for name in store.videos for i in range(8)]


def hash_of(store, name, i):
    return int(store.read_rgb(name, i).sum()) + int(store.read_mask(name, i).ids.sum())


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_used_store_works_in_other_processes(store, method):
    expected = digest_all(store)
    with multiprocessing.get_context(method).Pool(2) as pool:
        tasks = [(store, name, i) for name in store.videos for i in range(8)]
        assert pool.starmap(hash_of, tasks, chunksize=3) == expected
    assert digest_all(store) == expected


def test_forked_readers_do_not_move_each_others_position(dataset, tmp_path):
    pack.pack(open_dataset(dataset.root), tmp_path / "shards", "tar")
    store = open_dataset(tmp_path / "shards")
    expected = digest_all(store)  # opens the file, which the children inherit
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            os._exit(0 if all(digest_all(store) == expected for _ in range(20)) else 1)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4


WITHOUT_POSIX = """
import os, sys
for name in ("fcntl", "resource", "pwd", "grp"):
    sys.modules[name] = None
for name in ("pread", "O_CLOEXEC", "O_NONBLOCK", "fork", "getloadavg", "sched_getaffinity"):
    delattr(os, name)
import bl30k_gen.cli, training.cli
from bl30k_gen.dataset.reader import open_dataset
store = open_dataset(sys.argv[1])
print(sum(int(store.read_mask(name, 0).ids.sum()) for name in store.videos), store.config() is not None)
"""


def test_datasets_are_read_without_posix_functions(dataset, tmp_path):
    """As on Windows, whose Python lacks these: the commands are there to say so."""
    pack.pack(open_dataset(dataset.root), tmp_path / "tar", "tar")
    for path in (dataset.root, tmp_path / "tar"):
        expected = sum(int(open_dataset(path).read_mask(n, 0).ids.sum()) for n in open_dataset(path).videos)
        command = [sys.executable, "-c", WITHOUT_POSIX, str(path)]
        done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
        assert done.stdout.split()[:1] == [str(expected)], done.stderr


def test_unfinished_videos_are_not_read(dataset, staged):
    staged(dataset, 5)
    shutil.copytree(dataset.root / "JPEGImages/a00000", dataset.root / "JPEGImages/a00004")
    assert open_dataset(dataset.root).videos == ["a00000", "a00001", "a00002"]


def add(archive, path, data):
    entry = tarfile.TarInfo(path)
    entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data))


def test_published_tars_with_a_folder_in_front_and_without_metadata(dataset, tmp_path):
    for letter, name in (("a", "a00000"), ("b", "a00001")):
        with tarfile.open(tmp_path / f"BL30K_{letter}.tar", "w") as archive:
            for kind, suffix in (("JPEGImages", "jpg"), ("Annotations", "png")):
                for i in (3, 1, 2):
                    frame = f"{name}/{i:05d}.{suffix}"
                    add(archive, f"./BL30K/x/{kind}/{frame}", (dataset.root / kind / frame).read_bytes())
    store = open_dataset(tmp_path)
    assert store.videos == ["a00000", "a00001"]
    assert store.frames("a00001") == ["00001", "00002", "00003"]
    assert store.mask_bytes("a00001", 2) == dataset.mask("a00001", 3).read_bytes()
    assert store.metadata("a00001") is None


def test_the_index_is_saved_reused_and_renewed(dataset, tmp_path, monkeypatch):
    store = open_dataset(dataset.root)
    (shard,) = pack.pack(store, tmp_path / "shards", "tar")
    index = shard.with_name("BL30K_a.tar.index.json")
    saved = index.read_bytes()

    def refuse(*_, **__):
        raise AssertionError("the shard was scanned")

    with monkeypatch.context() as patch:
        patch.setattr(tarfile, "open", refuse)
        assert open_dataset(shard).rgb_bytes("a00000", 0) == store.rgb_bytes("a00000", 0)
    index.write_text("{}")
    assert open_dataset(shard).rgb_bytes("a00000", 0) == store.rgb_bytes("a00000", 0)
    assert index.read_bytes() == saved
    writers.write_shard(shard, "tar", iter([("JPEGImages/z/00000.jpg", b"new")]))
    assert open_dataset(shard).rgb_bytes("z", 0) == b"new"


@pytest.mark.parametrize("kind", ["tar", "hdf5"])
@pytest.mark.parametrize("keep", [0.3, 0.7, 0.9])
def test_a_cut_off_shard_is_named(dataset, tmp_path, kind, keep):
    (shard,) = pack.pack(open_dataset(dataset.root), tmp_path / "shards", kind)
    data = shard.read_bytes()
    shard.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(UserError, match=f"{shard.name} is cut off"):
        open_dataset(shard)


def test_a_tar_cut_between_two_members_is_noticed(dataset, tmp_path):
    (shard,) = pack.pack(open_dataset(dataset.root), tmp_path / "shards", "tar")
    with tarfile.open(shard) as archive:
        middle = archive.getmembers()[20].offset
    shard.write_bytes(shard.read_bytes()[:middle])
    with pytest.raises(UserError, match="cut off or damaged at byte"):
        open_dataset(shard)


def test_a_compressed_tar_says_what_to_do(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w:gz") as archive:
        add(archive, "JPEGImages/a/00000.jpg", b"x")
    with pytest.raises(UserError, match="decompress"):
        open_dataset(tmp_path / "x.tar")


def test_the_same_video_in_two_shards_is_refused(dataset, tmp_path):
    (shard,) = pack.pack(open_dataset(dataset.root), tmp_path / "shards", "tar")
    shutil.copy(shard, tmp_path / "shards/copy.tar")
    with pytest.raises(UserError, match="is in both .*BL30K_a.tar and .*copy.tar"):
        open_dataset(tmp_path / "shards")


def write_video(root, name, ids_of_frames, every=1):
    (root / "JPEGImages" / name).mkdir(parents=True)
    (root / "Annotations" / name).mkdir(parents=True)
    for i, ids in enumerate(ids_of_frames):
        ids = np.array(ids, np.uint8)
        Image.fromarray(np.stack([ids] * 3, -1)).save(root / f"JPEGImages/{name}/{i * every:05d}.jpg")
        if ids.any() or i == 0:
            Image.fromarray(ids).save(root / f"Annotations/{name}/{i * every:05d}.png")


def test_the_whole_dataset_decides_the_meaning_of_white(tmp_path, caplog):
    write_video(tmp_path, "one", [[[0, 255]], [[255, 255]]])
    write_video(tmp_path, "two", [[[0, 255]]])
    with caplog.at_level(logging.WARNING):
        store = open_dataset(tmp_path)
        assert store.read_mask("one", 0).ids.tolist() == [[0, 1]]
        assert store.read_mask("two", 0).kind == "single"
    said = [record.message for record in caplog.records]
    assert len(said) == 1 and "0 and 255 alone" in said[0]
    write_video(tmp_path, "ids", [[[0, 255]], [[1, 255]], [[0, 1]]])
    with caplog.at_level(logging.WARNING):
        store = open_dataset(tmp_path)
        assert store.read_mask("one", 0).ids.tolist() == [[0, 0]]
        assert store.read_mask("ids", 0).void.tolist() == [[False, True]]
    assert "4 of the masks looked at hold 0 and 255 alone, others ids" in caplog.records[-1].message
    assert open_dataset(tmp_path, masks_mean="binary").read_mask("ids", 1).ids.tolist() == [[1, 1]]


def test_frames_without_masks(tmp_path):
    write_video(tmp_path, "v", [[[0, 1]], [[0, 0]], [[1, 1]]], every=5)
    store = open_dataset(tmp_path)
    assert store.frames("v") == ["00000", "00005", "00010"]
    assert store.mask_frames("v") == [0, 2]
    with pytest.raises(UserError, match="frame 00005 has no mask"):
        store.read_mask("v", 1)


def test_lists_of_frame_paths_and_lists_in_folders(tmp_path):
    write_video(tmp_path, "bear", [[[0, 1]]])
    for folder, text in (("2016", "/JPEGImages/480p/bear/00000.jpg /Annotations/x\n" * 2), ("2017", "bear\n")):
        (tmp_path / "ImageSets" / folder).mkdir(parents=True)
        (tmp_path / "ImageSets" / folder / "val.txt").write_text(text)
    store = open_dataset(tmp_path)
    assert store.image_set("2016/val") == store.image_set("2017/val") == ["bear"]
    with pytest.raises(UserError, match="several lists val: there are: 2016/val, 2017/val"):
        store.image_set("val")
    with pytest.raises(UserError, match="no list test"):
        store.image_set("test")
    (tmp_path / "ImageSets/train.txt").write_text("bear\n")
    assert store.image_set("2017/train") == ["bear"], "a list that is alone needs no year"
    (tmp_path / "ImageSets/test.txt").write_text("bear\ncow\n")
    with pytest.raises(UserError, match="lists cow"):
        store.image_set("test")


def test_a_folder_that_is_no_dataset_is_named(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        open_dataset(tmp_path / "gone")
    with pytest.raises(UserError, match="has no JPEGImages"):
        open_dataset(tmp_path)
    (tmp_path / "x.zip").write_bytes(b"")
    with pytest.raises(UserError, match="x.zip is no dataset"):
        open_dataset(tmp_path / "x.zip")


def test_a_damaged_frame_is_named(dataset):
    dataset.rgb("a00000", 2).write_bytes(b"\xff\xd8 no image")
    dataset.mask("a00000", 2).write_bytes(masks.encode_mask(np.zeros((4, 4), np.uint8))[:50])
    store = open_dataset(dataset.root)
    with pytest.raises(UserError, match="JPEGImages/a00000/00002.jpg is damaged .*generate.py verify"):
        store.read_rgb("a00000", 2)
    shutil.rmtree(dataset.root / "Metadata")  # as a dataset of another origin
    with pytest.raises(UserError, match="00002.jpg is damaged .*: replace it by an undamaged copy$"):
        open_dataset(dataset.root).read_rgb("a00000", 2)
    with pytest.raises(UserError, match="Annotations/a00000/00002.png is damaged"):
        store.read_mask("a00000", 2)


def test_the_published_davis_is_read(davis):
    store = open_dataset(davis)
    assert len(store.videos) == 12 and len(store.image_set("train")) == 8
    assert store.read_rgb("goat", 0).shape == (480, 854, 3)
    mask = store.read_mask("goat", 0)
    assert mask.kind == "single" and set(np.unique(mask.ids)) == {0, 1}


@pytest.mark.parametrize("kind", ["tar", "hdf5"])
def test_a_wrong_index_is_noticed(dataset, tmp_path, kind):
    """It served the frames of another video."""
    (shard,) = pack.pack(open_dataset(dataset.root), tmp_path / "s", kind)
    place = shard.with_name(shard.name + ".index.json")
    saved = json.loads(place.read_text())
    for folder in ("JPEGImages", "Annotations"):
        one, two = saved["folders"][f"{folder}/a00000"], saved["folders"][f"{folder}/a00001"]
        one[1:], two[1:] = two[1:], one[1:]
    place.write_text(json.dumps(saved))
    store = open_dataset(shard)
    with pytest.raises(UserError, match=r"index\.json is wrong about JPEGImages/a00000"):
        store.read_rgb("a00000", 0)
    place.unlink()
    assert (open_dataset(shard).read_rgb("a00000", 0) == open_dataset(dataset.root).read_rgb("a00000", 0)).all()


@pytest.mark.parametrize(
    "damage",
    [
        lambda saved: saved["folders"]["JPEGImages/a00000"][0].reverse(),
        lambda saved: saved["folders"]["JPEGImages/a00000"][1].pop(),
        lambda saved: saved["folders"]["JPEGImages/a00000"].__setitem__(1, ["x"] * 8),
        lambda saved: saved.__setitem__("folders", 7),
        lambda saved: saved.__setitem__("folders", {"JPEGImages": None}),
    ],
)
def test_a_malformed_index_is_rebuilt(dataset, tmp_path, damage):
    (shard,) = pack.pack(open_dataset(dataset.root), tmp_path / "s", "tar")
    place = shard.with_name(shard.name + ".index.json")
    saved = json.loads(place.read_text())
    damage(saved)
    place.write_text(json.dumps(saved))
    assert open_dataset(shard).videos == ["a00000", "a00001", "a00002"]
    assert open_dataset(shard).read_mask("a00000", 0).ids.any()


def hdf5_with(path, fill):
    import h5py

    with h5py.File(path, "w") as file:
        file.create_dataset("JPEGImages/a/00000.jpg", data=np.zeros(3, np.uint8))
        fill(h5py, file)


@pytest.mark.parametrize(
    ("fill", "said"),
    [
        (lambda h5py, file: file.create_group("/".join(["g"] * 3000)), "nested too deeply"),
        (lambda h5py, file: file.__setitem__("JPEGImages/loop", file["JPEGImages"]), "nested too deeply"),
        (lambda h5py, file: file.__setitem__("JPEGImages/b", h5py.SoftLink("/nowhere")), "is a link"),
        (lambda h5py, file: file.__setitem__("x", h5py.ExternalLink("/etc/passwd", "/x")), "is a link"),
        (lambda h5py, file: file.create_dataset("x", (10**12,), "u1", chunks=(1000,)), "compressed or chunked"),
        (lambda h5py, file: file.create_dataset("x", data=np.zeros(4)), "holds numbers"),
        (lambda h5py, file: file.create_dataset("x", data=np.zeros((4, 4), np.uint8)), "holds numbers"),
    ],
)
def test_odd_hdf5_files_are_named(tmp_path, fill, said):
    """The library walks 3,000 nested groups by recursion, and the process is gone."""
    hdf5_with(tmp_path / "x.h5", fill)
    with pytest.raises(UserError, match=said):
        open_dataset(tmp_path / "x.h5")


def test_a_member_of_huge_size_is_named(tmp_path):
    entry = tarfile.TarInfo("JPEGImages/a/00000.jpg")
    entry.size = 1 << 60
    (tmp_path / "x.tar").write_bytes(entry.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    with pytest.raises(UserError, match="is cut off or no tar"):
        open_dataset(tmp_path / "x.tar")


def test_an_impossible_image_is_not_decoded(dataset):
    Image.new("P", (11000, 11000)).save(dataset.mask("a00000", 0))
    Image.new("RGB", (11000, 11000)).save(dataset.rgb("a00000", 0), quality=1)
    store = open_dataset(dataset.root)
    for read in (store.read_mask, store.read_rgb):
        with pytest.raises(UserError, match="11000x11000 pixels are more than a frame has"):
            read("a00000", 0)


def test_a_frame_that_is_not_there_is_named(dataset):
    with pytest.raises(UserError, match="video a00000 has no frame 99: it has 8, counted from 0"):
        open_dataset(dataset.root).read_rgb("a00000", 99)
