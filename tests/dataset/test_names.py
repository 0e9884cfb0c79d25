import io
import tarfile

import pytest

from bl30k_gen.dataset import pack
from bl30k_gen.dataset.layout import Layout
from bl30k_gen.dataset.names import is_name
from bl30k_gen.dataset.reader import open_dataset
from bl30k_gen.errors import UserError

BAD = ["", ".", "..", ".hidden", "a/b", "a\\b", "a\0b", "a\nb", "x\x1b[31m", "a" * 201]


@pytest.mark.parametrize("name", BAD)
def test_invalid_names(name, tmp_path):
    assert not is_name(name)
    for place in (Layout(tmp_path).staging, Layout(tmp_path).shards.unfinished):
        with pytest.raises(UserError, match="is no name of a video"):
            place(name)


@pytest.mark.parametrize("name", ["a00000", "bear", "my holiday", "Straße_é", "003234408d", "a.b"])
def test_valid_names(name):
    assert is_name(name)


def shard_with(path, member, kind):
    if kind == "tar":
        with tarfile.open(path, "w") as archive:
            for name in ("JPEGImages/a/00000.jpg", member):
                entry = tarfile.TarInfo(name)
                entry.size = 2
                archive.addfile(entry, io.BytesIO(b"{}"))
    else:
        import h5py
        import numpy as np

        with h5py.File(path, "w") as file:
            for name in ("JPEGImages/a/00000.jpg", member):
                file.create_dataset(name, data=np.frombuffer(b"{}", np.uint8))


@pytest.mark.parametrize("suffix", [".tar", ".h5"])
@pytest.mark.parametrize("member", ["Metadata/...json", "Metadata/.json", "Metadata/.x.json", "Metadata/a\nb.json"])
def test_unpacking_an_invalid_name_changes_nothing(dataset, tmp_path, member, suffix):
    """``Metadata/...json`` made a video named ``..``, and unpacking removed the folder that it was unpacked into."""
    shard = tmp_path / f"evil{suffix}"
    shard_with(shard, member, suffix[1:])
    before = sorted(p for p in dataset.root.rglob("*") if ".staging" not in p.parts)
    (dataset.staging_root / "a00009").mkdir(parents=True)
    for target in (dataset.root, tmp_path / "new"):
        with pytest.raises(UserError, match="is no name of a video"):
            pack.unpack(shard, target)
    assert sorted(p for p in dataset.root.rglob("*") if ".staging" not in p.parts) == before
    assert (dataset.staging_root / "a00009").is_dir() and not (tmp_path / "new").exists()


def test_files_that_macos_adds_to_a_tar_are_no_videos(tmp_path):
    shard_with(tmp_path / "x.tar", "Metadata/._a.json", "tar")
    assert open_dataset(tmp_path / "x.tar").videos == []
