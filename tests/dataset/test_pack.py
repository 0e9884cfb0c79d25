import hashlib
import json
import os
import subprocess
import tarfile
import time

import pytest

from bl30k_gen.dataset import pack, writers
from bl30k_gen.dataset.reader import open_dataset
from bl30k_gen.errors import UserError


def tree(root):
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("kind", ["tar", "hdf5"])
def test_round_trip_and_repacking_are_byte_identical(dataset, tmp_path, kind):
    pack.pack(open_dataset(dataset.root), tmp_path / "one", kind)
    time.sleep(1.1)  # so that a time stamp would differ
    assert pack.unpack(tmp_path / "one", tmp_path / "again") == 3
    assert tree(tmp_path / "again") == tree(dataset.root)
    pack.pack(open_dataset(tmp_path / "again"), tmp_path / "two", kind)
    pack.pack(open_dataset(tmp_path / "one"), tmp_path / "three", kind)
    assert tree(tmp_path / "one") == tree(tmp_path / "two") == tree(tmp_path / "three")


@pytest.mark.parametrize("kind", ["tar", "hdf5"])
def test_checksum_lists_have_the_format_of_sha256sum(dataset, tmp_path, kind):
    pack.pack(open_dataset(dataset.root), tmp_path / "s", kind)
    for tool, listed in (("md5sum", "MD5SUMS"), ("sha256sum", "SHA256SUMS")):
        assert subprocess.run([tool, "-c", listed], cwd=tmp_path / "s", capture_output=True).returncode == 0


def test_one_shard_a_segment(dataset, tmp_path):
    names = {"a00000": "a00000", "a00001": "b00000", "a00002": "b00001"}
    for old, new in names.items():
        for path in (dataset.metadata(old), dataset.rgb(old, 0).parent, dataset.mask(old, 0).parent):
            path.rename(path.with_name(path.name.replace(old, new)))
    dataset.image_set("train").unlink()
    dataset.image_set("val").unlink()
    shards = pack.pack(open_dataset(dataset.root), tmp_path / "s", "tar")
    assert [p.name for p in shards] == ["BL30K_a.tar", "BL30K_b.tar"]
    assert open_dataset(shards[1]).videos == ["b00000", "b00001"]
    assert open_dataset(tmp_path / "s").videos == ["a00000", "b00000", "b00001"]


def test_packing_keeps_finished_shards_and_redoes_changed_ones(dataset, tmp_path, staged):
    (shard,) = pack.pack(open_dataset(dataset.root), tmp_path / "s", "tar")
    first = shard.stat()
    pack.pack(open_dataset(dataset.root), tmp_path / "s", "tar")
    assert shard.stat().st_mtime_ns == first.st_mtime_ns
    shard.write_bytes(shard.read_bytes()[:5000])
    pack.pack(open_dataset(dataset.root), tmp_path / "s", "tar")
    assert shard.stat().st_size == first.st_size


@pytest.mark.parametrize("kind", ["tar", "hdf5"])
def test_a_video_that_was_rendered_again_is_packed_again(dataset, tmp_path, kind):
    (shard,) = pack.pack(open_dataset(dataset.root), tmp_path / "s", kind)
    path = dataset.metadata("a00001")
    path.write_text(path.read_text().replace("4.2.0", "4.2.1"))  # the same size
    pack.pack(open_dataset(dataset.root), tmp_path / "s", kind)
    assert open_dataset(shard).metadata("a00001")["versions"] == {"bpy": "4.2.1"}


@pytest.mark.parametrize("kind", ["tar", "hdf5"])
def test_a_full_disk_is_one_clear_line_and_leaves_no_shard(small_disk, kind):
    def members():
        for i in range(40):
            yield f"JPEGImages/a/{i:05d}.jpg", bytes(60_000)

    with pytest.raises(UserError, match=f"no space left in {small_disk} for x.shard"):
        writers.write_shard(small_disk / "x.shard", kind, members())
    assert list(small_disk.iterdir()) == []


