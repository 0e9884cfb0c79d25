import csv
import json

import numpy as np
import pytest
from PIL import Image

from bl30k_gen.dataset.masks import palette
from bl30k_gen.errors import UserError
from training.evaluation.captions import EMPTY, captioned
from training.evaluation.report import Table, write_report
from training.evaluation.semi_supervised import read_list, score_baselines, score_folders, youtube_groups
from training.evaluation.strips import ERROR_COLOURS, error_map, write_strip

QUIET = {"say": lambda line: None}


@pytest.fixture
def truth(tmp_path, write_video, squares):
    write_video(tmp_path / "truth" / "walk", squares)
    write_video(tmp_path / "truth" / "stand", squares[[3] * 5])
    return tmp_path / "truth"


@pytest.fixture
def predictions(tmp_path, write_video, squares):
    """Predictions that equal the truth."""
    write_video(tmp_path / "predictions" / "walk", squares)
    write_video(tmp_path / "predictions" / "stand", squares[[3] * 5])
    return tmp_path / "predictions"


@pytest.mark.parametrize("protocol", ["davis16", "davis17", "youtube", "all"])
def test_true_masks_score_100(truth, predictions, protocol):
    for results in (score_folders(truth, predictions, protocol, **QUIET), score_baselines(truth, protocol)["oracle"]):
        summary = results.summary()
        assert summary["J&F"] == summary["J mean"] == summary["F mean"] == summary["J recall"] == 100.0
        assert summary["J decay"] == 0


def test_empty_masks_score_0(truth, predictions, write_video, squares):
    write_video(predictions / "walk", np.zeros_like(squares))
    by_object = score_folders(truth, predictions, "davis17", ["walk"], **QUIET)
    assert by_object.summary()["J&F"] == 0 and len(by_object.objects) == 2


def test_first_mask_copied_by_hand(truth):
    results = score_baselines(truth, "davis17", ["walk"])["first mask copied"]
    walking, standing = results.objects
    shifts = 2 * np.arange(1, 7)  # frames 1 to 6 of 8; the square is 16 wide
    assert walking.values[:, 0] == pytest.approx(100 * (16 - shifts) / (16 + shifts))
    assert standing.j.mean == 100
    assert walking.j.decay > 0


def test_left_out_first_and_last_frames_are_reported(truth, predictions, write_video, squares):
    wrong = squares.copy()
    wrong[[0, -1]] = 0
    write_video(predictions / "walk", wrong)
    (predictions / "walk" / "00000.png").unlink()
    said = []
    results = score_folders(truth, predictions, "davis17", ["walk"], say=said.append)
    assert results.summary()["J&F"] == 100
    assert results.objects[0].frames == tuple(f"{t:05d}" for t in range(1, 7))
    assert "first and the last frame" in said[0]
    assert said[1].strip() == "walk: 00000, 00007"


def test_all_kinds_of_masks_mean_the_same(tmp_path, truth, save_png, squares):
    for t, ids in enumerate(squares):
        save_png(tmp_path / "grey" / "walk" / f"{t:05d}.png", ids)
        save_png(tmp_path / "colour" / "walk" / f"{t:05d}.png", palette()[ids])
        save_png(tmp_path / "deep" / "walk" / f"{t:05d}.png", ids.astype(np.uint16))
    for kind in ("grey", "colour", "deep"):
        assert score_folders(truth, tmp_path / kind, "davis17", ["walk"], **QUIET).summary()["J&F"] == 100


def test_davis16_merges_objects_and_reads_white_as_one(tmp_path, truth, save_png, squares):
    for t, ids in enumerate(squares):
        save_png(tmp_path / "white" / "walk" / f"{t:05d}.png", ((ids > 0) * 255).astype(np.uint8))
    results = score_folders(truth, tmp_path / "white", "davis16", ["walk"], **QUIET)
    assert [s.object for s in results.objects] == [1]
    assert results.summary()["J&F"] == 100


def test_void_is_left_out(tmp_path, truth, save_png, squares):
    for t, ids in enumerate(squares):
        with_void = ids.copy()
        with_void[25:45, 35:64] = 255
        with_void[30:40, 40:50] = 2
        save_png(tmp_path / "void" / "walk" / f"{t:05d}.png", with_void)
    results = score_folders(tmp_path / "void", truth, "davis17", **QUIET)
    assert results.objects[1].j.mean == 100


def test_youtube_scores_an_object_after_its_first_frame(tmp_path, write_video, squares):
    late = squares.copy()
    late[:3][late[:3] == 2] = 0  # object 2 enters in the fourth frame
    names = [f"{5 * t:05d}" for t in range(8)]
    write_video(tmp_path / "truth" / "v", late, names)
    wrong = late.copy()
    wrong[0] = 0
    wrong[:4][wrong[:4] == 2] = 0
    wrong[-1] = 0
    every = np.repeat(wrong, 5, axis=0)
    write_video(tmp_path / "predictions" / "v", every)
    said = []
    results = score_folders(tmp_path / "truth", tmp_path / "predictions", "youtube", say=said.append)
    one, two = results.objects
    assert one.frames == tuple(names[1:]) and two.frames == tuple(names[4:])
    assert one.values[:, 0].tolist() == [100] * 6 + [0]
    assert two.values[:, 0].tolist() == [100] * 3 + [0]
    assert any("32 predicted frames have no annotation" in line for line in said)


