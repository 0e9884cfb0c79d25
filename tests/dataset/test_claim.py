import json
import shutil
from pathlib import Path

import pytest

from bl30k_gen.dataset import pack
from bl30k_gen.dataset.claim import RECORD, claim, claim_beside, refuse_input, require_free
from bl30k_gen.dataset.layout import Layout
from bl30k_gen.dataset.reader import open_dataset
from bl30k_gen.errors import UserError
from tests.support.synthetic import make_dataset, synthetic_config


def content(root):
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def test_the_same_command_continues_and_another_is_refused(tmp_path):
    out = tmp_path / "out"
    for _ in range(2):
        claim(out, "segment", {"video": "v"})
        (out / "00000.png").write_bytes(b"")
    before = content(out)
    with pytest.raises(UserError, match="was made with video = v, not w"):
        claim(out, "segment", {"video": "w"})
    with pytest.raises(UserError, match="was made by `segment`, not `pack`"):
        claim(out, "pack", {"video": "v"})
    assert content(out) == before


def test_a_mistake_claims_no_folder(tmp_path):
    claim(tmp_path / "out", "evaluate", {"checkpoint": "one"})
    claim(tmp_path / "out", "evaluate", {"checkpoint": "two"})
    (tmp_path / "out/masks").mkdir()
    with pytest.raises(UserError, match="was made with checkpoint = two, not one"):
        claim(tmp_path / "out", "evaluate", {"checkpoint": "one"})


def test_folders_of_other_commands_are_refused(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"mine")
    with pytest.raises(UserError, match=r"holds photo\.jpg, which this command did not make"):
        claim(tmp_path, "segment", {})
    with pytest.raises(UserError, match="is a file"):
        claim(tmp_path / "photo.jpg", "segment", {})
    assert content(tmp_path) == {"photo.jpg": b"mine"}


@pytest.mark.parametrize("out", ["clip", "clip/masks", "clip/../clip", "link"])
def test_output_never_goes_where_input_is_read(tmp_path, out):
    (tmp_path / "clip").mkdir()
    (tmp_path / "link").symlink_to("clip")
    with pytest.raises(UserError, match="is read"):
        claim(tmp_path / out, "segment", {}, [tmp_path / "clip"])
    assert list((tmp_path / "clip").iterdir()) == []


def test_files_about_a_dataset_go_into_it_or_into_a_separate_folder(tmp_path):
    data, out = tmp_path / "data", tmp_path / "out"
    (data / "JPEGImages").mkdir(parents=True)
    assert claim_beside(None, "report", data) == claim_beside(data, "report", data) == data
    assert not (data / RECORD).exists()
    assert claim_beside(out, "report", data) == out and (out / RECORD).exists()
    (out / "report.html").write_bytes(b"")
    with pytest.raises(UserError, match="was made with dataset"):
        claim_beside(out, "report", tmp_path / "other")
    with pytest.raises(UserError, match="which is read"):
        claim_beside(data / "JPEGImages", "report", data)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/CREDITS.md").write_bytes(b"")
    with pytest.raises(UserError, match="which this command did not make"):
        claim_beside(tmp_path / "mine", "assets credits", data)


def test_a_damaged_claim_is_one_line(tmp_path):
    (tmp_path / RECORD).write_text("{")
    (tmp_path / "x").touch()
    with pytest.raises(UserError, match=r"\.claim\.json is not valid JSON"):
        claim(tmp_path, "segment", {})


@pytest.fixture
def other(tmp_path):
    """Another dataset with videos of the same names."""
    return make_dataset(tmp_path / "other", synthetic_config("seed=7"))


@pytest.mark.parametrize("kind", ["tar", "hdf5"])
def test_packing_replaces_no_shard_of_another_dataset(dataset, other, tmp_path, kind):
    pack.pack(open_dataset(dataset.root), tmp_path / "s", kind)
    before = content(tmp_path / "s")
    with pytest.raises(UserError, match="was made with dataset"):
        pack.pack(open_dataset(other.root), tmp_path / "s", kind)
    assert content(tmp_path / "s") == before
    shutil.rmtree(tmp_path / "s/.claim.json", ignore_errors=True)
    (tmp_path / "s/.claim.json").unlink()
    with pytest.raises(UserError, match="which this command did not make"):
        pack.pack(open_dataset(dataset.root), tmp_path / "s", kind)
    with pytest.raises(UserError, match="is read"):
        pack.pack(open_dataset(dataset.root), dataset.root / "shards", kind)


@pytest.mark.parametrize("kind", ["tar", "hdf5"])
def test_unpacking_changes_no_other_dataset(dataset, other, tmp_path, kind):
    pack.pack(open_dataset(other.root), tmp_path / "s", kind)
    before = content(dataset.root)
    with pytest.raises(UserError, match=r"holds another dataset: its config\.yaml is not that of"):
        pack.unpack(tmp_path / "s", dataset.root)
    assert content(dataset.root) == before
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/mine.jpg").touch()
    with pytest.raises(UserError, match=r"holds mine\.jpg"):
        pack.unpack(tmp_path / "s", tmp_path / "photos")
    assert list(content(tmp_path / "photos")) == ["mine.jpg"]


def test_unpacking_skips_a_video_with_a_live_worker(dataset, tmp_path):
    pack.pack(open_dataset(dataset.root), tmp_path / "s", "tar")
    target = Layout(tmp_path / "again", "host.1.2.3.4")
    pack.unpack(tmp_path / "s", target.root)
    target.metadata("a00001").unlink()
    target.staging("a00001").mkdir(parents=True)
    (target.staging("a00001") / "heartbeat").write_text("7")
    with pytest.raises(UserError, match="a worker has a00001"):
        pack.unpack(tmp_path / "s", target.root)
    assert (target.staging("a00001") / "heartbeat").read_text() == "7"


def test_unpacking_more_of_a_dataset_adds_to_its_lists(dataset, tmp_path):
    pack.pack(open_dataset(dataset.root), tmp_path / "s", "tar")
    target = Layout(tmp_path / "again")
    pack.unpack(tmp_path / "s", target.root)
    target.image_set("train").write_text("a00001\na00007\n")
    pack.unpack(tmp_path / "s", target.root)
    assert target.image_set("train").read_text() == "a00000\na00001\na00007\n"


def test_videos_of_another_origin_are_not_mixed(tmp_path):
    for number, size in (("one", 3), ("two", 4)):
        for path in ("JPEGImages/bear/00000.jpg", "Annotations/bear/00000.png"):
            (tmp_path / number / path).parent.mkdir(parents=True)
            (tmp_path / number / path).write_bytes(bytes(size))
        pack.pack(open_dataset(tmp_path / number), tmp_path / f"{number}-s", "tar")
    pack.unpack(tmp_path / "one-s", tmp_path / "out")
    assert pack.unpack(tmp_path / "one-s", tmp_path / "out") == 0
    with pytest.raises(UserError, match="is not that of the shard"):
        pack.unpack(tmp_path / "two-s", tmp_path / "out")


def test_the_claim_of_a_folder_of_shards_names_its_dataset(dataset, tmp_path):
    pack.pack(open_dataset(dataset.root), tmp_path / "s", "tar")
    assert json.loads((tmp_path / "s/.claim.json").read_text())["made_by"] == "pack"


def test_a_url_is_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for check in (lambda folder: claim(folder, "test", {}), lambda folder: refuse_input(folder, []), require_free):
        with pytest.raises(UserError, match="s3://bucket/x is a URL, to which this command does not write"):
            check(Path("s3://bucket/x"))
    assert not list(tmp_path.iterdir())
