import json

import numpy as np
import pytest
from PIL import Image

from bl30k_gen.dataset import files, layout, masks, metadata, pack
from bl30k_gen.dataset.reader import open_dataset
from bl30k_gen.dataset.verify import verify
from bl30k_gen.errors import UserError

VIDEO = "a00001"


def kinds(report):
    return {(problem.video, problem.kind) for problem in report.problems}


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("store", ["folder", "tar", "hdf5"])
def test_a_sound_dataset_is_found_sound(dataset, tmp_path, deep, store):
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


def flip_bit(path, place=0.5):
    data = bytearray(path.read_bytes())
    data[int(len(data) * place)] ^= 4
    path.write_bytes(data)


def edit_metadata(places, change):
    path = places.metadata(VIDEO)
    values = json.loads(path.read_text())
    change(values)
    path.write_text(metadata.dumps(values))


def recode_mask(places, change, frame=3):
    path = places.mask(VIDEO, frame)
    path.write_bytes(masks.encode_mask(change(masks.read_values(path).copy())))


def regrade(path):
    """The same ids under another palette."""
    image = Image.open(path)
    image.putpalette(list(range(256)) * 3)
    image.save(path)


def flip_jpeg(p):
    flip_bit(p.rgb(VIDEO, 3))


def flip_png(p):
    flip_bit(p.mask(VIDEO, 3), 0.9)


def truncate(p):
    p.rgb(VIDEO, 3).write_bytes(p.rgb(VIDEO, 3).read_bytes()[:-200])


def empty_file(p):
    p.mask(VIDEO, 3).write_bytes(b"")


def lose_frame(p):
    p.rgb(VIDEO, 7).unlink()


def lose_masks(p):
    for i in range(8):
        p.mask(VIDEO, i).unlink()
    p.mask(VIDEO, 0).parent.rmdir()


def extra_frame(p):
    p.rgb(VIDEO, 8).write_bytes(p.rgb(VIDEO, 7).read_bytes())


def wrong_size(p):
    small = files.encode_jpeg(np.zeros((32, 48, 3), np.uint8), 90, "4:4:4")
    p.rgb(VIDEO, 3).write_bytes(small)


def wrong_palette(p):
    regrade(p.mask(VIDEO, 3))


def grey_mask(p):
    Image.fromarray(masks.read_values(p.mask(VIDEO, 3))).save(p.mask(VIDEO, 3))


def swapped_masks(p):
    one, two = p.mask(VIDEO, 1).read_bytes(), p.mask(VIDEO, 6).read_bytes()
    p.mask(VIDEO, 1).write_bytes(two)
    p.mask(VIDEO, 6).write_bytes(one)


def wrong_id(p):
    recode_mask(p, lambda ids: np.where(ids == 2, 9, ids).astype(np.uint8))


def empty_mask(p):
    recode_mask(p, lambda ids: ids * 0)


def moved_pixel(p):
    def change(ids):
        ids[np.argwhere(ids == 0)[0][0], np.argwhere(ids == 0)[0][1]] = 3
        return ids

    recode_mask(p, change)


def stale_metadata(p):
    p.metadata(VIDEO).write_bytes(p.metadata("a00000").read_bytes().replace(b"a00000", VIDEO.encode()))


def edited_metadata(p):
    edit_metadata(p, lambda m: m["objects"][0]["poses"][3][0].__setitem__(0, 0.5))


def broken_metadata(p):
    p.metadata(VIDEO).write_text('{"name": ')


def foreign_metadata(p):
    p.metadata(VIDEO).write_text('{"name": "a00001"}')


def renamed_video(p):
    for path in (p.metadata(VIDEO), p.rgb(VIDEO, 0).parent, p.mask(VIDEO, 0).parent):
        path.rename(path.with_name(path.name.replace(VIDEO, "a00009")))


def changed_config(p):
    p.config.write_text(p.config.read_text().replace("seed: 0", "seed: 1"))


def lost_metadata(p):
    p.metadata(VIDEO).unlink()


def stale_list(p):
    p.image_set("train").write_text("a00000\na00007\n")


