"""Manifests as written by users and by killed programs."""

import json

import pytest

from bl30k_gen.errors import UserError
from bl30k_gen.library.catalogue import manifest
from bl30k_gen.library.catalogue.manifest import Manifest

OURS = {"file": "*", "licence": "MIT"}


def write(folder, text, encoding="utf-8"):
    (folder / manifest.NAME).write_text(text, encoding=encoding, newline="")


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n  \n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_manifests_are_read_with_any_line_ending_and_encoding(tmp_path, end, encoding):
    write(tmp_path, json.dumps(OURS) + end, encoding)
    assert Manifest(tmp_path).of("a.glb").credit.licence == "MIT"
    manifest.append(tmp_path / manifest.NAME, {"file": "b.glb", "licence": "cc0"})
    held = Manifest(tmp_path)
    assert held.of("a.glb").credit.licence == "MIT" and held.of("b.glb").credit.licence == "CC0-1.0"


@pytest.mark.parametrize("rest", ['{"file": "wood/half', "[1, 2]", "{", '{"file": "' + 5000 * "x"])
def test_an_incomplete_last_line_of_a_manifest_is_removed(tmp_path, rest):
    write(tmp_path, json.dumps(OURS) + "\n" + rest)
    assert manifest.read_lines(tmp_path) == [OURS]
    manifest.append(tmp_path / manifest.NAME, {"file": "b.glb"})
    assert manifest.read_lines(tmp_path) == [OURS, {"file": "b.glb"}]


@pytest.mark.parametrize("name", ["two  blanks.glb", "a\nb.glb", "x\u2028y.glb", "\u00fc\ud83d\ude00.glb", " a.glb "])
def test_a_manifest_can_name_any_file(tmp_path, name):
    name = name.encode("utf-16", "surrogatepass").decode("utf-16")
    manifest.append(tmp_path / manifest.NAME, {"file": name, "licence": "cc0"})
    manifest.append(tmp_path / manifest.NAME, {"file": "other.glb", "licence": "MIT", "title": "a\u2028b"})
    assert Manifest(tmp_path).of(name).credit.licence == "CC0-1.0"


def test_an_invalid_line_in_the_middle_is_an_error(tmp_path):
    write(tmp_path, '{"file": "a"\n' + json.dumps(OURS) + "\n")
    with pytest.raises(UserError, match="line 1 is no JSON object"):
        Manifest(tmp_path)


def test_values_that_are_not_text_are_ignored(tmp_path):
    lines = ['{"file": 7, "licence": ["MIT"], "author": null}', '{"licence": "MIT"}', '{"file": "*", "author": 3}']
    write(tmp_path, "\n".join(lines))
    assert Manifest(tmp_path).of("a.glb").credit == manifest.Credit()
