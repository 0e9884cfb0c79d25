"""The semi-supervised protocols: score a folder of predicted masks against a folder of annotations.

    results = score_folders("Annotations/480p", "out/masks", "davis17", read_list("ImageSets/2017/val.txt"))
    write_report({"my network": results, **score_baselines("Annotations/480p", "davis17")}, "out/scores")

Scores in ``Results`` are per cent, as the field prints them.
"""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import numpy as np

from bl30k_gen.dataset.listing import video_names
from bl30k_gen.dataset.masks import MaskFrame, Meaning, Rule
from bl30k_gen.errors import UserError
from bl30k_gen.inputs import read_bytes, read_json
from training.evaluation.folders import MaskVideo, describe_size, find_videos, folder_rule, object_ids
from training.evaluation.metrics import Measures, score_frame, statistics


@dataclass(frozen=True)
class Protocol:
    """Which frames and objects of a video count.

    frames: "inner" leaves out the first and the last frame; "after_given" scores an object after the frame in which
        it first appears, where its mask is given; "all" leaves out none.
    merged: all objects count as one foreground.
    """

    name: str
    frames: Literal["inner", "after_given", "all"]
    merged: bool = False

    @property
    def leaves_out(self) -> str:
        """The frames that do not count, in words."""
        return {
            "inner": "the first and the last frame of every video",
            "after_given": "every object's first annotated frame and all before it",
            "all": "none",
        }[self.frames]


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("davis16", "inner", merged=True),
        Protocol("davis17", "inner"),
        Protocol("youtube", "after_given"),
        Protocol("all", "all"),
    )
}


@dataclass(frozen=True)
class ObjectScore:
    """J and F of one object in per cent: ``values`` is (len(frames), 2). ``group`` is "seen", "unseen" or ""."""

    video: str
    object: int
    frames: tuple[str, ...]
    values: np.ndarray
    group: str = ""

    @property
    def j(self) -> Measures:
        return statistics_in_percent(self.values[:, 0])

    @property
    def f(self) -> Measures:
        return statistics_in_percent(self.values[:, 1])


@dataclass(frozen=True)
class Results:
    """Scores of one set of masks. ``left_out``: each video's unscored frames. ``notes``: irregularities."""

    protocol: Protocol
    objects: list[ObjectScore]
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def summary(self) -> dict[str, float]:
        """The numbers of a paper's table, each a mean over objects, in per cent.

        DAVIS: J&F, then mean, recall and decay of J and of F. YouTube-VOS with groups: G, the mean of J and F of
        seen and unseen categories, then these four.
        """
        groups = sorted({score.group for score in self.objects} - {""})
        if groups:
            parts = {
                f"{metric} {group}": _mean(getattr(s, metric.lower()).mean for s in self.objects if s.group == group)
                for group in groups
                for metric in "JF"
            }
            return {"G": _mean(parts.values())} | parts
        numbers = {
            f"{metric} {kind}": _mean(getattr(getattr(s, metric.lower()), kind) for s in self.objects)
            for metric in "JF"
            for kind in Measures._fields
        }
        return {"J&F": (numbers["J mean"] + numbers["F mean"]) / 2} | numbers


def score_folders(
    truth: str | Path,
    predictions: str | Path,
    protocol: str = "davis17",
    videos: Iterable[str] | None = None,
    groups: Mapping[tuple[str, int], str] | None = None,
    workers: int = 1,
    say: Callable[[str], None] = print,
    masks: Meaning | None = None,
) -> Results:
    """Score a folder of predicted videos against a folder of annotated ones.

    Args:
        truth, predictions: folders that hold one folder of masks for each video; frames are matched by name.
        protocol: a key of ``PROTOCOLS``.
        videos: the subset to score; all videos of ``truth`` if None.
        groups: "seen" or "unseen" for each (video, object), from ``youtube_groups``.
        workers: processes; more than one needs the usual ``if __name__ == "__main__"`` guard in a script.
        say: gets the frames that are left out, and all irregularities.
        masks: what masks of both folders mean; None: decided over each folder.

    Raises:
        UserError: a folder, video or mask is missing, sizes differ, or frame names do not match.
    """
    names = find_videos(Path(truth), videos)
    find_videos(Path(predictions), names)
    rule = _reported_rule(Path(truth), names, masks, say)
    reader = partial(_PredictedVideo, Path(predictions), _reported_rule(Path(predictions), names, masks, say))
    return _score(Path(truth), rule, names, reader, _protocol(protocol), groups or {}, workers, say)


def _reported_rule(root: Path, names: list[str], stated: Meaning | None, say: Callable[[str], None]) -> Rule:
    """The mask rule of a folder, reported unless masks are ids. Raises UserError for soft masks, unless stated."""
    rule = folder_rule(root, names, stated)
    if rule.meaning != "ids":
        cut = {"binary": "hold 0 and 255 alone; read", "soft": "are soft, cut at one half; read"}[rule.meaning]
        if rule.meaning == "binary" or rule.stated:
            say(f"{root}: masks {cut} as one object with id 1")
    return rule