@pytest.mark.parametrize("step", [1, 2, 3])
def test_other_datasets_round_trip_too(tmp_path, monkeypatch, step):
    for path in ("JPEGImages/480p/bear/00000.jpg", "Annotations/480p/bear/00000.png", "ImageSets/2017/val.txt"):
        (tmp_path / "davis" / path).parent.mkdir(parents=True)
        (tmp_path / "davis" / path).write_text("bear")
    (shard,) = pack.pack(open_dataset(tmp_path / "davis"), tmp_path / "s", "tar")
    assert open_dataset(shard).image_set("2017/val") == ["bear"]
    seen, original = [0], os.replace

    def killed(*args):
        seen[0] += 1
        if seen[0] == step:
            raise KeyboardInterrupt
        original(*args)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            pack.unpack(tmp_path / "s", tmp_path / "again")
    pack.unpack(tmp_path / "s", tmp_path / "again")
    assert tree(tmp_path / "again") == tree(tmp_path / "davis")


def test_a_tar_of_several_datasets_is_refused(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("train/JPEGImages/a/00000.jpg"))
        archive.addfile(tarfile.TarInfo("valid/JPEGImages/b/00000.jpg"))
    with pytest.raises(UserError, match="several datasets: train/, valid/"):
        open_dataset(tmp_path / "x.tar")


def test_hdf5_is_a_plain_tree_of_byte_arrays(dataset, tmp_path):
    import h5py

    (shard,) = pack.pack(open_dataset(dataset.root), tmp_path / "s", "hdf5")
    with h5py.File(shard) as file:
        assert file["JPEGImages/a00001/00003.jpg"][()].tobytes() == dataset.rgb("a00001", 3).read_bytes()
        assert json.loads(file["Metadata/a00001.json"][()].tobytes())["name"] == "a00001"


def test_unpacking_continues_after_a_kill(dataset, tmp_path, monkeypatch):
    pack.pack(open_dataset(dataset.root), tmp_path / "s", "tar")
    out, seen, original = tmp_path / "out", [0], os.replace

    def killed(*args):
        seen[0] += 1
        if seen[0] == 9:
            raise KeyboardInterrupt
        original(*args)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            pack.unpack(tmp_path / "s", out)
    assert open_dataset(out).videos == ["a00000"]
    assert pack.unpack(tmp_path / "s", out) == 1  # the second was almost complete
    assert tree(out) == tree(dataset.root)


@pytest.mark.parametrize(
    "path", ["../evil.txt", "JPEGImages/../../evil.txt", "/tmp/evil.txt", "/evil.txt", "JPEGImages/a/..", "a//b"]
)
def test_paths_that_lead_outside_are_refused(tmp_path, path):
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("JPEGImages/a/00000.jpg"))
        archive.addfile(tarfile.TarInfo(path))
    with pytest.raises(UserError, match="do not trust"):
        pack.unpack(tmp_path / "x.tar", tmp_path / "out/inner")
    assert sorted(p.name for p in tmp_path.iterdir()) in (["x.tar"], ["x.tar", "x.tar.index.json"])


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_special_files_are_refused(tmp_path, kind):
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        entry = tarfile.TarInfo("JPEGImages/a/00000.jpg")
        entry.type, entry.linkname = kind, "/etc/passwd"
        archive.addfile(entry)
    with pytest.raises(UserError, match="00000.jpg is a link or a special file"):
        pack.unpack(tmp_path / "x.tar", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_forged_index_cannot_lead_outside(dataset, tmp_path):
    (shard,) = pack.pack(open_dataset(dataset.root), tmp_path / "s", "tar")
    index = shard.with_name(shard.name + ".index.json")
    saved = json.loads(index.read_text())
    saved["folders"]["JPEGImages/../../x"] = saved["folders"].pop("JPEGImages/a00000")
    index.write_text(json.dumps(saved))
    with pytest.raises(UserError, match="leads outside"):
        pack.unpack(shard, tmp_path / "out")


def test_tars_carry_no_time_or_owner(dataset, tmp_path):
    (shard,) = pack.pack(open_dataset(dataset.root), tmp_path / "s", "tar")
    with tarfile.open(shard) as archive:
        assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in archive} == {(0, 0, 0, "", "", 0o644)}
    assert hashlib.md5(shard.read_bytes()).hexdigest() in (tmp_path / "s/MD5SUMS").read_text()
