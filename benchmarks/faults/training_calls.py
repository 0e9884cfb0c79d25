"""System calls that fail while a network is trained: single faults, planted one by one.

    python -m benchmarks.faults.training_calls --results docs/results/robustness.md

A tiny network learns from four still images and saves its state twice. In each trial one call on the run's folder
fails, as in ``system_calls``. After the fault: no state that was saved is lost but for those that newer ones have
replaced, the entry point has said one line and ended with exit code 2 (or nothing went wrong), and the same run given
again ends with the same weights and the same log.
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
    run_all,
    scratch,
    table_of,
)
from benchmarks.faults.valid_files import STAGE, write_stills
from benchmarks.page import command, parser_of, publish_section
from bl30k_gen.errors import UserError
from models import checkpoint
from training.engine.distributed import processes
from training.engine.trainer import Trainer
from training.runs.folder import RunFolder
from training.runs.state import digest, read_state
from training.schema.stage import load_stage

HEADING = "System calls that fail in training"
TIMES = ("seconds", "waiting")


@contextlib.contextmanager
def place() -> Iterator[tuple[Path, Callable[[], None]]]:
    """A run's folder that does not exist yet, and what trains in it."""
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
    """What a run without a fault leaves, but for the time that it took."""
    run = RunFolder(root)
    weights = digest(checkpoint.load(run.network).state_dict())
    records = [{key: value for key, value in record.items() if key not in TIMES} for record in run.records()]
    return {"weights": weights, "log": [record for record in records if "loss" in record], "card": run.card.exists()}


@functools.cache
def expected() -> str:
    with place() as (root, train):
        train()
        return repr(content(root))


@functools.cache
def calls() -> Counter[str]:
    """How often a run without a fault makes each call."""
    with place() as (root, train):
        with Wrapper(root) as wrapper:
            train()
        return wrapper.counts


def faults(count: int, seed: int) -> list[Fault]:
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        call = rng.choice(sorted(calls()))
        done = call in CHANGING and rng.random() < 0.4
        error = ERRORS[0] if done else rng.choice(ERRORS)
        found.append(Fault("wrapper", "run", call, rng.randint(1, calls()[call]), error, done))
    return found


def run(fault: Fault) -> Outcome:
    """One trial in a folder of its own."""
    with place() as (root, train):
        code, said = in_this_process(root, fault, train)
        lost = [path.name for path in RunFolder(root).states() if not _is_sound(path)]
        train()
        same = repr(content(root)) == expected()
    return Outcome(fault, code, said, lost, same)


def _is_sound(path: Path) -> bool:
    try:
        read_state(path)
    except UserError:
        return False
    return True


def page(outcomes: list[Outcome], seed: int) -> str:
    bad = [f"- {o.fault}: exit {o.code}, {o.said.strip()[-200:]!r}, lost {o.lost}" for o in outcomes if not o.good]
    head = f"Seed {seed}; a run of four iterations with states after the second and the fourth; {len(calls())} calls."
    parts = [f"`{command()}`", "", head, "", table_of(outcomes)]
    return "\n".join([*parts, *(["", "What was not as it should be:", "", *bad] if bad else [])])


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--count", type=int, default=120, help="faults")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)  # what is said of the data is not the fault's line
    torch.set_num_threads(1)  # more wait for each other where the machine is busy
    outcomes = run_all(faults(arguments.count, arguments.seed), run)
    publish_section(HEADING, page(outcomes, arguments.seed), arguments.results)


if __name__ == "__main__":
    main()
