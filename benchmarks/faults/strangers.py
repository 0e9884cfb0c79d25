"""Strange files given to every command that reads files of their kind: one line, or the right result.

    python -m benchmarks.faults.strangers --files 400 --results docs/results/robustness.md

A small workspace of valid files is written once (``valid_files``, ``input_files``). Each trial corrupts one of them
(``odd_files``): replaces it by a pipe or a device, cuts it off, repeats a key, lets a header promise gigabytes.
Then each command that reads this file runs in a process of its own, for at most 20 seconds (``command_runs``). It may
end with exit code 0, with 2 and one line that begins with ``error:``, or with 1 where its help says what 1 means.
It prints no traceback and no escape sequence, names a file that makes no sense, takes no gigabytes, leaves no
process, no temporary file and no truncated image, and changes none of its inputs (``command_checks``).
"""

import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from benchmarks.faults.command_checks import find_violations, snapshot
from benchmarks.faults.command_runs import MAX_SECONDS, CommandResult, preload, run, slowdown
from benchmarks.faults.input_files import INPUT_FILES, OUT, PREPARATION, InputFile
from benchmarks.faults.odd_files import UNCHANGED, Corruption, corruptions_of
from benchmarks.faults.valid_files import write_workspace
from benchmarks.page import command, memory_folder, parser_of, publish_section, table
from bl30k_gen.errors import run_entry_point

HEADING = "Files of strangers"


class CommandRun(NamedTuple):
    """What one command made of a strange file; ``violations`` is empty if it behaved."""

    line: str
    result: CommandResult
    violations: list[str]


@dataclass
class Trial:
    """A strange file, and what each command made of it. seed: of the corruption's random numbers."""

    file: InputFile
    corruption: Corruption
    seed: int
    runs: list[CommandRun] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not any(run.violations for run in self.runs)

    def report(self) -> Iterator[str]:
        """A line for each command with violations, with the last line of its output."""
        for line, result, violations in self.runs:
            if violations:
                last = result.output.strip().splitlines()[-1:]
                about = f"{self.file.path}, {self.corruption.name} ({self.seed})"
                yield f"{about}: `{line}`: {', '.join(violations)}: {last}"


def prepare_workspace(root: Path) -> list[InputFile]:
    """Write the valid files to ``root`` unless it exists; the input files, with all placeholders in paths filled.

    Raises RuntimeError if a command fails on the valid files.
    """
    if not root.exists():
        unfinished = root.with_name(f"{root.name}.part")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        write_workspace(unfinished)
        for line in PREPARATION:
            result = run(line, unfinished, 600.0)
            if result.code != 0:
                raise RuntimeError(f"{line}: {result.code} {result.output[-2000:]}")
        shutil.rmtree(unfinished / OUT, ignore_errors=True)
        (unfinished / "run/network.pt").rename(unfinished / "s2m.pt")  # which leaves an unfinished run
        unfinished.rename(root)
    names = {
        kind: next((root / kind / "Shards").glob(f"*.{suffix}")).name
        for kind, suffix in (("tar", "tar"), ("hdf5", "h5"))
    }
    names["state"] = sorted((root / "run/checkpoints").glob("*.pt"))[-1].name
    names["fusion"] = str(sorted((root / "fusion/a00001").rglob("*.png"))[0].relative_to(root / "fusion"))
    return [_with_names(file, names) for file in INPUT_FILES]


def _with_names(file: InputFile, names: dict[str, str]) -> InputFile:
    commands = tuple(line.format(**names) for line in file.commands)
    may_change = tuple(path.format(**names) for path in file.may_change)
    return InputFile(file.kind, file.path.format(**names), commands, may_change, file.fraction)