def test_youtube_groups_by_hand(tmp_path, truth, predictions, write_video, squares):
    def meta(path, categories):
        objects = {str(label): {"category": name, "frames": []} for label, name in categories.items()}
        path.write_text(json.dumps({"videos": {"walk": {"objects": objects}}}))
        return path

    groups = youtube_groups(
        meta(tmp_path / "valid.json", {1: "dog", 2: "gnu"}), meta(tmp_path / "train.json", {1: "dog"})
    )
    assert groups == {("walk", 1): "seen", ("walk", 2): "unseen"}
    without_gnu = np.where(squares == 2, 0, squares)
    write_video(predictions / "walk", without_gnu)
    summary = score_folders(truth, predictions, "youtube", ["walk"], groups, **QUIET).summary()
    assert summary == {"G": 50, "J seen": 100, "F seen": 100, "J unseen": 0, "F unseen": 0}
    with pytest.raises(UserError, match="no category"):
        score_folders(truth, predictions, "youtube", ["stand"], groups, **QUIET)


def test_unexpected_objects_are_recorded(tmp_path, write_video, squares):
    late = squares.copy()
    late[0][late[0] == 2] = 0
    write_video(tmp_path / "truth" / "v", late)
    write_video(tmp_path / "predictions" / "v", np.where(late == 2, 9, late))
    results = score_folders(tmp_path / "truth", tmp_path / "predictions", "davis17", **QUIET)
    assert [s.object for s in results.objects] == [1]
    assert results.notes == (
        "v: objects 2 are absent from the first frame and are not scored",
        "v: predicted ids 9 are no object and count as background",
    )


def test_processes_do_not_change_scores(truth, predictions, write_video, squares):
    write_video(predictions / "walk", squares[::-1])
    one, two = (score_folders(truth, predictions, "davis17", workers=n, **QUIET) for n in (1, 2))
    assert one.summary() == two.summary()
    assert [s.video for s in two.objects] == ["stand", "stand", "walk", "walk"]


def test_bad_input_is_one_clear_line(tmp_path, truth, predictions, save_png, write_video, squares):
    def refused(match, *args):
        with pytest.raises(UserError, match=match) as caught:
            score_folders(*args, **QUIET)
        assert "\n" not in str(caught.value)

    (tmp_path / "empty").mkdir()
    refused("nowhere is no folder", tmp_path / "nowhere", predictions)
    refused("empty is empty", tmp_path / "empty", predictions)
    refused("holds masks but no video folders", truth / "walk", predictions)
    (tmp_path / "dataset/Annotations/480p").mkdir(parents=True)
    refused("dataset is a dataset, not a folder of masks: give .*Annotations/480p", tmp_path / "dataset", predictions)
    refused("has no video wlak: did you mean walk", truth, predictions, "davis17", ["wlak"])
    refused("unknown protocol davis18: choose one of davis16", truth, predictions, "davis18")
    refused("list of videos is empty", truth, predictions, "davis17", [])

    (predictions / "walk" / "00003.png").unlink()
    refused("walk/00003.png is missing", truth, predictions)
    write_video(predictions / "walk", squares[3:4, :, :32], ["00003"])
    refused("00003.png is 32x48, the first mask 64x48", truth, predictions)
    write_video(predictions / "walk", squares[:, :, :32])
    refused("00001.png is 32x48 but its annotation is 64x48", truth, predictions)
    (predictions / "walk" / "00001.png").write_bytes(b"")
    refused("00001.png is damaged", truth, predictions)

    write_video(tmp_path / "named" / "walk", squares, [f"frame{t}" for t in range(8)])
    refused("no mask in .* has the name of an annotation.*00000.png", truth, tmp_path / "named", "davis17", ["walk"])
    (tmp_path / "named" / "stand").mkdir()
    refused("stand has no masks", truth, tmp_path / "named", "davis17", ["stand"])
    with pytest.raises(UserError, match="no such list|cannot be read"):
        read_list(tmp_path / "val.txt")


def test_lists_name_videos_or_as_davis_2016_their_images(tmp_path):
    (tmp_path / "val.txt").write_text("walk\nstand\n\n")
    assert read_list(tmp_path / "val.txt") == ["walk", "stand"]
    frames = [f"480p/{video}/0000{t}" for video in ("walk", "stand") for t in (0, 1)]
    pairs = [f"/JPEGImages/{frame}.jpg /Annotations/{frame}.png" for frame in frames]
    (tmp_path / "2016.txt").write_text("\n".join(pairs))
    assert read_list(tmp_path / "2016.txt") == ["walk", "stand"]


