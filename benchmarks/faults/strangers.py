"""Strange files given to every command that reads files of their kind: one line, or the right result.

    python -m benchmarks.faults.strangers --files 400 --results docs/results/robustness.md

A small world of sound files is made once (``sound_files``). In each trial one is made strange (``odd_files``):
a pipe, a device, a cut, a key twice, a header that promises gigabytes. Then each command that reads this file runs in
a process of its own, which has 20 seconds. A command may end with exit code 0, with 2 and one line that begins with
``error:``, or with 1 where its help says what 1 means. It shows no traceback and no escape sequence, says something
about a file that makes no sense, takes no gigabytes, leaves no process, no temporary file and no picture cut off, and
changes nothing that it reads.
"""

import contextlib
import filecmp
import gc
import importlib
import io
import os
import random
import re
import resource
import shutil
import signal
import stat
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from benchmarks.faults import odd_files as odd
from benchmarks.faults.odd_files import Way, ways_for
from benchmarks.faults.places import ANNOTATE, GENERATE, MADE, OUT, PLACES, Place
from benchmarks.faults.sound_files import write_world
from benchmarks.page import command, parser_of, publish_section, table

HEADING = "Files of strangers"
LIMIT = 20.0  # seconds for a command, of a machine that has nothing else to do
MEMORY = 3 << 30  # bytes, that a command may take
ONE_MEANS = ("verify", "assets check", "annotations", "replay", "assets fetch", "render", "assets credits")
COMMANDS = (
    *("av", "cv2", "h5py", "matplotlib.figure", "bl30k_gen.cli", "bl30k_gen.dataset.report", "bl30k_gen.export.coco"),
    *("training.annotator.annotate", "training.cli", "training.engine.dry_run", "training.engine.export"),
    *("training.experiments.tables", "training.inference.segment", "training.interactive.script"),
    *("training.pipeline.plan", "training.runs.compare"),
)
CACHE = ".index.json"  # is made anew where it cannot be read
READ_PARTS = ("info", "preview", "report", "export", "pack", "prune", "assets index", "assets list", "assets credits")
"""Commands that need not read all of every file of a kind that they read."""


# --- Running a command --------------------------------------------------------------------------------------------


@dataclass
class Ended:
    """How a command ended. code: None where it was stopped, for the reason in ``stopped``."""

    code: int | None
    said: str  # what it printed, both streams
    seconds: float
    stopped: str = ""


def preload() -> None:
    """Import what the commands import, once for all of them."""
    for name in COMMANDS:
        importlib.import_module(name)
    import torch

    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    gc.collect()
    gc.freeze()  # or each child would copy what it shares with this process as soon as it collects


def run(line: str, world: Path, limit: float = LIMIT) -> Ended:
    """Run a command line in a process of its own, in the folder ``world``. Never raises, whatever it does."""
    with tempfile.TemporaryFile() as said:
        began = time.perf_counter()
        child = os.fork()
        if child == 0:
            _become(line, world, said.fileno())
        code, stopped = _wait(child, began + limit)
        said.seek(0)
        text = said.read(1 << 20).decode(errors="backslashreplace")
    return Ended(code, text, time.perf_counter() - began, stopped)


def _become(line: str, world: Path, said: int) -> None:
    """What the child does: never returns."""
    code = 1
    try:
        os.setsid()
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # so that commands start no processes for speed
        os.chdir(world)
        null = os.open("/dev/null", os.O_RDONLY)
        for target, source in ((0, null), (1, said), (2, said)):
            os.dup2(source, target)
        sys.stdout = io.TextIOWrapper(os.fdopen(os.dup(1), "wb", 0), encoding="utf-8", write_through=True)
        sys.stderr = io.TextIOWrapper(os.fdopen(os.dup(2), "wb", 0), encoding="utf-8", write_through=True)
        os.environ.update(HOME=str(world / "cache"), XDG_CACHE_HOME=str(world / "cache"), COLUMNS="120")
        program, *words = line.split()
        sys.argv = [f"{program}.py", *words]
        _entry_point(program)
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _entry_point(program: str) -> None:
    if program == GENERATE:
        from bl30k_gen.cli import main

        main()
        return
    from training.annotator import annotate
    from training.cli import main as train_main

    if program == ANNOTATE:
        annotate.Server = _Opened  # type: ignore[misc,assignment]
        sys.argv.insert(1, ANNOTATE)
    train_main()


