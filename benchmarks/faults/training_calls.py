"""System calls that fail in training: single faults, injected one by one.

    python -m benchmarks.faults.training_calls --results docs/results/robustness.md

A tiny network is trained on four still images and saves its state twice. In each trial one call on the run's folder
fails, as in ``system_calls``. After the fault no saved state may be lost except those that newer ones replaced, the
entry point must have printed one line and ended with exit code 2 (or no error happened), and repeating the run must
give the same weights and the same log.
"""

import contextlib
import functools
import logging
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.faults.system_calls import (
    CHANGING,
    ERRORS,
    Fault,
    Outcome,
    Wrapper,
    in_this_process,
    list_failures,
    run_all,
    scratch,
    table_of,
)
from benchmarks.faults.valid_files import STAGE, write_stills
from benchmarks.page import command, parser_of, publish_section
from bl30k_gen.errors import UserError, run_entry_point
from models import checkpoint
from training.engine.distributed import processes
from training.engine.trainer import Trainer
from training.runs.folder import RunFolder
from training.runs.state import digest, read_state
from training.schema.stage import load_stage

HEADING = "System calls that fail in training"
TIMES = ("seconds", "waiting")  # of log records; they differ between runs


@contextlib.contextmanager
def new_run() -> Iterator[tuple[Path, Callable[[], None]]]:
    """The path of a new run's folder, and a function that trains in it."""
    with scratch() as root:
        stills = root.parent / "static"
        write_stills(stills)
        (root.parent / "stage.yaml").write_text(STAGE)

        def train() -> None:
            stage = load_stage(str(root.parent / "stage.yaml"), [], [str(stills)])
            with processes("cpu") as group:
                Trainer(stage, root, group).run()

        yield root, train


def content(root: Path) -> dict[str, Any]:
    """The weights, log records and card of a run, without times."""
    run = RunFolder(root)
    weights = digest(checkpoint.load(run.network).state_dict())
    records = [{key: value for key, value in record.items() if key not in TIMES} for record in run.records()]
    return {"weights": weights, "log": [record for record in records if "loss" in record], "card": run.card.exists()}


@functools.cache
def expected() -> str:
    """``content`` after a run without a fault."""
    with new_run() as (root, train):
        train()
        return repr(content(root))


@functools.cache
def calls() -> Counter[str]:
    """The number of calls of each kind in a run without a fault."""
    with new_run() as (root, train):
        with Wrapper(root) as wrapper:
            train()
        return wrapper.counts


def draw_faults(count: int, seed: int) -> list[Fault]:
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        call = rng.choice(sorted(calls()))
        done = call in CHANGING and rng.random() < 0.4
        error = ERRORS[0] if done else rng.choice(ERRORS)
        found.append(Fault("wrapper", "run", call, rng.randint(1, calls()[call]), error, done))
    return found


def run(fault: Fault) -> Outcome:
    """Inject a fault into a new run, and repeat the run without it."""
    with new_run() as (root, train):
        code, output = in_this_process(root, fault, train)
        lost = [path.name for path in RunFolder(root).states() if not _is_sound(path)]
        train()
        same = repr(content(root)) == expected()
    return Outcome(fault, code, output, lost, same)


def _is_sound(path: Path) -> bool:
    try:
        read_state(path)
    except UserError:
        return False
    return True


def page(outcomes: list[Outcome], seed: int) -> str:
    head = f"Seed {seed}; a run of four iterations with states after the second and the fourth; {len(calls())} calls."
    parts = [f"`{command()}`", "", head, "", table_of(outcomes)]
    return "\n".join([*parts, *list_failures(outcomes)])


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--count", type=int, default=120, help="faults")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)  # so that only the fault's line is on standard error
    torch.set_num_threads(1)  # more threads are slower on a busy machine
    outcomes = run_all(draw_faults(arguments.count, arguments.seed), run)
    publish_section(HEADING, page(outcomes, arguments.seed), arguments.results)


if __name__ == "__main__":
    run_entry_point(main)
