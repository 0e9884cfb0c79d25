"""Slurm: job arrays whose tasks render slices of a list of videos.

Everything about a submission lies in ``<dataset>/Slurm/<number>/``: the settings; for each array a script, the list
of its videos and the job id; and the output of the tasks. Slurm is asked only for what is not in these files.
"""

import math
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field

from bl30k_gen import resources
from bl30k_gen.cluster.worklist import read_indices, take_shard
from bl30k_gen.config import Device
from bl30k_gen.dataset.files import clear_disk_errors, write_atomically
from bl30k_gen.errors import UserError, printable
from bl30k_gen.inputs import read_text
from bl30k_gen.settings import Count, Section, Whole, load_section

SETTINGS = resources.folder("slurm")
JOB_NAME = "bl30k"
DEFAULT_ARRAY_SIZE = 1001  # Slurm's default of MaxArraySize, for scripts that are shown where there is no Slurm

Word = Annotated[str, Field(pattern=r"^[\w.,:@%/+=-]+$")]
NodePath = Annotated[str, Field(pattern=r"^[\w./${}-]+$")]  # may contain variables of the node, such as $TMPDIR
Directive = Annotated[str, Field(pattern=r"^--[a-z][^\n\r]*$")]


class SlurmSettings(Section):
    """How a build runs on a cluster; the keys are explained in ``slurm/cpu.yaml``."""

    partition: Word | None
    account: Word | None
    gres: Word | None
    cpus: Count
    memory: Annotated[str, Field(pattern=r"^[1-9]\d*[KMGT]?$")] | None
    time: Annotated[str, Field(pattern=r"^(\d+-)?\d+(:\d+){0,2}$")]
    stop_before: Annotated[int, Field(ge=0, le=65535)]
    at_once: Whole
    videos_per_task: Count
    workers: Count
    scratch: NodePath | None
    kernel_cache: NodePath
    directives: list[Directive]
    command: list[str] | None


@dataclass(frozen=True)
class Array:
    """A job array: its videos, and the number of tasks that they are divided into."""

    indices: list[int]
    tasks: int


def divide(indices: list[int], videos_per_task: int, max_tasks: int) -> list[Array]:
    """Divide a list of videos evenly into arrays of at most ``max_tasks`` tasks."""
    tasks = math.ceil(len(indices) / videos_per_task)
    arrays = math.ceil(tasks / max_tasks)
    slices = (take_shard(indices, part, arrays) for part in range(arrays))
    return [Array(part, math.ceil(len(part) / videos_per_task)) for part in slices]


def script(settings: SlurmSettings, array: Array, out: Path, folder: Path, number: int, device: Device) -> str:
    """The sbatch script of an array.

    Args:
        out: folder of the dataset.
        folder: folder of the submission.
        number: number of the array in the submission.
    """
    limit = f"%{settings.at_once}" if settings.at_once else ""
    directives = {
        "job-name": JOB_NAME,
        "array": f"0-{array.tasks - 1}{limit}",
        "partition": settings.partition,
        "account": settings.account,
        "nodes": 1,
        "ntasks": 1,
        "cpus-per-task": settings.cpus,
        "mem": settings.memory,
        "time": settings.time,
        "gres": settings.gres,
        "output": shlex.quote(f"{str(folder).replace('%', '%%')}/%A_%a.log"),
        "open-mode": "append",
        "signal": f"B:USR1@{settings.stop_before}",
    }
    lines = [f"#SBATCH --{key}={value}" for key, value in directives.items() if value is not None]
    lines += ["#SBATCH --requeue", *(f"#SBATCH {directive}" for directive in settings.directives)]
    cache = settings.kernel_cache
    lines += ["", "# Compiled GPU kernels stay on the node."]
    lines += [f'export CUDA_CACHE_PATH="{cache}/cuda" OPTIX_CACHE_PATH="{cache}/optix" CUDA_CACHE_MAXSIZE=4294967296']
    command = settings.command or _own_command()
    flags = ["render", "--out", out, "--indices", folder / f"array-{number}.indices", "--shard", "slurm"]
    flags += ["--workers", settings.workers, "--device", _task_device(settings, device)]
    words = shlex.join(map(str, ["bash", SETTINGS / "task.sh", *command, *flags]))
    scratch = f' --scratch "{settings.scratch}"' if settings.scratch else ""
    return "\n".join(["#!/bin/bash", *lines, "", f"exec {words}{scratch}", ""])


def _own_command() -> list[str]:
    """The command line of this project on a node: the checkout, which needs no installation, or the installed one."""
    checkout = SETTINGS.parent / "generate.py"
    return [sys.executable, str(checkout)] if checkout.exists() else [sys.executable, "-m", "bl30k_gen"]


def _task_device(settings: SlurmSettings, device: Device) -> Device:
    """The device of a task: without a GPU of its own, a task does not use those of the node."""
    return "cpu" if device == "auto" and settings.gres is None else device


