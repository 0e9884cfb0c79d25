"""Commands of ``generate.py`` and ``train.py`` in processes of their own that need not import everything again.

The first call starts a server process (``multiprocessing``'s forkserver), which imports what the commands need. Each
command runs in a fork of that process, as in a process that a user starts: with arguments, environment, output and an
exit code of its own.
"""

import importlib
import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENTRY_POINTS = {"generate.py": "bl30k_gen.cli", "train.py": "training.cli"}
IMPORTED_LATER = ("bl30k_gen.render.supervisor", "bl30k_gen.dataset.verify", "training.experiments.evaluate")


def run(program: str, *arguments: object, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Run a command from the repository's folder. program: ``generate.py`` or ``train.py``.

    Raises subprocess.TimeoutExpired after ``timeout`` seconds; the process is killed then.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*ENTRY_POINTS.values(), *IMPORTED_LATER])  # counts for the first call alone
    command = [str(ROOT / program), *map(str, arguments)]
    with tempfile.TemporaryDirectory() as folder:
        outputs = [Path(folder, name) for name in ("out", "err")]
        child = context.Process(target=_become, args=(program, command, dict(os.environ), outputs))
        child.start()
        child.join(timeout)
        if child.exitcode is None:
            child.kill()
            raise subprocess.TimeoutExpired(command, timeout)
        return subprocess.CompletedProcess(command, child.exitcode, *(path.read_text() for path in outputs))


def _become(program: str, command: list[str], environment: dict[str, str], outputs: list[Path]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(ROOT)
    for number, path in enumerate(outputs, 1):
        with open(path, "wb") as file:
            os.dup2(file.fileno(), number)
    sys.stdout, sys.stderr = (open(number, "w", closefd=False) for number in (1, 2))
    sys.argv = command
    importlib.import_module(ENTRY_POINTS[program]).main()
