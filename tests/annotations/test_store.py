"""Annotations of a rendered dataset: from the command line to arrays, stored and derived."""

import json
import os
import shutil

import h5py
import numpy as np
import pytest

from bl30k_gen.annotations import store as storing
from bl30k_gen.annotations.derive import open_video
from bl30k_gen.dataset.derived import KINDS, every_kind, parse_wanted
from bl30k_gen.dataset.pack import pack
from bl30k_gen.dataset.reader import open_dataset
from bl30k_gen.errors import UserError

FEW = [parse_wanted(text) for text in ("depth", "flow", "order", "cameras")]


@pytest.fixture(scope="module")
def annotated(rendered, tmp_path_factory):
    """All kinds of the first two rendered videos."""
    out = tmp_path_factory.mktemp("annotated") / "all"
    assert storing.write(open_dataset(rendered), every_kind(), out, ["a00000", "a00001"]) == {}
    return out


def test_files_of_killed_writers_are_removed_and_files_in_use_are_kept(rendered, tmp_path):
    store, cameras = open_dataset(rendered), parse_wanted("cameras")
    folder = tmp_path / "out/cameras"
    folder.mkdir(parents=True)
    left, other = folder / ".a00000.h5.12345678.part", folder / ".a00001.h5.12345678.part"
    left.write_bytes(b"half")
    other.write_bytes(b"half")
    with h5py.File(folder / ".a00000.h5.87654321.part", "w", libver="latest") as written:
        storing.write_video(store, "a00000", [cameras], tmp_path / "out")
        names = {path.name for path in folder.iterdir()}
        assert written and names == {"a00000.h5", ".a00000.h5.87654321.part", other.name}


def same(one, other):
    pairs = zip(one, other, strict=True) if isinstance(one, tuple) else [(one, other)]
    return all(a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in pairs)


def test_masks_of_the_renders_are_those_of_the_geometry(rendered):
    store = open_dataset(rendered)
    for name in store.videos:
        video = open_video(store, name)
        equal = [video.view(i).surface.ids == store.read_mask(name, i).ids for i in range(6)]
        assert np.mean(equal) >= 0.9999


@pytest.mark.parametrize("wanted", every_kind(), ids=str)
def test_stored_annotations_equal_derived_ones(rendered, annotated, wanted):
    derived, stored = open_dataset(rendered), open_dataset(rendered, annotations=annotated)
    frame = 3 if wanted.kind.of_frames else None
    assert same(stored.annotation(str(wanted), "a00001", frame), derived.annotation(str(wanted), "a00001", frame))


def test_files_describe_themselves_and_match_the_card(rendered, annotated):
    card = (annotated / storing.CARD).read_text()
    store = open_dataset(rendered)
    objects = len(store.metadata("a00000")["objects"])
    sizes = {"F": 6, "O": objects, "H": 80, "W": 128, "N": 256}
    for wanted in every_kind():
        with h5py.File(annotated / str(wanted) / "a00000.h5") as file:
            assert set(file) == set(wanted.kind.fields)
            assert file.attrs["digest"] == store.metadata("a00000")["digest"]
            for name, field in wanted.kind.fields.items():
                assert file[name].dtype == field.dtype and file[name].attrs["unit"] == field.unit
                shape = tuple(sizes.get(word) or int(word) for word in field.shape.strip("(,)").split(", "))
                assert file[name].shape == shape, (wanted, name)
                assert f"| `{wanted}/<video>.h5` | `{name}` | {field.dtype} | {field.shape} | {field.unit} |" in card
                if file[name].dtype.kind == "f" and not field.invalid and not wanted.kind.between:
                    assert np.isfinite(file[name][...]).all()


def test_frames_without_another_frame_are_invalid_in_the_file_and_an_error_to_read(rendered, annotated):
    with h5py.File(annotated / "flow+1" / "a00000.h5") as file:
        assert np.isnan(file["flow"][5]).all() and not file["valid"][5].any() and file["valid"][4].all()
    for store in (open_dataset(rendered), open_dataset(rendered, annotations=annotated)):
        with pytest.raises(UserError, match=r"frame 5 of a00000 has none \+1"):
            store.read_flow("a00000", 5)
        with pytest.raises(UserError, match="no frame 6"):
            store.read_depth("a00000", 6)


def test_an_offset_beyond_the_video_is_refused(rendered, tmp_path):
    refused = storing.write(
        open_dataset(rendered), [parse_wanted("flow+5"), parse_wanted("flow-6")], tmp_path / "out"
    )
    assert refused["a00000"] == "flow-6 needs more frames than the 6 of a00000: choose other --kinds for it"
    assert not list((tmp_path / "out").rglob("*.h5"))