class Submissions:
    """The submissions for the dataset in ``out``."""

    def __init__(self, out: Path):
        if not str(out.absolute()).isprintable():
            raise UserError(f"--out {printable(str(out))}", "choose a name without control characters")
        self.out = out.absolute()
        self.folder = self.out / "Slurm"

    def numbers(self) -> list[str]:
        names = os.listdir(self.folder) if self.folder.exists() else []
        return sorted(name for name in names if name.isdecimal())

    def wanted(self) -> list[int]:
        """Indices of the videos of all submissions."""
        indices: set[int] = set()
        for number in self.numbers():
            for path in (self.folder / number).glob("array-*.indices"):
                indices.update(read_indices(path))
        return sorted(indices)

    def settings_file(self) -> Path | None:
        """The settings of the latest submission."""
        numbers = self.numbers()
        return self.folder / numbers[-1] / "settings.yaml" if numbers else None

    def tasks(self) -> dict[str, int]:
        """``{state: number of tasks}`` in Slurm's queue, with states such as RUNNING or PENDING."""
        own_jobs = {job for _, _, job in self._jobs()}
        states: dict[str, int] = {}
        for job, _, state in _queue():
            if job in own_jobs:
                states[state] = states.get(state, 0) + 1
        return states

    def under_way(self) -> set[int]:
        """Indices of the videos of all tasks in Slurm's queue."""
        arrays = {job: (folder, number) for folder, number, job in self._jobs()}
        indices: set[int] = set()
        for job, task, _ in _queue():
            if job in arrays:
                folder, number = arrays[job]
                part, parts = int(task), _array_tasks(folder / f"array-{number}.sh")
                indices.update(take_shard(read_indices(folder / f"array-{number}.indices"), part, parts))
        return indices

    def submit(self, settings: SlurmSettings, indices: list[int], device: Device) -> list[str]:
        """Write the scripts and submit them to Slurm; return the job ids.

        Raises:
            UserError: Slurm is not installed, or refuses an array; the arrays before it are recorded and run.
        """
        arrays = divide(indices, settings.videos_per_task, max_array_size())
        folder = self._new_folder()
        write_atomically(folder / "settings.yaml", yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False))
        for number, array in enumerate(arrays):
            text = "".join(f"{index}\n" for index in array.indices)
            write_atomically(folder / f"array-{number}.indices", text)
            write_atomically(folder / f"array-{number}.sh", script(settings, array, self.out, folder, number, device))
        jobs = []
        for number in range(len(arrays)):
            answer = _ask("sbatch", "--parsable", str(folder / f"array-{number}.sh"))
            jobs.append(answer.strip().split(";")[0])
            write_atomically(folder / f"array-{number}.job", jobs[-1] + "\n")
        return jobs

    def preview(self, settings: SlurmSettings, indices: list[int], device: Device) -> list[str]:
        """The scripts that ``submit`` would write and submit."""
        try:
            max_tasks = max_array_size()
        except UserError:
            max_tasks = DEFAULT_ARRAY_SIZE
        folder = self.folder / self._next_number()
        arrays = divide(indices, settings.videos_per_task, max_tasks)
        return [script(settings, array, self.out, folder, n, device) for n, array in enumerate(arrays)]

    def _next_number(self) -> str:
        return f"{int((self.numbers() or ['0'])[-1]) + 1:03d}"

    def _new_folder(self) -> Path:
        with clear_disk_errors(self.folder / "new"):
            self.folder.mkdir(parents=True, exist_ok=True)
            while True:
                folder = self.folder / self._next_number()
                try:
                    folder.mkdir()
                    return folder
                except FileExistsError:  # another command is submitting, too
                    continue

    def _jobs(self) -> list[tuple[Path, int, str]]:
        """(folder, number of the array, job id) of every submitted array."""
        jobs = []
        for number in self.numbers():
            for path in sorted((self.folder / number).glob("array-*.job")):
                jobs.append((path.parent, int(path.stem.removeprefix("array-")), read_text(path).strip()))
        return jobs


def max_array_size() -> int:
    """Maximum number of tasks in an array on this cluster. Raises UserError where there is no Slurm."""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", _ask("scontrol", "show", "config", timeout=20.0), re.MULTILINE)
    return int(found[1]) if found else DEFAULT_ARRAY_SIZE


def _array_tasks(path: Path) -> int:
    [last] = re.findall(r"^#SBATCH --array=0-(\d+)", read_text(path), re.MULTILINE)
    return int(last) + 1


def _queue() -> list[tuple[str, str, str]]:
    """(job id of the array, task, state) of every task of this project in Slurm's queue."""
    lines = _ask("squeue", "--noheader", "--array", f"--name={JOB_NAME}", "--format=%F %K %T").splitlines()
    words = (line.split() for line in lines)
    return [(job, task, state) for job, task, state in (line for line in words if len(line) == 3)]


def _ask(*command: str, timeout: float = 300.0) -> str:
    """The output of one of Slurm's commands. Raises UserError."""
    try:
        finished = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    except FileNotFoundError:
        raise UserError(f"{command[0]} is not installed", "run this where Slurm is; --dry-run needs none") from None
    except subprocess.TimeoutExpired:
        raise UserError(f"{command[0]} does not answer", "is the cluster up? Try again later") from None
    if finished.returncode:
        lines = (finished.stderr or finished.stdout).strip().splitlines() or [f"exit code {finished.returncode}"]
        remedy = "change the settings (--slurm-set), then `generate.py resubmit`"
        raise UserError(f"{command[0]}: {lines[-1]}", remedy if command[0] == "sbatch" else "is the cluster up?")
    return finished.stdout


def load_settings(path: Path | None, overrides: list[str]) -> SlurmSettings:
    """Read Slurm settings from ``path``; None: from ``slurm/cpu.yaml``. Raises UserError."""
    return load_section(SlurmSettings, path or SETTINGS / "cpu.yaml", overrides, "give --slurm one of slurm/*.yaml")
