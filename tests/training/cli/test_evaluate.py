"""The commands ``train.py evaluate`` and ``score``."""

import json
import re
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from bl30k_gen.dataset.masks import encode_mask
from models import checkpoint
from tests.support import commands
from training import cli
from training.experiments import evaluate

SMALL = {"backbone": "resnet18", "memory_backbone": "resnet18", "key_dim": 8, "value_dim": 16, "decoder_dim": 8}


def train(*arguments, code=0):
    done = commands.run("train.py", *arguments)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def test_a_runs_folder_is_evaluated_and_its_masks_scored_again(rendered, tmp_path):
    """``score`` gives the masks that ``evaluate`` wrote the same scores."""
    torch.manual_seed(0)
    (tmp_path / "my-run").mkdir()
    checkpoint.save(checkpoint.build("stcn", SMALL), tmp_path / "my-run/network.pt")
    said = train("evaluate", tmp_path / "my-run", rendered, "--protocol", "all", "--out", tmp_path / "a").stdout
    assert "my-run" in said and "first mask copied" in said
    train("score", rendered / "Annotations", tmp_path / "a/masks", "--protocol", "all", "--out", tmp_path / "b")
    ours, again = (json.loads((tmp_path / out / "scores.json").read_text()) for out in ("a", "b"))
    assert ours["my-run"]["summary"] == again["masks"]["summary"]
    assert ours["oracle"]["summary"]["J&F"] == 100.0


def test_mistakes_are_one_line(rendered, tmp_path):
    for arguments, said in [
        (("evaluate", tmp_path / "none.pt", rendered, "--out", tmp_path / "o"), "none.pt"),
        (("score", rendered / "Annotations", tmp_path / "none", "--out", tmp_path / "o"), "none"),
    ]:
        done = train(*arguments, code=2)
        assert done.stderr.count("\n") == 1 and said in done.stderr
    assert not (tmp_path / "o").exists()


def test_flags_become_options(monkeypatch, tmp_path):
    """All commands that run a network have the same flags."""
    from typer.testing import CliRunner

    from training.experiments import tables
    from training.inference import segment
    from training.interactive import script

    got = []
    take = lambda *args, **options: got.append(options)  # noqa: E731
    monkeypatch.setattr(evaluate, "evaluate_semi_supervised", take)
    monkeypatch.setattr(evaluate, "evaluate_interactive", take)
    monkeypatch.setattr(segment, "segment", take)
    monkeypatch.setattr(script, "interact", take)
    monkeypatch.setattr(tables, "ablate", lambda recipe, bench, out: got.append(dict(bench.options)))
    flags = "--top-k 0 --sigma 5.6 --memory-every 3 --memory growing --memory-budget 1000 --short-side 480"
    flags += " --scale 1 --scale 1.3 --flip --precision bfloat16"
    for command in (
        "evaluate net data --out o",
        "evaluate net data --out o --interactive",
        "segment net --video v --first-mask m --out o",
        "interact net --video v --script s --out o",
        "ablate data --recipe mivos-table1 --out o",
    ):
        done = CliRunner().invoke(cli.app, [*command.split(), *flags.split()])
        assert done.exit_code == 0, done.output
        options = got.pop()
        for name, value in {
            "top_k": None,
            "sigma": 5.6,
            "memory_every": 3,
            "memory": "growing",
            "memory_budget": 1000,
            "short_side": 480,
            "scales": [1.0, 1.3],
            "flip": True,
            "precision": "bfloat16",
        }.items():
            assert options[name] == value, command
        CliRunner().invoke(cli.app, command.split())
        assert not {"top_k", "flip", "scales", "precision"} & got.pop().keys(), "the network's own stay"