class _Opened:
    """In the place of the annotator's server: opens the session, and ends."""

    url = ""

    def __init__(self, frames: object, make: Callable[[], object], host: str, port: int):
        self._make = make

    def run(self) -> None:
        workspace = self._make()
        try:
            workspace.wait_until_open()  # type: ignore[attr-defined]
        finally:
            workspace.close()  # type: ignore[attr-defined]


def _wait(child: int, until: float) -> tuple[int | None, str]:
    """The exit code of a process that leads a group; it is stopped where it takes too long or too much."""
    stopped, most = "", MEMORY + _resident(os.getpid())  # it begins with the pages of this process
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        if time.perf_counter() > until:
            stopped = "did not end"
        elif _resident(child) > most:
            stopped = "took gigabytes"
        if stopped:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            break
        time.sleep(0.005)
    if not _is_gone(child):
        stopped = stopped or "left a process"
    return (None, stopped) if stopped else (os.waitstatus_to_exitcode(status), "")


def _is_gone(group: int) -> bool:
    """Whether the other processes of a group end by themselves, at once; they are stopped otherwise."""
    with contextlib.suppress(ProcessLookupError):
        for _ in range(100):
            os.killpg(group, 0)
            time.sleep(0.02)
        os.killpg(group, signal.SIGKILL)
        return False
    return True


def _resident(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * resource.getpagesize()
    except (OSError, IndexError):
        return 0


def slowdown() -> float:
    """How much longer work takes on this machine now than the processor needs for it."""
    wall, processor = time.perf_counter(), time.process_time()
    while time.process_time() - processor < 0.05:
        pass
    return (time.perf_counter() - wall) / 0.05


# --- Judging ------------------------------------------------------------------------------------------------------

Seen = dict[str, tuple[int, ...]]

_WARNING = re.compile(r"^\S+\.py:\d+: \w*Warning", re.MULTILINE)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x0c\x0e-\x1f\x7f-\x9f]")


def look(world: Path) -> Seen:
    """Every file of the world with what a change would change, but for times of folders."""
    found: Seen = {}
    for folder, folders, names in os.walk(world):
        for name in [*names, *(name for name in folders if os.path.islink(os.path.join(folder, name)))]:
            path = os.path.join(folder, name)
            about = os.lstat(path)
            found[os.path.relpath(path, world)] = (about.st_ino, about.st_mode, about.st_size, about.st_mtime_ns)
    return found


def faults(place: Place, each: Way, line: str, ended: Ended, before: Seen, after: Seen, world: Path) -> list[str]:
    """What a command did that no command does."""
    found = [ended.stopped] if ended.stopped else []
    said = ended.said
    one_means = any(line.removeprefix(f"{GENERATE} ").startswith(name) for name in ONE_MEANS)
    if ended.code is not None and not (ended.code in (0, 2) or (ended.code == 1 and one_means)):
        found.append(f"exit code {ended.code}")
    if "Traceback (most recent call last)" in said:
        found.append("traceback")
    if _CONTROL.search(said.replace("\r", "")):
        found.append("escape sequence")
    if _WARNING.search(said):
        found.append("a warning of Python's")
    errors = re.findall(r"^error: .*", said, re.MULTILINE)
    if len(errors) > 1 or (ended.code == 2 and len(errors) != 1):
        found.append(f"{len(errors)} error lines")
    if any(len(error) > 2000 for error in errors):
        found.append("an endless line")
    reads = not place.file.endswith(CACHE) and not any(line.startswith(f"{GENERATE} {name}") for name in READ_PARTS)
    if each.meaning == "broken" and ended.code == 0 and reads and not _is_named(place, said):
        found.append("silent")
    if each.meaning == "sound" and ended.code == 2:
        found.append("refused for no reason")
    found += _changed(place, before, after)
    found += _unfinished(world, world / place.file, before, after)
    return found