def score_baselines(
    truth: str | Path,
    protocol: str = "davis17",
    videos: Iterable[str] | None = None,
    groups: Mapping[tuple[str, int], str] | None = None,
    workers: int = 1,
    masks: Meaning | None = None,
) -> dict[str, Results]:
    """The lower and the upper bound for any result: each object's first mask copied, and the truth itself."""
    names = find_videos(Path(truth), videos)
    rule = folder_rule(Path(truth), names, masks)
    readers = {"first mask copied": _FirstMask, "oracle": _Oracle}
    return {
        label: _score(Path(truth), rule, names, reader, _protocol(protocol), groups or {}, workers, lambda line: None)
        for label, reader in readers.items()
    }


def read_list(path: str | Path) -> list[str]:
    """The video names of a subset list: one a line, or by the image paths that DAVIS-2016 lists."""
    try:
        return video_names(read_bytes(path), path)
    except OSError as error:
        raise UserError(f"list of videos {path} cannot be read", str(error.strerror)) from None


def youtube_groups(meta: str | Path, train_meta: str | Path) -> dict[tuple[str, int], str]:
    """The group "seen" or "unseen" of each (video, object) of YouTube-VOS.

    ``meta`` is the ``meta.json`` of the split that is scored, ``train_meta`` that of the training split, whose
    categories are the seen ones.
    """
    seen = {category for _, _, category in _categories(train_meta)}
    return {(video, label): "seen" if category in seen else "unseen" for video, label, category in _categories(meta)}


def statistics_in_percent(values: np.ndarray) -> Measures:
    """``statistics`` of scores in per cent."""
    return Measures(*(100 * number for number in statistics(values / 100)))


def _categories(path: str | Path) -> Iterable[tuple[str, int, str]]:
    try:
        videos = read_json(path, "take the file that lists the objects' categories by video", limit=1 << 30)["videos"]
        return [
            (video, int(label), entry["category"])
            for video, about in videos.items()
            for label, entry in about["objects"].items()
        ]
    except OSError as error:
        raise UserError(f"{path} cannot be read", str(error.strerror)) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        what = f"{path} is no meta.json of YouTube-VOS ({error!r})"
        raise UserError(what, "take the file that lists the objects' categories by video") from None


