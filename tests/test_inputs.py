"""Files from outside: pipes, devices and endless files are refused without waiting, and JSON is checked."""

import os
import tracemalloc

import pytest

from bl30k_gen.errors import UserError
from bl30k_gen.inputs import parse_json, parse_json_lines, read_bytes, read_text
from tests.support import commands

ASSETS = "assets fetch --kind textures --provider urls --out OUT --urls PIPE"


def test_a_file_that_is_not_regular_is_named_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, kind in ((tmp_path / "pipe", "a pipe"), ("/dev/zero", "a device"), (tmp_path, "a folder")):
        with pytest.raises(UserError, match=f"is {kind}: give a regular file"):
            read_bytes(path)
    (tmp_path / "link").symlink_to("/dev/zero")
    with pytest.raises(UserError, match="is a device"):
        read_bytes(tmp_path / "link")


def test_a_file_has_a_limit(tmp_path):
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(UserError, match="more than 1,000 bytes"):
        read_bytes(tmp_path / "sparse", 1000)


def test_a_sparse_file_of_a_terabyte_is_not_read(tmp_path):
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(1 << 40)
    tracemalloc.start()
    with pytest.raises(UserError, match="more than 4,294,967,296 bytes"):
        read_bytes(tmp_path / "sparse", 1 << 32)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_a_missing_file_is_file_not_found_and_other_problems_are_user_errors(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_bytes(tmp_path / "nosuch")
    with pytest.raises(UserError, match="cannot be read"):
        read_bytes("a\0b")
    (tmp_path / "x").write_bytes(b"\xef\xbb\xbfabc")
    assert read_text(tmp_path / "x") == "abc"
    (tmp_path / "x").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="is no UTF-8 text"):
        read_text(tmp_path / "x")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ('{"a": NaN}', "NaN is no number"),
        ('{"a": -Infinity}', "-Infinity is no number"),
        ('{"a": 1e999}', "is too large"),
        ('{"a": ' + "9" * 400 + "}", "is too large"),
        ('{"a": ' + "9" * 5000 + "}", "limit"),
        ('{"a": 1, "a": 2}', "key a stands there twice"),
        ("[1]", "holds a list, not a dict"),
        ("null", "holds a NoneType, not a dict"),
        ("{", "is not valid JSON"),
        (b"\xff", "is not valid JSON"),
        (b"\0", "is not valid JSON"),
    ],
)
def test_json_that_is_not_an_object_is_one_line(text, said):
    with pytest.raises(UserError, match=said) as error:
        parse_json(text, "x.json", "restore it")
    assert str(error.value).startswith("x.json") and "\n" not in str(error.value)


def test_json_is_read():
    assert parse_json(b'\xef\xbb\xbf{"a": [1, 2.5, 12345678901234567890]}', "x", "") == {
        "a": [1, 2.5, 12345678901234567890]
    }


def test_bad_lines_of_a_journal_are_counted():
    lines = [b'{"a": 1}', b"", b"{", b"[1]", b"\xff\x00", b"[" * 100_000, b'{"a": NaN}', b'{"b": 2}']
    found, bad = parse_json_lines(b"\n".join(lines), "x")
    assert [sorted(entry) for entry in found] == [["a"], ["a"], ["b"]] and bad == 4


@pytest.mark.parametrize(
    "command",
    [
        ("generate.py", "config", "show", "--config", "PIPE"),
        ("generate.py", "config", "show", "--config", "BASE"),
        ("generate.py", "plan", "--config", "render_configs/demo.yaml", "--out", "OUT", "--indices", "PIPE"),
        ("generate.py", *ASSETS.split()),
        ("generate.py", "verify", "SHARD"),
        ("train.py", "segment", "PIPE", "--video", "x", "--first-mask", "PIPE", "--out", "OUT"),
        ("train.py", "run", "PIPE"),
    ],
)
def test_no_command_waits_for_a_pipe(tmp_path, command):
    os.mkfifo(tmp_path / "pipe")
    os.mkfifo(tmp_path / "pipe.tar")
    (tmp_path / "base.yaml").write_text(f"extends: {tmp_path}/pipe\n")
    places = {"PIPE": "pipe", "OUT": "out", "SHARD": "pipe.tar", "BASE": "base.yaml"}
    words = [str(tmp_path / places[word]) if word in places else word for word in command]
    done = commands.run(*words, timeout=60)
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: ") and not (tmp_path / "out").exists()