def test_a_second_run_makes_only_missing_files_with_the_same_bytes(rendered, tmp_path):
    store, one, two = open_dataset(rendered), tmp_path / "one", tmp_path / "two"
    done = []
    storing.write(store, FEW, one, progress=done.append)
    assert sum(done) == 18
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in sorted(one.rglob("*.h5"))}
    assert len(before) == 3 * len(FEW)
    gone, cut = one / "depth/a00001.h5", one / "flow+1/a00000.h5"
    gone.unlink()
    os.truncate(cut, 1000)
    storing.write(store, FEW, one)
    for path, (when, data) in before.items():
        assert path.read_bytes() == data
        assert (path.stat().st_mtime_ns == when) == (path not in (gone, cut))
    storing.write(store, FEW, two, workers=2)
    assert {p.relative_to(two): p.read_bytes() for p in two.rglob("*.h5")} == {
        path.relative_to(one): data for path, (_, data) in before.items()
    }
    assert not list(tmp_path.rglob("*.part"))


def test_annotations_of_another_rendering_are_refused_and_made_again(rendered, tmp_path):
    changed = tmp_path / "changed"
    shutil.copytree(rendered, changed)
    path = changed / "Metadata/a00000.json"
    metadata = json.loads(path.read_text())
    path.write_text(json.dumps(metadata | {"digest": "0" * 64}))
    storing.write(open_dataset(rendered), FEW[:1], tmp_path / "out")
    with pytest.raises(UserError, match="another rendering of a00000"):
        open_dataset(changed, annotations=tmp_path / "out").read_depth("a00000", 0)
    storing.write(open_dataset(changed), FEW[:1], tmp_path / "out")
    assert open_dataset(changed, annotations=tmp_path / "out").read_depth("a00000", 0).shape == (80, 128)


def test_shards_are_annotated_like_folders(rendered, tmp_path):
    pack(open_dataset(rendered), tmp_path / "shards", "tar")
    folder, shards = open_dataset(rendered), open_dataset(tmp_path / "shards")
    assert same(folder.read_flow("a00001", 2, -1), shards.read_flow("a00001", 2, -1))
    assert storing.write(shards, FEW[:1], tmp_path / "out", ["a00001"]) == {}
    stored = open_dataset(tmp_path / "shards", annotations=tmp_path / "out")
    assert same(stored.read_depth("a00001", 2), folder.read_depth("a00001", 2))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_video_with_a_changed_model_is_named_and_the_others_are_annotated(rendered, tmp_path, workers):
    broken = tmp_path / "broken"
    shutil.copytree(rendered, broken)
    path = broken / "Metadata/a00001.json"
    metadata = json.loads(path.read_text())
    metadata["scene"]["objects"][0]["model"]["sha256"] = "0" * 64
    path.write_text(json.dumps(metadata))
    refused = storing.write(open_dataset(broken), FEW, tmp_path / "out", workers=workers)
    assert list(refused) == ["a00001"] and "has changed since scene a00001 was planned" in refused["a00001"]
    assert sorted(path.name for path in (tmp_path / "out/depth").iterdir()) == ["a00000.h5", "a00002.h5"]


def test_folders_with_other_contents_are_not_changed(rendered, tmp_path):
    store = open_dataset(rendered)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty"):
        storing.write(store, FEW, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    with pytest.raises(UserError, match="which is read"):
        storing.write(store, FEW, rendered / "annotations")
    with pytest.raises(UserError, match="holds no annotations"):
        open_dataset(rendered, annotations=tmp_path)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("dept", "did you mean depth"),
        ("depth+1", r"leave \+1 out"),
        ("flow+0", "other than 0"),
        ("", "there is depth"),
    ],
)
def test_a_kind_that_does_not_exist_is_an_error(text, problem):
    with pytest.raises(UserError, match=problem):
        parse_wanted(text)


def test_every_kind_is_derived():
    from bl30k_gen.annotations.derive import BETWEEN_FRAMES, OF_FRAME, OF_VIDEO

    assert {*OF_FRAME, *BETWEEN_FRAMES, *OF_VIDEO} == set(KINDS)
    assert set(BETWEEN_FRAMES) == {name for name, kind in KINDS.items() if kind.between}
    assert set(OF_VIDEO) == {name for name, kind in KINDS.items() if not kind.of_frames}


def test_from_the_command_line(rendered, generate, tmp_path):
    out = tmp_path / "out"
    done = generate("annotations", rendered, "--kinds", "depth,flow-1", "--videos", "a00002", "--out", out, "--json")
    assert json.loads(done.stdout) == {"videos": 1, "kinds": ["depth", "flow-1"], "refused": {}}
    assert sorted(p.name for p in out.iterdir()) == ["ANNOTATIONS.md", "annotations.json", "depth", "flow-1"]
    wrong = generate("annotations", rendered, "--videos", "a00009", "--out", out, code=2)
    assert wrong.stderr.strip().splitlines()[-1].startswith("error: ") and "has no video a00009" in wrong.stderr
