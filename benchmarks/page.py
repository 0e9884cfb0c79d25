"""What the benchmarks share: command line, description of the machine, scratch folders, and the page of results.

They run from the folder of the project as ``python -m benchmarks.FOLDER.NAME``.
"""

import argparse
import contextlib
import os
import platform
import re
import resource
import shlex
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

from bl30k_gen.dataset.files import write_atomically
from bl30k_gen.text import markdown_table

ROOT = Path(__file__).resolve().parents[1]


def parser_of(doc: str) -> argparse.ArgumentParser:
    """A parser with ``--results``; the help begins with the module's docstring."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, metavar="FILE", help="a Markdown file to write")
    return parser


def command() -> str:
    """The command line of this process, as one types it."""
    module = Path(sys.argv[0]).resolve().relative_to(ROOT).with_suffix("")
    return shlex.join(["python", "-m", ".".join(module.parts), *sys.argv[1:]])


def machine(*packages: str) -> str:
    """Processors, Python, and the versions of ``packages``."""
    versions = [f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in packages)]
    return f"{os.cpu_count()} processors ({_model()}), {', '.join(versions)}"


def _model() -> str:
    """The processor's name, or only its architecture outside Linux."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def load() -> float:
    """The load of the last minute: running processes per processor."""
    return os.getloadavg()[0] / (os.cpu_count() or 1)


def processor_seconds() -> float:
    """Processor time of this process and of its ended children."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def spread(values: Sequence[float], form: str = ".2f") -> str:
    """Median (smallest to largest)."""
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


@contextlib.contextmanager
def memory_folder(prefix: str) -> Iterator[Path]:
    """A temporary folder in memory (/dev/shm), or on disk if that is not writable."""
    parent = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix=prefix, dir=parent) as folder:
        yield Path(folder)


table = markdown_table


def publish_section(heading: str, text: str, path: Path | None) -> None:
    """Print a section, and insert it in a page, where it replaces the section with the same heading."""
    print(text)
    if path is not None:
        before = path.read_text(encoding="utf-8") if path.exists() else "# Robustness\n"
        pattern = re.compile(rf"^## {re.escape(heading)}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
        section = f"## {heading}\n\n{text.strip()}\n\n"
        found = pattern.search(before)
        whole = before[: found.start()] + section + before[found.end() :] if found else f"{before}\n{section}"
        write_atomically(path, whole.rstrip() + "\n")


def publish(text: str, path: Path | None) -> None:
    """Print a page, and write it to ``path`` unless that is None."""
    print(text)
    if path is not None:
        write_atomically(path, text.rstrip() + "\n")