def _is_named(place: Place, said: str) -> bool:
    """Whether the output names a file, or the video that it is of."""
    path = Path(place.file)
    names = {path.name, path.name.partition(".")[0], path.stem, path.parent.name} - {"data", "models", "photos", "."}
    return any(name in said for name in names)


def _changed(place: Place, before: Seen, after: Seen) -> list[str]:
    def kept(seen: Seen) -> Seen:
        free = (OUT, "cache", *place.may_change)
        return {path: about for path, about in seen.items() if not path.startswith(free) or path == place.file}

    was, now = kept(before), kept(after)
    own = place.file.startswith(place.may_change) if place.may_change else False
    changed = [path for path in was | now if was.get(path) != now.get(path) and not (own and path == place.file)]
    return [f"changed {changed[0]}"] if changed else []


def _unfinished(world: Path, strange: Path, before: Seen, after: Seen) -> list[str]:
    """What a command left that is not whole; a copy of the strange file itself is no more than that."""
    found = []
    for path in after.keys() - before.keys():
        if path.endswith(".part") and "/." in f"/{path}":
            found.append("left a temporary file")
        if path.startswith(OUT) and path.endswith((".png", ".jpg", ".webp")) and stat.S_ISREG(after[path][1]):
            try:
                with Image.open(world / path) as image:
                    image.load()
            except (OSError, ValueError, SyntaxError):
                if not (strange.is_file() and filecmp.cmp(world / path, strange, shallow=False)):
                    found.append("wrote half a picture")
    return found[:1]


# --- The campaign -------------------------------------------------------------------------------------------------


@dataclass
class Trial:
    """A strange file, and what each command made of it."""

    place: Place
    way: Way
    number: int
    outcomes: list[tuple[str, Ended, list[str]]] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return not any(found for _, _, found in self.outcomes)


