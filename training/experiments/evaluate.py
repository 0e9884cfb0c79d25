"""Evaluates checkpoints on a dataset by the protocols of ``training.evaluation``."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from bl30k_gen.dataset.claim import claim
from bl30k_gen.dataset.files import sha256, write_atomically, write_json
from bl30k_gen.dataset.layout import IMAGE_SETS
from bl30k_gen.dataset.masks import Meaning, Rule, encode_mask
from bl30k_gen.dataset.reader import VideoStore, open_dataset
from bl30k_gen.dataset.trees import FolderTree
from bl30k_gen.errors import UserError
from bl30k_gen.text import plural
from models.fusion import Fusion
from models.propagation import PropagationNetwork
from models.s2m import S2M
from training.data.videos import choose_videos
from training.evaluation.folders import object_ids
from training.evaluation.interactive import (
    MIVOS_ROUNDS,
    InteractiveBenchmark,
    InteractiveReport,
    Round,
    ScribbleSample,
    Submission,
    System,
    baselines,
    read_report,
    read_samples,
)
from training.evaluation.plots import plot_reports
from training.evaluation.report import Table, write_report
from training.evaluation.semi_supervised import PROTOCOLS, Protocol, Results, score_baselines, score_folders
from training.evaluation.strips import write_strip
from training.inference.load import load_fusion, load_network
from training.inference.options import Options
from training.inference.segment import Speed, checked_options, segment_frames
from training.inference.video import StoredFrames, first_appearances
from training.interactive.session import InteractiveSession
from training.runs.folder import Part, RunFolder, network_file
from training.schema.data import VideoSource


def evaluate_semi_supervised(
    checkpoint: str | Path,
    dataset: str | Path,
    out: str | Path,
    protocol: str = "davis17",
    split: str | None = None,
    groups: dict[tuple[str, int], str] | None = None,
    workers: int = 1,
    device: str = "auto",
    say: Callable[[str], None] = print,
    masks: Meaning | None = None,
    **options,
) -> dict[str, Results]:
    """Segment every video from its first masks and score them: ``train.py evaluate``.

    Writes ``out/masks/<video>/<frame>.png`` at the annotations' size, ``out/scores.*``, and for a visual check
    ``out/strips/<video>.png``. With the same checkpoint and options, complete videos are not segmented again.

    Args:
        dataset: a folder with ``JPEGImages`` and ``Annotations``.
        protocol: a key of ``PROTOCOLS``; it also says which masks are given.
        split: the list in ``ImageSets`` of the videos to evaluate; None: all videos.
        groups: as for ``score_folders``.
        workers: processes that score.
        masks: what masks mean; None: decided over the whole dataset.
        options: fields of ``Options`` that differ from the network's own.

    Returns: results of the checkpoint, of each object's first mask copied, and of the oracle.

    Raises:
        UserError: something is missing or does not fit.
    """
    if protocol not in PROTOCOLS:
        raise UserError(f"unknown protocol {protocol}", f"choose one of {', '.join(PROTOCOLS)}")
    store, names, truth = open_annotated(dataset, split, masks)
    if protocol != "all":
        require_scorable(store, names, dataset)
    network = load_network(checkpoint, PropagationNetwork, device=device)
    settings = checked_options(network, **options)
    out = Path(out)
    inputs = {
        "checkpoint": sha256(network_file(checkpoint)),
        "options": repr(settings),
        "protocol": protocol,
        "dataset": str(store.path.resolve()),
        "masks": masks,
    }
    claim(out, "evaluate", inputs, [store.path], "run.json")
    _say_what_is_evaluated(checkpoint, store, names, split, say)
    speed = Speed()
    for name in names:
        segment_dataset_video(network, store, name, out / "masks" / name, PROTOCOLS[protocol], settings, say, speed)
    if speed.frames:
        say(f"segmented {plural(len(names), 'video')}: {speed}")
    results = {
        Path(checkpoint).stem: score_folders(truth, out / "masks", protocol, names, groups, workers, say, masks),
        **score_baselines(truth, protocol, names, groups, workers, masks),
    }
    say(write_report(results, out))
    _write_strips(store, names, truth, out)
    return results


def _write_strips(store: VideoStore, names: list[str], truth: Path, out: Path) -> None:
    """Write ``out/strips/<video>.png`` of the masks in ``out/masks``."""
    for name in names:
        images = Path(str(store.path), store.rgb_path(name, 0)).parent.parent
        write_strip(truth, out / "masks", name, out / "strips" / f"{name}.png", images, rules=(store.rule, Rule()))


def segment_dataset_video(
    network: PropagationNetwork,
    store: VideoStore,
    name: str,
    out: Path,
    protocol: Protocol,
    options: Options,
    say: Callable[[str], None],
    speed: Speed,
) -> None:
    """Write the masks of one video, unless all of them exist."""
    names = store.frames(name)
    if all((out / f"{frame}.png").exists() for frame in names):
        return
    given = given_masks(store, name, protocol)
    frames = StoredFrames(store, name)
    try:
        for result in segment_frames(network, frames, given, options, say=lambda text: say(f"{name}: {text}")):
            speed.add(result)
            write_atomically(out / f"{names[result.number]}.png", encode_mask(result.labels()))
    except UserError as error:
        raise UserError(f"video {name}, {error.what}", error.remedy) from None
    say(f"{name}: {plural(len(names), 'frame')}")


def given_masks(store: VideoStore, name: str, protocol: Protocol) -> dict[int, np.ndarray]:
    """The masks that the protocol gives to a method: those of the first frame, or each object's first one."""
    annotated = store.mask_frames(name)
    if not annotated or (protocol.frames == "inner" and annotated[0] != 0):
        raise UserError(f"video {name} has no mask for its first frame", "a method starts from it")
    numbers = annotated[:1] if protocol.frames == "inner" else annotated
    masks = ((number, store.read_mask(name, number).ids) for number in numbers)
    if protocol.merged:
        masks = ((number, (ids != 0).astype(np.uint8)) for number, ids in masks)
    return first_appearances(masks)


