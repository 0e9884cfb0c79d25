"""Behaviour common to all formats: the output folder, resuming, several processes, refusals."""

import errno
import io
import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bl30k_gen.cli.export import export as command
from bl30k_gen.dataset import layout, masks
from bl30k_gen.dataset.pack import pack
from bl30k_gen.dataset.reader import open_dataset
from bl30k_gen.errors import UserError
from bl30k_gen.export.base import format_of, formats
from bl30k_gen.export.coco import Coco
from tests.export.conftest import run


def tree(root):
    """Contents of all files except the export's own records."""
    files = (p for p in sorted(root.rglob("*")) if p.is_file() and ".export" not in p.parts)
    return {str(p.relative_to(root)): p.read_bytes() for p in files}


@pytest.fixture
def own(places, tmp_path):
    """A dataset that the test may change."""
    return layout.Layout(shutil.copytree(places.root, tmp_path / "data"))


def test_a_second_run_writes_nothing(store, tmp_path):
    assert run(store, "coco", tmp_path / "o").written == 3
    again = run(store, "coco", tmp_path / "o")
    assert (again.written, again.kept, again.files) == (0, 3, 0)


@pytest.mark.parametrize("name", ["coco", "burst"])
def test_a_stopped_export_continues_to_the_same_files(store, tmp_path, monkeypatch, name):
    kind = format_of(name)
    whole, write, seen = tmp_path / "whole", type(kind).write, []

    def stop(self, unit, videos, folder):
        write(self, unit, videos, folder)
        seen.append(videos[0].name)
        if len(seen) == 2:
            raise KeyboardInterrupt  # the unit is staged, not published

    run(store, name, whole)
    monkeypatch.setattr(type(kind), "write", stop)
    with pytest.raises(KeyboardInterrupt):
        run(store, name, tmp_path / "o")
    assert not list((tmp_path / "o").rglob("*.json.part")) and not (tmp_path / "o/annotations").exists()
    summary = run(store, name, tmp_path / "o")
    assert (summary.kept, summary.written) == (1, 2) and seen[2:] == ["a00001", "a00002"]
    assert tree(tmp_path / "o") == tree(whole)
    assert not (tmp_path / "o/.export/staging").exists()


def test_processes_do_not_change_the_result(store, tmp_path):
    run(store, "coco", tmp_path / "one")
    run(store, "coco", tmp_path / "two", workers=2)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


@pytest.mark.parametrize("kind", ["tar", "hdf5"])
def test_shards_export_as_their_folder_does(store, tmp_path, kind):
    pack(store, tmp_path / "shards", kind)
    run(store, "youtube-vis", tmp_path / "one")
    run(open_dataset(tmp_path / "shards"), "youtube-vis", tmp_path / "two")
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_only_changed_videos_are_exported_again(own, tmp_path):
    run(open_dataset(own.root), "coco", tmp_path / "o")
    mask = own.mask("a00001", 0)
    mask.write_bytes(masks.encode_mask(masks.read_mask(mask).ids * 0))
    record = json.loads(own.metadata("a00001").read_text())
    own.metadata("a00001").write_text(json.dumps(record | {"digest": "changed"}))
    summary = run(open_dataset(own.root), "coco", tmp_path / "o")
    assert (summary.written, summary.kept) == (1, 2)
    run(open_dataset(own.root), "coco", tmp_path / "fresh")
    assert tree(tmp_path / "o") == tree(tmp_path / "fresh")


def test_files_of_an_output_that_were_lost_are_written_again(store, tmp_path):
    run(store, "coco", tmp_path / "o")
    whole = tree(tmp_path / "o")
    (tmp_path / "o/train/a00000/00001.jpg").unlink()
    (tmp_path / "o/annotations/instances_val.json").write_text("{}")
    run(store, "coco", tmp_path / "o")
    assert tree(tmp_path / "o") == whole


def test_a_folder_with_other_contents_is_refused_and_not_changed(store, tmp_path):
    (tmp_path / "o").mkdir()
    (tmp_path / "o/notes.txt").write_text("mine")
    with pytest.raises(UserError, match="s3://x/y is a URL"):
        run(store, "mds", Path("s3://x/y"))
    with pytest.raises(UserError, match="not empty and no export began it"):
        run(store, "coco", tmp_path / "o")
    assert tree(tmp_path / "o") == {"notes.txt": b"mine"} and not (tmp_path / "o/.export").exists()


def test_another_format_or_option_needs_another_folder(store, tmp_path):
    run(store, "coco", tmp_path / "o")
    with pytest.raises(UserError, match="begun with format = coco, not burst"):
        run(store, "burst", tmp_path / "o")
    with pytest.raises(UserError, match="begun with frames = True, not False"):
        run(store, "coco", tmp_path / "o", "frames=false")
    with pytest.raises(UserError, match="holds a00000, which is not exported now"):
        run(store, "coco", tmp_path / "o", names=["a00001"])


def test_another_dataset_needs_another_folder(store, own, tmp_path):
    run(store, "colmap", tmp_path / "o")
    before = tree(tmp_path / "o")
    own.config.write_text(own.config.read_text() + "# another\n")
    with pytest.raises(UserError, match="holds an export of another dataset"):
        run(open_dataset(own.root), "colmap", tmp_path / "o")
    assert tree(tmp_path / "o") == before