def test_frames_come_in_the_order_of_their_numbers(tmp_path, write_video, squares):
    for folder in ("truth", "predictions"):
        write_video(tmp_path / folder / "v", squares, [str(number) for number in range(5, 13)])
    results = score_folders(tmp_path / "truth", tmp_path / "predictions", "davis17", **QUIET)
    assert results.left_out == {"v": ("5", "12")}


def test_report_files_agree(tmp_path, truth, predictions):
    results = {"mine": score_folders(truth, predictions, **QUIET), **score_baselines(truth)}
    text = write_report(results, tmp_path / "out")
    assert "100.0" in text and "Frames left out" in text and "first mask copied" in text
    with open(tmp_path / "out" / "scores.csv", newline="") as file:
        rows = {row[""]: float(row["J&F"]) for row in csv.DictReader(file)}
    machine = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert rows == {label: entry["summary"]["J&F"] for label, entry in machine.items()}
    assert rows["mine"] == 100 > rows["first mask copied"]
    with open(tmp_path / "out" / "frames.csv", newline="") as file:
        frames = [float(row["J"]) for row in csv.DictReader(file) if row[""] == "first mask copied"]
    assert np.mean(frames) < 100 and len(frames) == 2 * (6 + 3)
    assert r"J\&F" in (tmp_path / "out" / "scores.tex").read_text()


def test_table_formats():
    table = Table(["a & b", "x"], [["one", 1.25], ["two", None]], digits=2)
    assert table.text() == "a & b     x\n-----  ----\none    1.25\ntwo\n"
    assert table.csv() == "a & b,x\none,1.25\ntwo,\n"
    assert table.latex().splitlines()[2:6] == [r"a \& b & x \\", r"\midrule", r"one & 1.25 \\", r"two &  \\"]


def test_error_map_and_strip(tmp_path, truth, predictions, write_video, squares):
    prediction = np.roll(squares, 3, axis=2)
    prediction[prediction == 2] = 1
    errors = error_map(squares[0], prediction[0])
    assert tuple(errors[10, 10]) == ERROR_COLOURS["right"]
    assert tuple(errors[10, 4]) == ERROR_COLOURS["missed"]
    assert tuple(errors[10, 21]) == ERROR_COLOURS["invented"]
    assert tuple(errors[35, 50]) == ERROR_COLOURS["confused"]
    write_video(predictions / "walk", prediction)
    write_strip(truth, predictions, "walk", tmp_path / "strip.png", columns=4, width=96)
    labelled = np.asarray(Image.open(tmp_path / "strip.png"))
    assert labelled.shape[0] == 3 * 72 + 2 * 20 and labelled.shape[1] > 4 * 96
    left = next(x for x in range(labelled.shape[1]) if (labelled[20 + 144, x] != 255).any())
    assert tuple(labelled[20 + 144 + 15, left + 15]) == ERROR_COLOURS["right"]
    for band in (labelled[:20, left:], labelled[20 : 20 + 72, :left], labelled[-20:, left:]):
        assert (band < 100).any(), "frame names, labels of rows, legend"


def test_small_cells_are_enlarged_until_labels_fit():
    cell = np.random.default_rng(0).integers(0, 200, (8, 10, 3), np.uint8)
    grid = np.tile(cell, (2, 3, 1))
    sheet = captioned(grid, ["a", "b"], ["reference before", "c", "d"], {"void": (0, 0, 0)}, {(1, 2): EMPTY})
    factor = (sheet.shape[0] - 40) // 16
    wide = 10 * factor
    assert 100 < wide < 200 and sheet.shape[0] == 16 * factor + 40
    left = sheet.shape[1] - 3 * wide
    assert (sheet[20 : 20 + 8 * factor, left : left + wide] == cell.repeat(factor, 0).repeat(factor, 1)).all()
    assert (sheet[:20, left + wide - 4 : left + wide] == 255).all(), "the first label ends before the second cell"


def test_a_strip_says_where_nothing_is_predicted(tmp_path, truth, predictions, write_video, squares):
    write_strip(truth, predictions, "walk", tmp_path / "full.png", columns=3)
    gone = squares.copy()
    gone[2:] = 0
    write_video(predictions / "walk", gone)
    write_strip(truth, predictions, "walk", tmp_path / "strip.png", columns=3)
    full, strip = (np.asarray(Image.open(tmp_path / name)) for name in ("full.png", "strip.png"))
    height = (strip.shape[0] - 40) // 3
    left = strip.shape[1] - 3 * 320
    corner = [(20 + height, left + 320 * column) for column in range(3)]
    said = [(strip[y : y + 24, x : x + 100] == 255).all(-1).sum() for y, x in corner]
    assert said[0] == (full[corner[0][0] : corner[0][0] + 24, left : left + 100] == 255).all(-1).sum()
    assert min(said[1:]) > said[0] + 20, "white letters on the frames without an object"


def test_real_videos(davis):
    """The oracle and the first mask copied, with scores between the two for masks that lag by one frame."""
    results = score_baselines(davis / "Annotations" / "480p", "davis16", ["horsejump-high"])
    assert results["oracle"].summary()["J&F"] == 100
    assert 0 < results["first mask copied"].summary()["J&F"] < 60
