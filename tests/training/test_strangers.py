"""A part of the campaign ``benchmarks.faults.strangers``: strange files given to one command."""

import random

import pytest

from benchmarks.faults.input_files import INPUT_FILES
from benchmarks.faults.odd_files import UNCHANGED, corruptions_of
from benchmarks.faults.strangers import Trial, run_trial
from benchmarks.faults.valid_files import write_assets, write_datasets, write_texts

FILES = ("child.yaml", "data/Metadata/a00001.json", "data/Annotations/a00001/00003.png", "photos/manifest.jsonl")
CORRUPTIONS = {"pipe", "dangling link", "damaged", "escape sequences", "odd value", "deep nesting", "other mode"}


@pytest.fixture(scope="module")
def valid(tmp_path_factory):
    """A workspace of valid files; read it, never change it."""
    root = tmp_path_factory.mktemp("strangers") / "valid"
    root.mkdir()
    write_datasets(root)
    write_assets(root)
    write_texts(root)
    return root


@pytest.mark.parametrize("path", FILES)
def test_a_strange_file_is_one_error_line_or_read_correctly(valid, tmp_path, path):
    file = next(file for file in INPUT_FILES if file.path == path)
    quick = next(line for line in file.commands if line.split()[1] in ("config", "verify", "assets"))
    corruptions = [c for c in dict.fromkeys(corruptions_of(file.kind)) if c.name in CORRUPTIONS]
    assert len(corruptions) >= 3
    for corruption in [UNCHANGED, *corruptions]:
        seed = random.Random(path).getrandbits(32)
        trial = run_trial(Trial(file.with_commands(quick), corruption, seed), valid, tmp_path)
        assert trial.passed, list(trial.report())
    assert trial.runs[0].result.code is not None