@pytest.mark.parametrize(("code", "refused"), [(errno.EAGAIN, True), (errno.ENOLCK, False)])
def test_only_a_lock_that_is_held_stops_an_export(store, tmp_path, monkeypatch, caplog, code, refused):
    def lockf(*_):
        raise OSError(code, "no")

    monkeypatch.setattr("fcntl.lockf", lockf)
    if refused:
        with pytest.raises(UserError, match="another process exports into"):
            run(store, "coco", tmp_path / "o")
    else:
        run(store, "coco", tmp_path / "o")
        assert "this file system has no locks" in caplog.text


def test_nothing_is_written_into_the_dataset(own):
    for out in (own.root, own.root / "coco"):
        with pytest.raises(UserError, match="lies in the dataset"):
            run(open_dataset(own.root), "coco", out)
    assert not (own.root / "coco").exists() and not (own.root / ".export").exists()


def test_an_unknown_format_or_option_or_video_is_one_clear_line(store, tmp_path):
    with pytest.raises(UserError, match="did you mean coco?"):
        format_of("cocoo")
    with pytest.raises(UserError, match="unknown key frame: did you mean frames?"):
        format_of("coco", ["frame=false"])
    with pytest.raises(UserError, match="no video a0000: did you mean a00000?"):
        run(store, "coco", tmp_path / "o", names=["a0000"])
    assert not (tmp_path / "o").exists()


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(Coco, "requires", ("no_such_package",))
    with pytest.raises(UserError, match=r"needs the package no_such_package: pip install 'bl30k\[export\]'"):
        format_of("coco")


def test_a_dataset_without_lists_is_exported_as_train_with_a_message(own, tmp_path, caplog):
    shutil.rmtree(own.root / "ImageSets")
    shutil.rmtree(own.root / "Metadata")
    run(open_dataset(own.root), "coco", tmp_path / "o")
    assert "3 videos are in no list; they go to split train" in caplog.text
    assert [p.name for p in (tmp_path / "o/annotations").iterdir()] == ["instances_train.json"]


def test_one_of_several_lists_must_be_named(own, tmp_path):
    """As in DAVIS, which has lists of 2016 and 2017: all videos went to train."""
    lists = own.root / "ImageSets"
    for year in ("2016", "2017"):
        (lists / year).mkdir()
        for split in ("train", "val"):
            shutil.copy(lists / f"{split}.txt", lists / year)
    for split in ("train", "val"):
        (lists / f"{split}.txt").unlink()
    with pytest.raises(UserError, match="has several lists train in ImageSets: give --lists: 2016, 2017"):
        run(open_dataset(own.root), "coco", tmp_path / "o")
    run(open_dataset(own.root), "coco", tmp_path / "o", lists="2017")
    assert {path.name for path in (tmp_path / "o/annotations").iterdir()} == {
        "instances_train.json",
        "instances_val.json",
    }


def test_frames_that_are_links_are_exported_as_files(own, tmp_path):
    frame = own.rgb("a00000", 0)
    frame.rename(tmp_path / "elsewhere.jpg")
    frame.symlink_to(tmp_path / "elsewhere.jpg")
    run(open_dataset(own.root), "youtube-vis", tmp_path / "o")
    exported = tmp_path / "o/train/JPEGImages/a00000/00000.jpg"
    assert not exported.is_symlink() and exported.read_bytes() == (tmp_path / "elsewhere.jpg").read_bytes()


def test_void_of_copied_masks_becomes_background(own, tmp_path, caplog):
    shutil.rmtree(own.root / "Metadata")  # a dataset of others
    ids = masks.read_mask(own.mask("a00000", 0)).ids
    values = np.where(ids == 0, 255, ids)
    Image.fromarray(values.astype(np.uint8)).save(own.mask("a00000", 0))
    run(open_dataset(own.root), "webdataset", tmp_path / "o")
    with tarfile.open(tmp_path / "o/train-000000.tar") as shard:
        data = shard.extractfile("a00000.00000.png").read()
    assert 255 not in np.unique(np.asarray(Image.open(io.BytesIO(data))))
    assert "void pixels of its masks are exported as background" in caplog.text


def test_a_mask_of_another_size_is_named(own, tmp_path):
    path = own.mask("a00001", 2)
    path.write_bytes(masks.encode_mask(masks.read_mask(path).ids[:, ::2].copy()))
    with pytest.raises(UserError, match="mask of a00001/00002 is 48x64 pixels, its video 96x64"):
        run(open_dataset(own.root), "coco", tmp_path / "o")


def test_the_documentation_has_every_format():
    page = (layout.Path(__file__).parents[2] / "docs/export.md").read_text()
    for name, kind in formats().items():
        assert f"\n### `{name}`\n" in page, name
        for option in kind.model_fields:
            assert f"`{option}" in page, (name, option)


def test_the_help_names_every_format():
    assert f"Formats: {', '.join(formats())}." in " ".join(command.__doc__.split())


def test_the_command(generate, places, tmp_path):
    done = generate("export", places.root, "--to", "coco", "--out", tmp_path / "o", "--json")
    assert json.loads(done.stdout)["videos"] == 3
    refused = generate("export", places.root, "--to", "cocoa", "--out", tmp_path / "p", code=2)
    assert "did you mean coco?" in refused.stderr and isinstance(refused, subprocess.CompletedProcess)