def evaluate_interactive(
    checkpoint: str | Path,
    s2m: str | Path | None,
    dataset: str | Path,
    out: str | Path,
    fusion: str | Path | Literal["linear", "none"] = "linear",
    scribbles: str | Path | None = None,
    split: str | None = None,
    new_frame_rounds: Sequence[int] | None = MIVOS_ROUNDS,
    device: str = "auto",
    say: Callable[[str], None] = print,
    masks: Meaning | None = None,
    **options,
) -> dict[str, InteractiveReport]:
    """The DAVIS interactive benchmark with MiVOS: ``train.py evaluate --interactive``.

    Writes ``out/<row>.csv`` for the system and the baselines, and ``out/interactive.*``. With the same checkpoints
    and options, samples that are in these reports are not run again.

    Args:
        checkpoint: of the propagation network.
        s2m: of the scribble-to-mask network; None corrects the scribbled frame perfectly (an ablation of MiVOS).
        fusion: a checkpoint of a fusion network, or as for ``InteractiveSession``.
        scribbles: folder of first scribbles; None: the robot draws them.
        new_frame_rounds: as for ``InteractiveBenchmark``.
        options: fields of ``Options`` that differ from the network's own.

    Returns: reports of the system, of copying the scribbled frame's truth, and of the oracle.
    """
    out = Path(out)
    store, names, truth = open_annotated(dataset, split, masks)
    network = load_network(checkpoint, PropagationNetwork, device=device)
    s2m_network = load_network(s2m, S2M, device=device) if s2m else None
    fusion_network = load_fusion(fusion, device)
    settings = checked_options(network, **options)
    inputs = {
        "checkpoint": _digest(checkpoint, "propagation"),
        "s2m": _digest(s2m, "s2m"),
        "fusion": _digest(fusion, "fusion"),
        "options": repr(settings),
        "rounds": str(new_frame_rounds),
        "scribbles": str(scribbles),
        "dataset": str(store.path.resolve()),
        "masks": masks,
    }
    references = baselines(truth, store.rule)
    perfect = None if s2m_network else references["oracle"]
    system = open_sessions(network, s2m_network, fusion_network, settings, store, perfect, say)
    claim(out, "evaluate --interactive", inputs, [store.path], "interactive_run.json")
    _say_what_is_evaluated(checkpoint, store, names, split, say)
    benchmark = InteractiveBenchmark(new_frame_rounds=new_frame_rounds)
    reports = {}
    for row, opened in {Path(checkpoint).stem: system, **references}.items():
        samples = read_samples(truth, scribbles, names, rule=store.rule)
        path = out / f"{row.replace(' ', '_')}.csv"
        reports[row] = _run_missing(benchmark, samples, opened, path, say if opened is system else _say_nothing)
    table = interactive_table(reports)
    table.write(out / "interactive")
    write_json(out / "interactive.json", {row: report.summary() for row, report in reports.items()})
    say(table.text())
    plot_reports(reports, out / "interactive.png", references=references)
    return reports


