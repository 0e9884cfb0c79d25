"""What people read: tables, counts, durations and sizes."""

import pytest

from bl30k_gen.text import aligned, byte_size, duration, markdown_table, memory_size, plural, time_unit


def test_columns_are_as_wide_as_their_widest_cell():
    rows = [["name", "count"], ["a", "7"], ["longer name"]]
    assert aligned(rows) == ["name         count", "a            7", "longer name"]
    assert aligned(rows, right={1}, indent=" ") == [" name         count", " a                7", " longer name"]
    assert aligned([]) == []


def test_markdown():
    assert markdown_table(["a", "b"], [["1", "2"]]).splitlines() == ["| a | b |", "| --- | --- |", "| 1 | 2 |"]


def test_counts_and_durations():
    assert [plural(n, "video") for n in (0, 1, 2)] == ["0 videos", "1 video", "2 videos"]
    assert [duration(s) for s in (50, 7500, 100_000)] == ["0 h 1 min", "2 h 5 min", "1 d 3 h"]
    units = [time_unit(s).name for s in (0.01, 119, 120, 7199, 7200, 259_199, 259_200)]
    assert units == ["s", "s", "min", "min", "h", "h", "days"]


@pytest.mark.parametrize(
    ("size", "on_disk", "in_memory"),
    [(0, "0 bytes", "0 bytes"), (999, "999 bytes", "999 bytes"), (25_340_000, "25.3 MB", "24.2 MiB")],
)
def test_sizes(size, on_disk, in_memory):
    assert (byte_size(size), memory_size(size)) == (on_disk, in_memory)