@pytest.mark.parametrize(
    "flags, said",
    [
        ("--s2m s.pt", "--s2m is for the interactive benchmark: add --interactive, or leave it out"),
        ("--fusion linear", "--fusion is for the interactive benchmark"),
        ("--scribbles folder", "--scribbles is for the interactive benchmark"),
        ("--interactive --protocol davis17", "--protocol has no effect with --interactive"),
        ("--interactive --s2m s.pt --fusion none", None),
        ("--protocol all", None),
    ],
)
def test_flags_of_the_other_benchmark_are_refused(monkeypatch, capsys, flags, said):
    took = []
    for name in ("evaluate_semi_supervised", "evaluate_interactive"):
        monkeypatch.setattr(evaluate, name, lambda *arguments, **options: took.append(arguments))
    monkeypatch.setattr(sys, "argv", ["train.py", "evaluate", "net", "data", "--out", "o", *flags.split()])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    error = capsys.readouterr().err
    if said:
        assert ended.value.code == 2 and error.count("\n") == 1 and said in error and not took
    else:
        assert not ended.value.code and took


def size_changes(data):
    Image.new("RGB", (40, 32)).save(data / "JPEGImages/v/00002.png")


def first_mask_missing(data):
    (data / "Annotations/v/00000.png").unlink()


def folder_empty(data):
    for file in (data / "JPEGImages/v").iterdir():
        file.unlink()


def names_differ(data):
    for file in (data / "Annotations/v").iterdir():
        file.rename(file.with_name(f"mask-{'abc'[int(file.stem)]}.png"))  # not the number of any frame


def wide_ids(data):
    for file in (data / "Annotations/v").iterdir():
        Image.fromarray(np.full((32, 48), 300, np.uint16)).save(file)


def frame_damaged(data):
    (data / "JPEGImages/v/00001.png").write_bytes(b"\x89PNG")


@pytest.mark.parametrize(
    "spoil, evaluated, segmented",
    [
        (size_changes, "video v, frame 2: the frame is 40x32, but the first one 48x32", "00002.png is 40x32"),
        (first_mask_missing, "video v has no mask for its first frame", None),
        (folder_empty, "JPEGImages/v", "has no frames"),
        (names_differ, "video v of .* has no masks: name them like its frames, 00000.png", "belongs to no frame"),
        (wide_ids, "id 300", "id 300"),
        (frame_damaged, "00001.png", "00001.png is damaged"),
    ],
)
def test_bad_input_of_every_kind_is_one_line(tmp_path, monkeypatch, capsys, spoil, evaluated, segmented):
    data = tmp_path / "data"
    for kind in ("JPEGImages", "Annotations"):
        (data / kind / "v").mkdir(parents=True)
    ids = np.zeros((32, 48), np.uint8)
    ids[8:24, 8:24] = 1
    for t in range(3):
        Image.new("RGB", (48, 32)).save(data / f"JPEGImages/v/{t:05d}.png")
        (data / f"Annotations/v/{t:05d}.png").write_bytes(encode_mask(ids))
    checkpoint.save(checkpoint.build("stcn", SMALL), tmp_path / "net.pt")
    spoil(data)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["train.py", *map(str, arguments), "--device", "cpu"])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code, capsys.readouterr().err

    out, other = ("--out", tmp_path / "scores"), ("--out", tmp_path / "masks")
    for expected, arguments in (
        (evaluated, ("evaluate", tmp_path / "net.pt", data, *out)),
        (
            segmented,
            (
                "segment",
                tmp_path / "net.pt",
                "--video",
                data / "JPEGImages/v",
                *other,
                "--first-mask",
                data / "Annotations/v",
            ),
        ),
    ):
        code, said = run(*arguments)
        if expected:
            assert code == 2 and said.count("\n") == 1 and re.search(expected, said), said
        else:  # the later masks are enough
            assert code == 0, said


def test_an_unreadable_video_is_one_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "holiday.mp4").write_bytes(b"no video")
    (tmp_path / "first.png").write_bytes(encode_mask(np.eye(32, dtype=np.uint8)))
    checkpoint.save(checkpoint.build("stcn", SMALL), tmp_path / "n.pt")
    flags = ["--video", tmp_path / "holiday.mp4", "--first-mask", tmp_path / "first.png", "--out", tmp_path / "out"]
    monkeypatch.setattr(sys, "argv", ["train.py", "segment", *map(str, [tmp_path / "n.pt", *flags])])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr().err
    assert ended.value.code == 2 and said.count("\n") == 1 and "holiday.mp4 holds no video" in said
    assert not (tmp_path / "out").exists()