def _digest(checkpoint: str | Path | None, part: Part) -> str:
    """The SHA-256 of a checkpoint; what is none ("linear", "none", None) as text."""
    if checkpoint in (None, "linear", "none"):
        return str(checkpoint)
    return sha256(network_file(checkpoint, part))


def open_sessions(
    network: PropagationNetwork,
    s2m: S2M | None,
    fusion: Fusion | Literal["linear", "none"],
    options: Options,
    store: VideoStore,
    perfect: Callable[[str, tuple[int, ...]], System] | None,
    say: Callable[[str], None],
) -> Callable[[str, tuple[int, ...]], System]:
    """``open_video`` for the benchmark. If ``s2m`` is None, the system of ``perfect`` replaces scribbles."""
    if options.flip or len(options.scales) > 1:
        raise UserError("interactive sessions see frames as they are", "leave out --flip and all but one --scale")

    def open_video(name: str, objects: tuple[int, ...]) -> System:
        require_complete(store, name)
        session = InteractiveSession(
            network,
            StoredFrames(store, name),
            objects,
            s2m=s2m,
            fusion=fusion,
            options=options,
            undo_budget=0,
            say=lambda text: say(f"{name}: {text}"),
        )
        return as_system(session, perfect(name, objects) if perfect else None)

    return open_video


def _run_missing(
    benchmark: InteractiveBenchmark,
    samples: Iterable[ScribbleSample],
    system: Callable[[str, tuple[int, ...]], System],
    path: Path,
    say: Callable[[str], None],
) -> InteractiveReport:
    """Run the samples that the report at ``path`` lacks, and write it after each of them.

    Returns: the report of ``samples`` alone; the file keeps those of other lists.
    """
    report = InteractiveReport(benchmark.interactions, benchmark.seconds_per_object)
    if path.exists():
        report = read_report(path, benchmark.interactions, benchmark.seconds_per_object)
    done = {(sequence, number) for sequence, number, _ in report.samples}
    wanted = set()
    for sample in samples:
        wanted.add((sample.sequence, sample.scribble_idx))
        if (sample.sequence, sample.scribble_idx) not in done:
            new = benchmark.run([sample], system, say)
            report.samples += new.samples
            report.interactions += new.interactions
            report.write_csv(path)
    return replace(
        report,
        samples=[s for s in report.samples if s[:2] in wanted],
        interactions=[i for i in report.interactions if (i.sequence, i.scribble_idx) in wanted],
    )


def _say_nothing(text: str) -> None:
    pass


