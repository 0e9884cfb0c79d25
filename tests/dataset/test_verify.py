import json
import shutil
import tarfile

import numpy as np
import pytest

from benchmarks.faults.corruption import (
    IN_FOLDERS,
    IN_SHARDS,
    ROOT,
    VIDEO,
    faults,
    flip_bit,
    lose_frame,
    swapped_masks,
    verify_damaged,
)
from bl30k_gen.dataset import files, layout, masks, pack
from bl30k_gen.dataset.reader import open_dataset
from bl30k_gen.dataset.verify import verify
from bl30k_gen.errors import UserError


def kinds(report):
    return {(problem.video, problem.kind) for problem in report.problems}


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("store", ["folder", "tar", "hdf5"])
def test_an_undamaged_dataset_has_no_problems(dataset, tmp_path, deep, store):
    root = dataset.root
    if store != "folder":
        pack.pack(open_dataset(root), tmp_path / "s", store)
        root = tmp_path / "s"
    report = verify(root, deep)
    assert report.ok, report.table()
    assert (report.videos, report.files) == (3, 48)
    assert report.bytes == sum(sum(open_dataset(root).members(n).values()) for n in dataset.published()) - sum(
        dataset.metadata(n).stat().st_size for n in dataset.published()
    )
    assert "all is well" in report.table()


@pytest.mark.parametrize("damage", IN_FOLDERS, ids=lambda damage: damage.plant.__name__)
def test_planted_damage_is_found_and_named(pristine, tmp_path, damage):
    assert faults(damage, verify_damaged(damage, pristine.root, tmp_path)) == []


@pytest.mark.parametrize("kind", ["tar", "hdf5"])
@pytest.mark.parametrize("damage", IN_SHARDS, ids=lambda damage: damage.plant.__name__)
def test_planted_damage_in_shards_is_found_and_named(sharded, tmp_path, damage, kind):
    assert faults(damage, verify_damaged(damage, sharded(kind), tmp_path)) == []


def test_all_kinds_of_damage_are_on_the_result_page():
    page = (ROOT / "docs/results/corruption.md").read_text()
    assert [damage.what for damage in [*IN_FOLDERS, *IN_SHARDS] if f"| {damage.what} |" not in page] == []


def test_the_other_videos_have_no_problems(dataset):
    swapped_masks(dataset)
    assert verify(dataset.root, names=["a00000", "a00002"]).ok


def test_an_unreadable_configuration_is_one_clear_line(dataset):
    dataset.config.write_text("seed: 0\n")
    with pytest.raises(UserError, match="config.yaml is not valid"):
        verify(dataset.root)


def test_damage_inside_a_shard_is_found(dataset, tmp_path):
    (shard,) = pack.pack(open_dataset(dataset.root), tmp_path / "s", "tar")
    data = bytearray(shard.read_bytes())
    at = data.find(dataset.rgb(VIDEO, 5).read_bytes())
    data[at + 700] ^= 1
    shard.write_bytes(data)
    problems = verify(tmp_path / "s").problems
    assert [(p.video, p.kind, p.detail) for p in problems] == [(VIDEO, "checksum", f"JPEGImages/{VIDEO}/00005.jpg")]


def test_workers_find_the_same(dataset):
    swapped_masks(dataset)
    lose_frame(dataset)
    one, two = verify(dataset.root, deep=True), verify(dataset.root, deep=True, workers=2)
    assert one == two
    assert len(one.problems) > 2


def test_report_for_people_and_machines(dataset):
    lose_frame(dataset)
    report = verify(dataset.root)
    assert "a00001  missing  JPEGImages/a00001/00007.jpg" in report.table()
    assert "1 bad video: 1 missing" in report.table()
    values = json.loads(json.dumps(report.to_json()))
    assert values["ok"] is False
    assert values["problems"] == [{"video": VIDEO, "kind": "missing", "detail": "JPEGImages/a00001/00007.jpg"}]
    assert report.table(max_problems=0).startswith("... and 1 more")


def test_datasets_without_metadata_cannot_be_checked(davis):
    with pytest.raises(UserError, match="has no Metadata folder"):
        verify(davis)


def test_unpublishing_damaged_videos_leaves_a_valid_dataset(dataset):
    swapped_masks(dataset)
    for name in verify(dataset.root).bad_videos():
        layout.unpublish(dataset, name)
    layout.write_image_sets(dataset)
    assert verify(dataset.root, deep=True).ok


def test_bit_flips_anywhere_are_found_and_never_crash_a_reader(dataset):
    rng = np.random.default_rng(0)
    for path in (dataset.rgb(VIDEO, 2), dataset.mask(VIDEO, 2)):
        original = path.read_bytes()
        for place in rng.random(60):
            flip_bit(path, place)
            try:
                masks.read_mask(path) if path.suffix == ".png" else files.decode_rgb(path.read_bytes(), path)
            except UserError as error:
                assert path.name in str(error)
            report = verify(dataset.root, deep=place < 0.5, names=[VIDEO])
            assert (VIDEO, "checksum") in kinds(report)
            path.write_bytes(original)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nonsense", "a00001 is no commit marker"),
        ("train/../../etc", "a00001 is no commit marker"),
        ("train/nosuch", "a00001 names shard nosuch, but the video lies in a00000"),
    ],
)
def test_a_wrong_commit_marker_is_named(sharded, tmp_path, text, said):
    root = shutil.copytree(sharded("tar"), tmp_path / "data", symlinks=True)
    marker = layout.Layout(root).shards.marker("a00001")
    marker.unlink()
    marker.symlink_to(text)
    problems = [problem for problem in verify(root).problems if problem.kind == "marker"]
    assert len(problems) == 1 and said in problems[0].detail


def test_a_shard_without_metadata_is_named(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("JPEGImages/a/00000.jpg"))
    with pytest.raises(UserError, match="has no Metadata folder"):
        verify(tmp_path / "x.tar")


def test_a_file_in_place_of_a_dataset_folder_is_named(dataset):
    shutil.rmtree(dataset.root / "Metadata")
    (dataset.root / "Metadata").write_text("")
    with pytest.raises(UserError, match="Metadata is a file"):
        verify(dataset.root)
