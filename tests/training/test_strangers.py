"""A seeded slice of the campaign ``benchmarks.faults.strangers``: strange files, and what a command makes of them."""

import random

import pytest

from benchmarks.faults import odd_files
from benchmarks.faults.places import PLACES
from benchmarks.faults.sound_files import write_assets, write_datasets, write_texts
from benchmarks.faults.strangers import Trial, attempt, told

FILES = ("child.yaml", "data/Metadata/a00001.json", "data/Annotations/a00001/00003.png", "photos/manifest.jsonl")
WAYS = ("pipe", "dangling_link", "damaged", "escape_sequences", "an_odd_value", "deep_nesting", "another_mode")


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    root = tmp_path_factory.mktemp("strangers") / "sound"
    root.mkdir()
    write_datasets(root)
    write_assets(root)
    write_texts(root)
    return root


@pytest.mark.parametrize("file", FILES)
def test_a_strange_file_is_one_line_or_right(sound, tmp_path, file):
    place = next(place for place in PLACES if place.file == file)
    quick = next(line for line in place.commands if line.split()[1] in ("config", "verify", "assets"))
    names = {name.replace("_", " ") for name in WAYS}
    ways = [way for way in dict.fromkeys(odd_files.ways_for(place.kind)) if way.name in names]
    assert len(ways) >= 3
    for way in [odd_files.SOUND, *ways]:
        trial = attempt(Trial(place.only(quick), way, random.Random(file).getrandbits(32)), sound, tmp_path)
        assert trial.good, list(told(trial))
    assert trial.outcomes[0][1].code is not None
