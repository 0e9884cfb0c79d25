"""``train.py evaluate`` and ``score``, as a user meets them."""

import json
import subprocess
import sys
from pathlib import Path

import torch

from models import checkpoint

ROOT = Path(__file__).resolve().parents[2]


def train(*arguments, code=0):
    command = [sys.executable, str(ROOT / "train.py"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def test_a_runs_folder_is_evaluated_and_its_masks_scored_again(rendered, tmp_path):
    """The scores of ``evaluate`` are those that ``score`` gives the masks it wrote."""
    torch.manual_seed(0)
    small = {"backbone": "resnet18", "memory_backbone": "resnet18"}
    narrow = {"key_dim": 8, "value_dim": 16, "decoder_dim": 8}
    (tmp_path / "my-run").mkdir()
    checkpoint.save(checkpoint.build("stcn", small | narrow), tmp_path / "my-run/network.pt")
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
    """All commands that run a network know the same flags."""
    from typer.testing import CliRunner

    from training import cli
    from training.evaluation import tables
    from training.inference import evaluate, script, segment

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