def draw_trials(input_files: Sequence[InputFile], count: int, seed: int) -> Iterator[Trial]:
    """``count`` trials, equally many of each input file; no corruption of a file repeats before all were used."""
    rng = random.Random(seed)
    decks: list[tuple[InputFile, list[Corruption]]] = []
    for file in input_files:
        corruptions = list(corruptions_of(file.kind))
        rng.shuffle(corruptions)
        decks.append((file, corruptions[: max(1, round(len(corruptions) * file.fraction))]))
    for number in range(count):
        file, corruptions = decks[number % len(decks)]
        corruption = corruptions[number // len(decks) % len(corruptions)]
        yield Trial(file, corruption, rng.getrandbits(32))


def run_trial(trial: Trial, valid: Path, scratch: Path, slowdown: float = 1.0) -> Trial:
    """Corrupt the file, and run every command that reads it.

    Args:
        valid: the workspace of valid files.
        scratch: a folder for the copies of it, one for each command.
        slowdown: factor of the time that a command may take.
    """
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        workspace = Path(folder) / "w"
        for line in trial.file.commands:
            shutil.copytree(valid, workspace, symlinks=True)
            trial.corruption.change(workspace / trial.file.path, random.Random(trial.seed))
            before = snapshot(workspace)
            result = run(line, workspace, MAX_SECONDS * slowdown)
            after = snapshot(workspace)
            violations = find_violations(trial.file, trial.corruption, line, result, before, after, workspace)
            if (workspace / "evil").exists() or (workspace.parent / "evil").exists():
                violations.append("executed what the file says")
            trial.runs.append(CommandRun(line, result, violations))
            shutil.rmtree(workspace)
    return trial


def page(trials: Sequence[Trial], seed: int) -> str:
    """The section of the results, in Markdown."""
    kinds = list(dict.fromkeys(trial.file.kind for trial in trials))
    rows = []
    for kind in [*kinds, None]:
        of_kind = [trial for trial in trials if kind in (None, trial.file.kind)]
        runs = [run for trial in of_kind for run in trial.runs]
        codes = Counter(run.result.code for run in runs)
        found = Counter(_category(violation) for run in runs for violation in run.violations)
        cells = [len(of_kind), len(runs), codes[0], codes[1], codes[2]]
        cells += [found[name] for name in ("did not end", "traceback", "silent", "refused for no reason")]
        cells.append(sum(found.values()) - sum(cells[-4:]))
        rows.append([kind or "all", *map(str, cells)])
    head = [
        "Kind",
        "Files",
        "Runs",
        "exit 0",
        "exit 1",
        "exit 2",
        "over 20 s",
        "tracebacks",
        "silent",
        "refused",
        "other",
    ]
    slowest = max((run.result.seconds for trial in trials for run in trial.runs), default=0.0)
    failures = [f"- {line}" for trial in trials for line in trial.report()]
    return "\n".join(
        [
            f"`{command()}`",
            "",
            f"Seed {seed}; {len({(t.file.path, t.corruption.name) for t in trials})} pairs of a file and a "
            f"corruption, {len({run.line for t in trials for run in t.runs})} command lines; the slowest run took "
            f"{slowest:.1f} s on a busy machine.",
            "",
            table(head, rows),
            *(["", "What was not as it should be:", "", *failures] if failures else []),
        ]
    )


def _category(violation: str) -> str:
    return "traceback" if violation == "exit code 1" else violation


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--files", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="files whose path contains this")
    parser.add_argument("--way", help="corruptions whose name contains this")
    parser.add_argument("--commands", type=int, default=100, help="maximum for each file, drawn at random")
    parser.add_argument("--sound", action="store_true", help="give the valid files to the commands, each once")
    parser.add_argument("--world", type=Path, help="folder of the valid files, written unless it exists")
    parser.add_argument("--show", action="store_true", help="print the output of every command")
    arguments = parser.parse_args()
    preload()
    with memory_folder("bl30k-strangers-") as scratch:
        valid = arguments.world or scratch / "valid"
        input_files = [file for file in prepare_workspace(valid) if (arguments.only or "") in file.path]
        planned = draw_trials(input_files, arguments.files, arguments.seed)
        if arguments.sound:
            planned = (Trial(file, UNCHANGED, 0) for file in input_files)
        factor, trials = slowdown(), []
        for number, trial in enumerate(planned, 1):
            if arguments.way and arguments.way not in trial.corruption.name:
                continue
            if len(trial.file.commands) > arguments.commands:
                drawn = random.Random(trial.seed).sample(trial.file.commands, arguments.commands)
                trial.file = trial.file.with_commands(*drawn)
            factor = max(1.0, 0.8 * factor + 0.2 * slowdown())
            trials.append(run_trial(trial, valid, scratch, factor))
            _print_trial(trial, arguments.show)
            if number % 50 == 0:
                print(f"{number} files, {sum(not t.passed for t in trials)} bad", flush=True)
        publish_section(HEADING, page(trials, arguments.seed), arguments.results)


def _print_trial(trial: Trial, show: bool) -> None:
    """Print the violations, and with ``show`` the end of every command's output."""
    for line in trial.report():
        print(line, flush=True)
    if show:
        for line, result, _ in trial.runs:
            print(f"{trial.file.path}, {trial.corruption.name}: {line}: {result.code} in {result.seconds:.1f} s")
            print("   ", "\n    ".join(result.output.strip().splitlines()[-4:]), flush=True)


if __name__ == "__main__":
    run_entry_point(main)