def _protocol(name: str) -> Protocol:
    if name not in PROTOCOLS:
        raise UserError(f"unknown protocol {name}", f"choose one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def _mean(numbers: Iterable[float]) -> float:
    numbers = list(numbers)
    return sum(numbers) / len(numbers)


class _PredictedVideo:
    """Predicted masks from a folder, by frame name."""

    def __init__(self, root: Path, rule: Rule, truth: MaskVideo, objects: list[int]):
        self.video = MaskVideo(root / truth.folder.name, truth.merged, rule)
        self.expected = truth
        if not set(self.video.names) & set(truth.names):
            raise UserError(
                f"no mask in {self.video.folder} has the name of an annotation",
                f"annotations are named like {truth.names[0]}.png, these like {self.video.names[0]}.png",
            )

    def __call__(self, name: str, frame: MaskFrame) -> np.ndarray:
        path = self.video.path(name)
        if not path.exists():
            raise UserError(f"{path} is missing", f"every scored frame of {self.expected.folder} needs a mask")
        ids = self.video.read(name).ids
        if ids.shape != frame.ids.shape:
            raise UserError(
                f"{path} is {describe_size(ids.shape)} but its annotation is {describe_size(frame.ids.shape)}",
                "predict at the original size",
            )
        return ids

    def surplus(self) -> list[str]:
        """Predicted frames without an annotation."""
        annotated = set(self.expected.names)
        return [name for name in self.video.names if name not in annotated]


class _Oracle:
    """Predicts the truth."""

    def __init__(self, truth: MaskVideo, objects: list[int]):
        pass

    def __call__(self, name: str, frame: MaskFrame) -> np.ndarray:
        return frame.ids

    def surplus(self) -> list[str]:
        return []


class _FirstMask(_Oracle):
    """Predicts the first mask of each object in all frames."""

    def __init__(self, truth: MaskVideo, objects: list[int]):
        missing = set(objects)
        for name in truth.names:
            ids = truth.read(name).ids
            if name == truth.names[0]:
                self.ids = np.zeros_like(ids)
            for label in missing & object_ids(ids):
                self.ids[ids == label] = label
                missing.discard(label)
            if not missing:
                break

    def __call__(self, name: str, frame: MaskFrame) -> np.ndarray:
        return self.ids


def _score(truth, rule, names, reader, protocol, groups, workers, say) -> Results:
    jobs = (repeat(truth), repeat(rule), names, repeat(reader), repeat(protocol))
    if workers > 1 and len(names) > 1:
        # New interpreters rather than forks: forking a process that has started threads (PyTorch) may hang.
        with ProcessPoolExecutor(min(workers, len(names)), get_context("spawn")) as pool:
            scored = list(pool.map(_score_video, *jobs))
    else:
        scored = list(map(_score_video, *jobs))
    objects, left_out, notes = [], {}, []
    for video, (scores, skipped, odd) in zip(names, scored, strict=True):
        objects += [
            ObjectScore(video, label, frames, values, groups.get((video, label), ""))
            for label, frames, values in scores
        ]
        left_out[video] = skipped
        notes += odd
    if not objects:
        raise _nothing_scored(truth, rule, names, protocol, notes)
    if groups and (unknown := sorted({s.video for s in objects if not s.group})):
        raise UserError(f"meta.json lists no category for the objects of {unknown[0]}", "take that of this split")
    say(f"{protocol.name}: frames left out: {protocol.leaves_out}")
    for video, skipped in left_out.items():
        if skipped:
            say(f"  {video}: {', '.join(skipped)}")
    for note in notes:
        say(note)
    return Results(protocol, objects, left_out, tuple(notes))


def _score_video(root: Path, rule: Rule, name: str, reader, protocol: Protocol):
    """[(object, frame names, values)], the names of frames left out for all objects, and notes."""
    truth = MaskVideo(root / name, protocol.merged, rule)
    objects, first_seen = _objects(truth, protocol)
    predict = reader(truth, objects)
    notes = []
    if surplus := predict.surplus():
        notes.append(f"{name}: {len(surplus)} predicted frames have no annotation and are left out: {_some(surplus)}")
    frames: list[list[str]] = [[] for _ in objects]
    values: list[list[np.ndarray]] = [[] for _ in objects]
    left_out, unannounced, invented = [], set(), set()
    for index, frame_name in enumerate(truth.names):
        rows = [
            row
            for row in range(len(objects))
            if protocol.frames != "inner" or 0 < index < len(truth.names) - 1
            if protocol.frames != "after_given" or index > first_seen[row]
        ]
        if not rows:
            left_out.append(frame_name)
            continue
        frame = truth.read(frame_name)
        predicted = predict(frame_name, frame)
        unannounced |= _unknown_ids(frame.ids, objects)
        invented |= _unknown_ids(predicted, objects)
        scores = 100 * score_frame(frame.ids, predicted, [objects[row] for row in rows], frame.void)
        for row, score in zip(rows, scores, strict=True):
            frames[row].append(frame_name)
            values[row].append(score)
    if unannounced:
        notes.append(f"{name}: objects {_some(unannounced)} are absent from the first frame and are not scored")
    if invented - unannounced:
        notes.append(f"{name}: predicted ids {_some(invented - unannounced)} are no object and count as background")
    for row, label in enumerate(objects):
        if not frames[row]:
            notes.append(f"{name}: object {label} has no frame to score")
    scored = [(label, tuple(frames[row]), np.array(values[row])) for row, label in enumerate(objects) if frames[row]]
    return scored, tuple(left_out), notes


def _objects(truth: MaskVideo, protocol: Protocol) -> tuple[list[int], list[int]]:
    """The objects to score, ascending, and the index of the frame in which each first appears."""
    if protocol.merged:
        return [1], [0]  # also where the first frame is empty
    first_seen: dict[int, int] = {}
    for index, name in enumerate(truth.names[:1] if protocol.frames == "inner" else truth.names):
        for label in object_ids(truth.read(name).ids):
            first_seen.setdefault(label, index)
    objects = sorted(first_seen)
    return objects, [first_seen[label] for label in objects]


def _nothing_scored(root: Path, rule: Rule, names: list[str], protocol: Protocol, notes: list[str]) -> UserError:
    """The reason why no object has a score: no frame is left, or no object is in the first frame or at all."""
    if notes and all("has no frame to score" in note for note in notes):
        what = f"no frame of {root} is left to score: {protocol.name} leaves out {protocol.leaves_out}"
        return UserError(what, "take --protocol all, or longer videos with more annotated frames")
    for name in names:
        video = MaskVideo(root / name, protocol.merged, rule)
        for frame in video.names:
            if labels := object_ids(video.read(frame).ids):
                what = f"{name}: object {min(labels)} is absent from the first frame, {video.names[0]}"
                return UserError(what, f"{protocol.name} scores the first frame's objects: take --protocol youtube")
    return UserError(f"no annotation in {root} has an object", "check that these are masks of objects")


def _unknown_ids(ids: np.ndarray, objects: list[int]) -> set[int]:
    """Objects of a label map that are not in the list. Counting first avoids sorting in nearly all frames."""
    if np.count_nonzero(ids) == sum(np.count_nonzero(ids == label) for label in objects):
        return set()
    return object_ids(ids) - set(objects)


def _some(names: Iterable) -> str:
    """At most five of the names."""
    names = [str(name) for name in sorted(names)]
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