def twice_listed(p):
    p.image_set("val").write_text("a00001\na00002\n")


REPLACED = {"size", "checksum"}  # which of them is chance

PLANTED = {
    # what is planted: what plain calls it, what deep calls it where the checksums were renewed (None: no such case)
    flip_jpeg: ({"checksum"}, None),
    flip_png: ({"checksum"}, None),
    truncate: (REPLACED, "picture"),
    empty_file: (REPLACED, "picture"),
    lose_frame: ({"missing"}, None),
    lose_masks: ({"missing"}, None),
    extra_frame: ({"extra"}, None),
    wrong_size: (REPLACED, "resolution"),
    wrong_palette: (REPLACED, "palette"),
    grey_mask: (REPLACED, "palette"),
    swapped_masks: (REPLACED, "area"),
    wrong_id: (REPLACED, "ids"),
    empty_mask: (REPLACED, "area"),
    moved_pixel: (REPLACED, "area"),
    stale_metadata: ({"metadata"}, None),
    edited_metadata: ({"metadata"}, None),
    broken_metadata: ({"metadata"}, None),
    foreign_metadata: ({"metadata"}, None),
}


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_planted_damage_is_found_and_named_by_the_plain_mode(dataset, plant):
    plant(dataset)
    found = kinds(verify(dataset.root))
    assert {kind for _, kind in found} & PLANTED[plant][0]
    assert {video for video, _ in found} == {VIDEO}
    assert verify(dataset.root, names=["a00000", "a00002"]).ok


@pytest.mark.parametrize("plant", [p for p in PLANTED if PLANTED[p][1]], ids=lambda plant: plant.__name__)
def test_deep_finds_it_even_where_the_checksums_were_renewed(dataset, plant):
    plant(dataset)

    def reseal(values):
        for path, entry in values["files"].items():
            entry.update(bytes=(dataset.root / path).stat().st_size, sha256=files.sha256(dataset.root / path))
        values["digest"] = metadata.digest(values)

    edit_metadata(dataset, reseal)
    assert verify(dataset.root).ok
    report = verify(dataset.root, deep=True)
    assert (VIDEO, PLANTED[plant][1]) in kinds(report)
    assert report.bad_videos() == [VIDEO]


def test_a_renamed_video_is_found(dataset):
    renamed_video(dataset)
    found = kinds(verify(dataset.root))
    assert ("a00009", "metadata") in found
    assert ("", "image set") in found


def test_another_configuration_is_found_for_every_video(dataset):
    changed_config(dataset)
    assert kinds(verify(dataset.root)) == {(name, "config") for name in ("a00000", "a00001", "a00002")}
    dataset.config.write_text("seed: 0\n")
    with pytest.raises(UserError, match="config.yaml is not valid"):
        verify(dataset.root)


@pytest.mark.parametrize(
    ("plant", "kind"), [(lost_metadata, "unpublished"), (stale_list, "image set"), (twice_listed, "image set")]
)
def test_faults_of_the_dataset_are_found(dataset, plant, kind):
    plant(dataset)
    report = verify(dataset.root)
    assert ("", kind) in kinds(report)
    assert report.bad_videos() == []


def test_a_stray_file_and_a_missing_list_are_found(dataset):
    (dataset.root / "JPEGImages/note.txt").write_text("")
    dataset.image_set("val").unlink()
    assert kinds(verify(dataset.root)) == {("", "extra"), ("", "image set")}


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
    assert "a00001       missing     JPEGImages/a00001/00007.jpg" in report.table()
    assert "1 bad videos: 1 missing" in report.table()
    values = json.loads(json.dumps(report.to_json()))
    assert values["ok"] is False
    assert values["problems"] == [{"video": VIDEO, "kind": "missing", "detail": "JPEGImages/a00001/00007.jpg"}]
    assert report.table(most=0).startswith("... and 1 more")


def test_datasets_without_metadata_cannot_be_checked(davis):
    with pytest.raises(UserError, match="has no Metadata folder"):
        verify(davis)


def test_unpublishing_what_is_bad_makes_the_rest_sound(dataset):
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
