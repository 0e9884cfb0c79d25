"""Division of work: a list of video indices, and slices of it.

Slices are even, disjoint and complete; no video depends on their number.
"""

import os
from pathlib import Path
from typing import TypeVar

from bl30k_gen.errors import UserError
from bl30k_gen.inputs import read_text

Video = TypeVar("Video", int, str)  # an index or a name
MAX_VIDEOS = 26 * 100_000  # a name is the letter of a segment and five digits


def indices_from(count: int | None, index: int | None, file: Path | None) -> list[int]:
    """Indices of the videos of a command: ``--count N`` (the first N), ``--index I``, or ``--indices FILE``.

    Raises:
        UserError: none or several are given, or the file does not hold one index a line.
    """
    match count, index, file:
        case int(), None, None:
            return list(range(checked_number("--count", count)))
        case None, int(), None:
            return [checked_number("--index", index)]
        case None, None, Path():
            return read_indices(file)
    flags = {"--count": count, "--index": index, "--indices": file}
    given = [flag for flag, value in flags.items() if value is not None]
    raise UserError(
        "which videos? " + (f"{' and '.join(given)} exclude each other" if given else "nothing is asked for"),
        "give one of --count N, --index I, --indices FILE",
    )


def read_indices(file: Path) -> list[int]:
    """Sorted indices in a text file, one a line; empty lines and repetitions are ignored."""
    try:
        lines = read_text(file).splitlines()
    except FileNotFoundError:
        raise UserError(f"--indices {file} does not exist", "give a file with one video index a line") from None
    indices = []
    for number, line in enumerate(lines, start=1):
        if line.strip() and not (line.strip().isdecimal() and len(line.strip()) < 20):
            raise UserError(f"--indices {file}, line {number}: {line.strip()[:40]!r}", "write one video index a line")
        if line.strip():
            indices.append(checked_number(f"--indices {file}, line {number}:", int(line)))
    return sorted(set(indices))


def parse_shard(shard: str) -> tuple[int, int]:
    """(I, N) from ``I/N`` with 0 <= I < N, or from ``slurm``: task I of the N tasks of this job array.

    Raises:
        UserError
    """
    remedy = "write --shard I/N with 0 <= I < N, or --shard slurm inside a job array"
    try:
        if shard == "slurm":
            first = int(os.environ.get("SLURM_ARRAY_TASK_MIN", 0))
            step = int(os.environ.get("SLURM_ARRAY_TASK_STEP", 1))
            part = (int(os.environ["SLURM_ARRAY_TASK_ID"]) - first) // step
            parts = int(os.environ["SLURM_ARRAY_TASK_COUNT"])
        else:
            part, parts = (int(number) for number in shard.split("/"))
    except KeyError as error:
        raise UserError(f"--shard slurm: {error.args[0]} is not set", remedy) from None
    except ValueError:
        raise UserError(f"--shard {shard}", remedy) from None
    if not 0 <= part < parts:
        raise UserError(f"--shard {shard}: part {part} of {parts}", remedy)
    return part, parts


def take_shard(videos: list[Video], part: int, parts: int) -> list[Video]:
    """Every ``parts``-th video from the ``part``-th on; the lengths of all slices differ by one at most."""
    return videos[part::parts]


def checked_number(flag: str, value: int) -> int:
    """``value``, if it may count or number videos. Raises UserError naming ``flag``."""
    if not 0 <= value <= MAX_VIDEOS:
        raise UserError(f"{flag} {value}", f"give a number from 0 to {MAX_VIDEOS:,}: there are no names for more")
    return value
