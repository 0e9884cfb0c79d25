"""The folder of a run: its configuration, its log, its states and its network.

config.yaml         the stage with all settings
environment.json    versions, code state, devices, data, first weights, command line of the latest start
log.jsonl           one record per ``log_every`` iterations, and events (damaged files, bad steps)
tensorboard/        the same as curves, and images
checkpoints/        the newest training states; the run continues from the last one
best.pt             the network with the best validation J&F, where the stage has videos for it
network.pt          the trained network, at the end
network.md          its card
samples.png         the last samples with the predictions of the network, at the end
.lock               locked while a process trains
"""

import contextlib
import fcntl
import json
import logging
import platform
import subprocess
import sys
from collections.abc import Collection, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import ValidationError

from bl30k_gen.dataset.claim import require_free
from bl30k_gen.dataset.files import clear_disk_errors, sha256, write_atomically
from bl30k_gen.errors import UserError
from bl30k_gen.inputs import open_regular, parse_json_lines, read_bytes, read_json
from bl30k_gen.settings import difference, first_mistake, flatten, read_yaml
from bl30k_gen.version import project_version
from training.runs.state import read_state, write_state
from training.schema.stage import Stage

LOG_LIMIT = 1 << 30  # bytes

log = logging.getLogger(__name__)

_ROOT = Path(__file__).parents[2]

SMALL = "small"
WEIGHTS = Path(__file__).parents[1] / "weights"
"""Small networks that come with the project: SMALL_<part>.pt, each with its card (docs/results/transfer.md)."""

Part = Literal["propagation", "s2m", "fusion"]


class RunFolder:
    """The paths of a run's files, and reading and writing them."""

    def __init__(self, root: Path):
        self.root = root
        self.config = root / "config.yaml"
        self.settings = root / "settings.yaml"  # of a dry run
        self.environment = root / "environment.json"
        self.log = root / "log.jsonl"
        self.tensorboard = root / "tensorboard"
        self.checkpoints = root / "checkpoints"
        self.network = root / "network.pt"
        self.best = root / "best.pt"
        self.card = root / "network.md"
        self.samples = root / "samples.png"

    def require_same(self, sources: Collection[str], identity: dict[str, Any]) -> None:
        """Check that a run that is in this folder has the same configuration.

        Args:
            sources: the names of a stage's sources.
            identity: ``Stage.identity`` of the stage.

        Raises:
            UserError: the folder holds a run with other sources or settings; names the first that differs.
        """
        if not self.config.exists():
            require_free(self.root, [path.name for path in vars(self).values() if path != self.root])
        else:
            before = self.stage()
            if list(before.sources) != list(sources):
                raise UserError(
                    f"{self.root} holds a run on {', '.join(before.sources)}, not on {', '.join(sources)}",
                    "give data that have moved the name they had (by a link), or choose another --out",
                )
            for key, (ours, theirs) in difference(identity, before.identity()).items():
                raise UserError(
                    f"{self.root} holds a run with {key} = {theirs}, not {ours}",
                    "continue with the same numbers, or choose another --out",
                )

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the folder: two processes would overwrite each other's states and log.

        The lock ends with the process, even if it is killed. Loader processes must not hold it, so it is not a flock.
        On file systems without locks a warning is logged instead.

        Raises:
            UserError: another process trains in this folder.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with open(self.root / ".lock", "wb") as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                remedy = "let it finish or stop it, or choose another --out"
                raise UserError(f"another process trains in {self.root}", remedy) from None
            except OSError:
                log.warning("%s cannot be locked: see that no other process trains in it", self.root)
            yield

    def claim(self, configuration: str) -> None:
        """Write the configuration of a stage (YAML); later runs in this folder must have the same."""
        write_atomically(self.config, configuration)

    def stage(self) -> Stage:
        """The run's configuration. Raises UserError if it is missing, or of another version of this project."""
        values = read_yaml(self.config, "give the folder of a run: it holds config.yaml")
        try:
            return Stage.model_validate(values)
        except ValidationError as error:
            version = f"{self.config} is of another version ({first_mistake(error)[0]})"
            raise UserError(version, "choose another folder") from None

    def read_environment(self) -> dict[str, Any]:
        """The environment of the latest start. Raises UserError if the run has never started."""
        try:
            return read_json(self.environment, "remove it, and start the run again")
        except FileNotFoundError:
            raise UserError(f"{self.environment} is missing", "start the run again") from None

    def changes(self, environment: dict[str, Any]) -> dict[str, list]:
        """Differences from the latest start in code, versions, device and data: {dotted key: [before, now]}."""
        before, now = (
            flatten({key: part for key, part in values.items() if key not in ("command", "from_iteration")})
            for values in (self.read_environment(), environment)
        )
        keys = [k for k in now | before if not k.endswith((".path", ".samples_per_epoch", "alignment.weights"))]
        return {k: [before.get(k), now.get(k)] for k in keys if before.get(k) != now.get(k)}

    def states(self) -> list[Path]:
        """Training states, oldest first."""
        return sorted(p for p in self.checkpoints.glob("*.pt") if not p.name.startswith("."))

    def save(self, state: dict[str, Any], keep: int) -> Path:
        """Write a training state atomically, and remove all but the newest ``keep`` states."""
        path = self.checkpoints / f"{state['iteration']:09d}.pt"
        with clear_disk_errors(path):
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            write_state(state, path)
        for old in self.states()[:-keep]:
            old.unlink()
        return path

    def latest(self, iterations: int) -> dict[str, Any] | None:
        """The newest valid training state; None if there are no states. Newer, damaged ones are logged.

        Args:
            iterations: of the whole run.

        Raises:
            UserError: there are states, and all are damaged.
        """
        states, reasons = self.states(), []
        for path in reversed(states):
            try:
                state = read_state(path)
                if state["iteration"] > iterations or path.stem != f"{state['iteration']:09d}":
                    raise UserError(f"{path} is of iteration {state['iteration']} of {iterations}", "it is damaged")
            except UserError as error:
                reasons.append(error.what)
                continue
            for reason in reasons:
                log.warning("%s; the run continues from iteration %d", reason, state["iteration"])
            return state
        if reasons:
            raise UserError(reasons[0], f"no sound state is left: remove {self.checkpoints} to begin anew")
        return None

    def quarantine_after(self, iteration: int) -> None:
        """Rename the states of later iterations, which are damaged, so that they are not read again."""
        for path in self.states():
            if path.stem > f"{iteration:09d}":
                path.rename(path.with_name(f"{path.name}.damaged"))

    def record(self, values: dict[str, Any]) -> None:
        """Append one record to the log."""
        with clear_disk_errors(self.log), open(self.log, "ab", buffering=0) as file:
            file.write((json.dumps(values) + "\n").encode())

    def forget_after(self, iteration: int) -> None:
        """Remove records of iterations that will be run again from the log."""
        if self.log.exists():
            records = [record for record in self.records() if record["iteration"] <= iteration]
            write_atomically(self.log, "".join(json.dumps(record) + "\n" for record in records))

    def records(self) -> list[dict[str, Any]]:
        """The log's records, including events. Raises UserError if there is no log.

        Damaged lines, such as a last one that a crash cut off, are left out with a warning.
        """
        try:
            records, bad = parse_json_lines(read_bytes(self.log, LOG_LIMIT), self.log)
        except FileNotFoundError:
            raise UserError(f"{self.log} is missing", "start the run again") from None
        valid = [record for record in records if isinstance(record.get("iteration"), int)]
        if lost := bad + len(records) - len(valid):
            log.warning("%s: %d lines are no records and are left out", self.log, lost)
        return valid