def make_world(root: Path) -> list[Place]:
    """Write the sound world where it is not there; the places with all files' names.

    Raises RuntimeError where a command fails in it.
    """
    if not root.exists():
        part = root.with_name(f"{root.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        write_world(part)
        for line in MADE:
            ended = run(line, part, 600.0)
            if ended.code != 0:
                raise RuntimeError(f"{line}: {ended.code} {ended.said[-2000:]}")
        shutil.rmtree(part / OUT, ignore_errors=True)
        (part / "run/network.pt").rename(part / "s2m.pt")  # which leaves an unfinished run
        part.rename(root)
    names = {
        kind: next((root / kind / "Shards").glob(f"*.{end}")).name for kind, end in (("tar", "tar"), ("hdf5", "h5"))
    }
    names["state"] = sorted((root / "run/checkpoints").glob("*.pt"))[-1].name
    names["fusion"] = str(sorted((root / "fusion/a00001").rglob("*.png"))[0].relative_to(root / "fusion"))
    return [_named(place, names) for place in PLACES]


def _named(place: Place, names: dict[str, str]) -> Place:
    commands = tuple(line.format(**names) for line in place.commands)
    may_change = tuple(path.format(**names) for path in place.may_change)
    return Place(place.kind, place.file.format(**names), commands, may_change, place.share)


def trials(places: Sequence[Place], count: int, seed: int) -> Iterator[Trial]:
    """``count`` strange files: of all places alike, by ways drawn without repeating any before all had their turn."""
    rng = random.Random(seed)
    decks: list[tuple[Place, list[Way]]] = []
    for place in places:
        ways = list(ways_for(place.kind))
        rng.shuffle(ways)
        decks.append((place, ways[: max(1, round(len(ways) * place.share))]))
    for number in range(count):
        place, ways = decks[number % len(decks)]
        each = ways[number // len(decks) % len(ways)]
        yield Trial(place, each, rng.getrandbits(32))


def attempt(trial: Trial, sound: Path, scratch: Path, factor: float = 1.0) -> Trial:
    """Make the file, and give it to every command that reads it."""
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        world = Path(folder) / "w"
        for line in trial.place.commands:
            if not world.exists():
                shutil.copytree(sound, world, symlinks=True)
                trial.way.change(world / trial.place.file, random.Random(trial.number))
            before = look(world)
            ended = run(line, world, LIMIT * factor)
            after = look(world)
            found = faults(trial.place, trial.way, line, ended, before, after, world)
            if (world / "evil").exists() or (world.parent / "evil").exists():
                found.append("executed what the file says")
            trial.outcomes.append((line, ended, found))
            shutil.rmtree(world)
    return trial


def page(done: Sequence[Trial], seed: int) -> str:
    kinds = list(dict.fromkeys(trial.place.kind for trial in done))
    rows = []
    for kind in [*kinds, None]:
        of_kind = [trial for trial in done if kind in (None, trial.place.kind)]
        runs = [outcome for trial in of_kind for outcome in trial.outcomes]
        codes = Counter(ended.code for _, ended, _ in runs)
        found = Counter(_sort(fault) for _, _, several in runs for fault in several)
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
    slowest = max((ended.seconds for trial in done for _, ended, _ in trial.outcomes), default=0.0)
    bad = [f"- {line}" for trial in done if not trial.good for line in told(trial)]
    return "\n".join(
        [
            f"`{command()}`",
            "",
            f"Seed {seed}; {len({(t.place.file, t.way.name) for t in done})} pairs of a file and a way to make it "
            f"strange, {len({line for t in done for line, _, _ in t.outcomes})} command lines; the slowest run took "
            f"{slowest:.1f} s on a busy machine.",
            "",
            table(head, rows),
            *(["", "What was not as it should be:", "", *bad] if bad else []),
        ]
    )


def _sort(fault: str) -> str:
    return "traceback" if fault == "exit code 1" else fault


def told(trial: Trial) -> Iterator[str]:
    """What is wrong with a trial, a line each."""
    for line, ended, found in trial.outcomes:
        if found:
            said = ended.said.strip().splitlines()
            yield f"{trial.place.file}, {trial.way.name} ({trial.number}): `{line}`: {', '.join(found)}: {said[-1:]}"


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--files", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="places whose file has this in its name")
    parser.add_argument("--way", help="ways whose name has this in it")
    parser.add_argument("--commands", type=int, default=100, help="at most so many for each file, drawn at random")
    parser.add_argument("--sound", action="store_true", help="the sound files instead, each once")
    parser.add_argument("--world", type=Path, help="folder for the sound files, made where it is not there yet")
    parser.add_argument("--show", action="store_true", help="print what every command said")
    arguments = parser.parse_args()
    preload()
    with scratch() as root:
        sound = arguments.world or root / "sound"
        places = [place for place in make_world(sound) if (arguments.only or "") in place.file]
        planned = trials(places, arguments.files, arguments.seed)
        if arguments.sound:
            planned = (Trial(place, odd.SOUND, 0) for place in places)
        factor, done = slowdown(), []
        for number, trial in enumerate(planned, 1):
            if arguments.way and arguments.way not in trial.way.name:
                continue
            if len(trial.place.commands) > arguments.commands:
                drawn = random.Random(trial.number).sample(trial.place.commands, arguments.commands)
                trial.place = trial.place.only(*drawn)
            factor = max(1.0, 0.8 * factor + 0.2 * slowdown())
            done.append(attempt(trial, sound, root, factor))
            for line in told(trial):
                print(line, flush=True)
            if arguments.show:
                for line, ended, _ in trial.outcomes:
                    print(f"{trial.place.file}, {trial.way.name}: {line}: {ended.code} in {ended.seconds:.1f} s")
                    print("   ", "\n    ".join(ended.said.strip().splitlines()[-4:]), flush=True)
            if number % 50 == 0:
                print(f"{number} files, {sum(not t.good for t in done)} bad", flush=True)
        publish_section(HEADING, page(done, arguments.seed), arguments.results)


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder in memory, where there is room in it."""
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="bl30k-strangers-", dir=place) as folder:
        yield Path(folder)


if __name__ == "__main__":
    main()
