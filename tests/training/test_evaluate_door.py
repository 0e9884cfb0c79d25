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
