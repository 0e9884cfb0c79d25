"""Messages on untested systems, and functions that work there."""

import os
import platform

import pytest

from bl30k_gen import platforms
from bl30k_gen.errors import UserError


def test_commands_refuse_windows_in_one_line(monkeypatch):
    monkeypatch.setattr(platform, "system", lambda: "Windows")
    with pytest.raises(UserError, match="WSL 2"):
        platforms.require_posix()


@pytest.mark.parametrize(
    ("name", "machine", "said"),
    [
        ("Linux", "x86_64", "Linux x86_64"),
        ("Linux", "aarch64", "Linux aarch64: untested"),
        ("Darwin", "arm64", "Darwin arm64: untested"),
    ],
)
def test_untested_systems_are_named_in_one_line(monkeypatch, name, machine, said):
    monkeypatch.setattr(platform, "system", lambda: name)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    line = platforms.tested()
    assert line.startswith(said) and "\n" not in line and ("untested" in line) == ("untested" in said)


def test_reading_at_an_offset_changes_no_file_position(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(bytes(range(100)))
    descriptor = os.open(tmp_path / "file", platforms.READING)
    expected = [platforms.read_at(descriptor, 7, offset) for offset in (50, 0, 97)]
    monkeypatch.delattr(os, "pread")
    assert [platforms.read_at(descriptor, 7, offset) for offset in (50, 0, 97)] == expected
    assert expected[2] == bytes([97, 98, 99])
    os.close(descriptor)