def network_file(path: str | Path, part: Part = "propagation") -> Path:
    """The file of weights for a path: a file, the folder of a finished run, or the network of this project.

    Args:
        path: ``SMALL`` means this project's network, unless a file or a folder has this name.
        part: the kind of network that ``SMALL`` stands for.

    Raises:
        UserError: there are no such weights.
    """
    if str(path) == SMALL and not Path(path).exists():
        shipped = WEIGHTS / f"{SMALL}_{part}.pt"
        if not shipped.exists():
            known = ", ".join(sorted(file.stem.removeprefix(f"{SMALL}_") for file in WEIGHTS.glob(f"{SMALL}_*.pt")))
            raise UserError(
                f"no small network for {part} comes with the project", f"give a checkpoint; there is {known}"
            )
        return shipped
    if not Path(path).is_dir():
        with contextlib.suppress(OSError), open_regular(path):  # a missing file is reported when it is read
            pass
        return Path(path)
    folder = RunFolder(Path(path))
    if folder.network.exists():
        return folder.network
    if folder.states():
        raise UserError(f"the run in {path} is not finished", "finish it, or give what `train.py export` makes of it")
    raise UserError(f"{path} holds no network.pt", "give a file of weights, or the folder of a finished run")


def describe_environment(
    device: torch.device,
    world: int,
    data: dict[str, Any],
    start: dict[str, str] | None,
    alignment: dict[str, str] | None,
) -> dict[str, Any]:
    """What a result may depend on besides the configuration. start, alignment: see ``describe_weights``."""
    packages = ("torch", "torchvision", "numpy", "pillow", "scipy", "pydantic")
    return {
        "command": sys.argv,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in packages},
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "cpu",
        "processes": world,
        "code": code_state(),
        "data": data,
        "start": start,
        "alignment": alignment,
    }


def describe_weights(path: Path) -> dict[str, str]:
    """The path and the digest of weights, for ``environment.json``."""
    file = network_file(path)
    return {"weights": str(file.resolve()), "sha256": sha256(file)}


def code_state() -> dict[str, Any]:
    """The commit of this project's working copy and whether it has changes; without one, the installed version."""
    commands = ["rev-parse --show-toplevel", "rev-parse HEAD", "status --porcelain --untracked-files=no"]
    try:
        top, commit, changes = (
            subprocess.run(
                ["git", "-C", str(_ROOT), *line.split()], capture_output=True, text=True, check=True, timeout=20
            ).stdout
            for line in commands
        )
    except (OSError, subprocess.SubprocessError):
        top = ""
    if not top or Path(top.removesuffix("\n")).resolve() != _ROOT.resolve():  # else installed in another repository
        return {"version": project_version()}
    return {"commit": commit.strip(), "changed": sorted(line[3:] for line in changes.splitlines())}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