def as_system(session: InteractiveSession, perfect: System | None = None) -> System:
    """A session as a system of the benchmark: scribbles to a mask, and propagation if the round asks for it.

    perfect: a system that knows the truth; its mask replaces the scribbles.
    """

    def answer(task: Round) -> np.ndarray:
        strokes = task.scribbles.frames[task.frame]
        if perfect:
            submission = perfect(task)
            masks = submission.masks if isinstance(submission, Submission) else submission
            session.set_mask(task.frame, masks[task.frame])
        elif strokes:
            session.scribble(task.frame, strokes)
            session.keep()
        if task.propagate and task.frame in session.state.corrected:
            session.propagate(task.frame)
        return session.masks()

    return answer


def interactive_table(reports: dict[str, InteractiveReport]) -> Table:
    """A row for each report: AUC and value at 60 s of J, F and J&F, per cent."""
    rows = [(label, report.summary()) for label, report in reports.items()]
    columns = list(rows[0][1])
    return Table(["", *columns], [[label, *(numbers[column] for column in columns)] for label, numbers in rows])


def require_complete(store: VideoStore, name: str) -> None:
    """Raise UserError for a video that the interactive benchmark cannot score."""
    if len(store.mask_frames(name)) < len(store.frames(name)):
        raise UserError(f"video {name} is not annotated in every frame", "the benchmark scores all frames")


def require_scorable(store: VideoStore, names: list[str], dataset: str | Path) -> None:
    """Raise UserError if no object of any video is in two masks: only given masks exist, and none can be scored."""
    for name in names:
        seen: set[int] = set()
        for number in store.mask_frames(name):
            objects = object_ids(store.read_mask(name, number).ids)
            if seen & objects:
                return
            seen |= objects
    raise UserError(
        f"only given masks of {dataset} are public: nothing to score",
        "segment its videos one by one with `train.py segment`, and hand the masks in",
    )


def open_annotated(
    dataset: str | Path, split: str | None, masks: Meaning | None = None
) -> tuple[VideoStore, list[str], Path]:
    """The dataset, the names of the videos to evaluate, and the folder of annotations."""
    store = open_dataset(dataset, masks_mean=masks)
    if not isinstance(store.path, Path):
        raise UserError(f"dataset {dataset} is remote", "copy it into a folder; masks are scored there")
    if not isinstance(store.tree, FolderTree):
        raise UserError(f"dataset {dataset} is packed", "unpack it; masks are scored in folders")
    names = store.image_set(split) if split else store.videos
    if not names:
        raise UserError(f"dataset {dataset} has no videos", "put them into JPEGImages and Annotations")
    annotated = store.mask_frames(names[0])
    if not annotated:
        frame = store.frames(names[0])[0]
        raise UserError(f"video {names[0]} of {dataset} has no masks", f"name them like its frames, {frame}.png")
    return store, names, (store.tree.root / store.mask_path(names[0], annotated[0])).parent.parent


def _say_what_is_evaluated(
    checkpoint: str | Path, store: VideoStore, names: list[str], split: str | None, say: Callable[[str], None]
) -> None:
    """Say which list of videos is used, and warn if the network's run was trained on some of them."""
    lists = [path.removeprefix(f"{IMAGE_SETS}/").removesuffix(".txt") for path in store.image_set_paths()]
    which = f"list {split}" if split else "all of them" + (f" (--split takes {', '.join(lists)})" if lists else "")
    say(f"evaluating {plural(len(names), 'video')} of {store.path}: {which}")
    run = RunFolder(Path(checkpoint) if Path(checkpoint).is_dir() else Path(checkpoint).parent)
    trained: set[str] = set()
    if run.config.exists() and run.environment.exists():  # else another program's folder
        for source in run.stage().sources.values():
            if isinstance(source, VideoSource) and Path(source.path or "").resolve() == store.path.resolve():
                trained |= set(choose_videos(store, source))
    if known := sorted(trained.intersection(names)):
        say(f"warning: the network was trained on {len(known)} of these videos ({known[0]} the first)")
