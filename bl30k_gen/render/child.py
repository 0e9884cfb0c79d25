"""One Blender child process, as its supervisor sees it.

The only place that starts one. A child may crash, hang or be killed at any time; here that becomes ``ChildDied``.
"""

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bl30k_gen.dataset.files import clear_disk_errors
from bl30k_gen.errors import UserError
from bl30k_gen.library.checking.inspector import processor_time
from bl30k_gen.render import process

Event = dict[str, Any]

LOG_LINES = 40  # of Blender's own output that are kept of a child that died
START_TIMEOUT = 300.0  # seconds; a cold network file system can take minutes to give out 900 MB of Blender
EXIT_TIMEOUT = 10.0
SCRATCH = "bl30k-scratch-"  # how names of scratch folders begin


class ChildDied(Exception):
    """The child is gone: crashed, killed, or killed by us because it gave no sign of life."""

    def __init__(self, reason: str, log: list[str]):
        super().__init__(reason)
        self.reason = reason
        self.log = log


def allotted_threads(workers: int) -> int:
    """Render threads of each worker from Slurm's allotment; 0, which is all, outside of Slurm."""
    cpus = os.environ.get("SLURM_CPUS_PER_TASK", "")
    return max(1, int(cpus) // workers) if cpus.isdecimal() else 0


def scratch_root(scratch: Path | None) -> Path:
    """Where temporary folders of children lie."""
    memory = Path("/dev/shm")
    return scratch or (memory if os.access(memory, os.W_OK) else Path(tempfile.gettempdir()))


def new_scratch(scratch: Path | None) -> Path:
    """A temporary folder, named after this process; those of dead processes are removed."""
    root = scratch_root(scratch)
    remove_dead_scratch(root)
    folder = root / f"{SCRATCH}{process.new_name()}"
    with clear_disk_errors(folder):
        folder.mkdir(parents=True)
    return folder


def remove_dead_scratch(root: Path) -> list[Path]:
    """Remove what children left whose supervisor was killed, here on this machine; return what was removed."""
    dead = [path for path in root.glob(f"{SCRATCH}*") if process.surely_dead(path.name.removeprefix(SCRATCH))]
    for path in dead:
        shutil.rmtree(path, ignore_errors=True)
    return dead


class BlenderChild:
    """A running ``python -m bl30k_gen.blender``.

    Args:
        device, threads: as in ``blender.runtime.start``.
        timeout: seconds without an event after which the child counts as hung.
        scratch: where its temporary folder shall be; None: in memory where possible.

    Raises:
        UserError: Blender cannot start here, or the device is not there.
        ChildDied: it crashed while starting.
    """

    def __init__(self, device: str, threads: int, timeout: float, scratch: Path | None = None):
        self.timeout = timeout
        self.videos = 0
        self.scratch = new_scratch(scratch)
        self._log = self.scratch / "blender.log"
        self._pending = b""
        # -P: a numpy.py in the folder where the command runs is none of the child's business.
        command = [sys.executable, "-P", "-m", "bl30k_gen.blender", "--device", device, "--threads", str(threads)]
        package_root = str(Path(__file__).resolve().parents[2])
        python_path = os.pathsep.join(p for p in (package_root, os.environ.get("PYTHONPATH")) if p)
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(
                [*command, "--scratch", str(self.scratch)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={
                    **os.environ,
                    "PYTHONPATH": python_path,
                    "TMPDIR": str(self.scratch),  # Blender makes folders there, and leaves them when it is killed
                },
                start_new_session=True,  # Ctrl-C is for the supervisor, which lets the frame in hand finish
            )
        try:
            ready = self._next_event(START_TIMEOUT)
        except ChildDied:
            self.kill()
            raise
        if ready["event"] == "failed":
            self.kill()
            raise UserError(ready["what"], ready["remedy"])
        self.ready = ready

    @property
    def pid(self) -> int:
        return self._process.pid

    def render(self, scene: Path) -> Iterator[Event]:
        """Hand over a scene file; yield events up to and with ``done``, ``failed`` or ``stopped``.

        Raises:
            ChildDied
        """
        self.videos += 1
        with open(self._log, "r+b") as log:
            log.truncate()
        try:
            self._process.stdin.write(f"{scene}\n".encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._died() from None
        while True:
            event = self._next_event(self.timeout)
            yield event
            if event["event"] in ("done", "failed", "stopped"):
                return

    def stop(self) -> None:
        """Ask it to finish the frame in hand and to end."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)

    def close(self) -> None:
        """Let it end by itself, for a while."""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(EXIT_TIMEOUT)
        self.kill()

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait()
        self._process.stdout.close()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def memory_gb(self) -> float:
        """Resident memory; 0 where the system does not tell."""
        try:
            pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        except (OSError, IndexError):
            return 0.0
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**30

    def cpu_seconds(self) -> float:
        """Processor time that it has used so far; 0 where the system does not tell."""
        return processor_time(self.pid)

    def _next_event(self, timeout: float) -> Event:
        deadline = time.monotonic() + timeout
        output = self._process.stdout.fileno()
        while b"\n" not in self._pending:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([output], [], [], left)[0]:
                self._process.kill()
                raise ChildDied(f"Blender gave no sign of life for {timeout:.0f} s and was killed", self._tail())
            data = os.read(output, 65536)
            if not data:
                raise self._died()
            self._pending += data
        line, self._pending = self._pending.split(b"\n", 1)
        return json.loads(line)

    def _died(self) -> ChildDied:
        code = self._process.wait()
        if code < 0:
            name = signal.Signals(-code).name
            hint = " (out of memory?)" if name == "SIGKILL" else ""
            return ChildDied(f"Blender was ended by {name}{hint}", self._tail())
        return ChildDied(f"Blender ended with exit code {code}", self._tail())

    def _tail(self) -> list[str]:
        try:
            return self._log.read_text(errors="replace").splitlines()[-LOG_LINES:]
        except OSError:
            return []
