"""Segments a user's video: from given masks to a folder of palette masks."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal, get_type_hints

import numpy as np
from pydantic import TypeAdapter, ValidationError

from bl30k_gen.dataset.claim import claim, refuse_input
from bl30k_gen.dataset.files import write_atomically
from bl30k_gen.dataset.masks import Meaning, encode_mask
from bl30k_gen.errors import UserError
from bl30k_gen.text import plural
from models.memory import Reading
from models.propagation import PropagationNetwork
from training.inference.load import load_network
from training.inference.options import Options, published_options
from training.inference.overview import write_overview
from training.inference.propagate import Segmented, propagate
from training.inference.video import VideoFile, open_video, read_given

Direction = Literal["forward", "backward", "both"]


@dataclass
class Speed:
    """Number of frames and their computing time in seconds, without reading and writing files."""

    frames: int = 0
    seconds: float = 0.0

    def add(self, result: Segmented) -> None:
        self.frames += 1
        self.seconds += result.seconds

    def __str__(self) -> str:
        return (
            f"{plural(self.frames, 'frame')}, {self.frames / self.seconds:.1f} a second"
            if self.seconds
            else "0 frames"
        )


def segment(
    checkpoint: str | Path,
    video: str | Path,
    masks: str | Path,
    out: str | Path,
    direction: Direction = "forward",
    device: str = "auto",
    say: Callable[[str], None] = print,
    meaning: Meaning | None = None,
    **options,
) -> Speed:
    """Segment a video: ``train.py segment``.

    Args:
        checkpoint: of a propagation network.
        video: a folder of images, a video file, or DATASET/VIDEO.
        masks: the first frame's mask, or a folder of masks for some frames, see ``read_given``.
        out: folder for a palette PNG of each frame, at the size of the frames, a film and a contact sheet.
        direction: "both" goes forward and backward from the first given mask. Backward needs a folder of images.
        meaning: what masks mean; None: decided over the given masks.
        options: fields of ``Options`` that differ from the network's own.

    Raises:
        UserError: a file is missing, damaged or does not fit, or an option is unknown.
    """
    frames = open_video(video)
    names = None if isinstance(frames, VideoFile) else frames.names
    given = read_given(masks, names, meaning, say)
    network = load_network(checkpoint, PropagationNetwork, device=device)
    settings = checked_options(network, **options)
    refuse_input(Path(out), [frames.path, Path(masks)])
    speed = Speed()
    for result in segment_frames(network, frames, given, settings, direction, say):
        if not speed.frames:  # a video that cannot be decoded claims no folder
            claim(Path(out), "segment", {"video": str(Path(video).resolve())})
        speed.add(result)
        name = names[result.number] if names else f"{result.number:05d}"
        write_atomically(Path(out) / f"{name}.png", encode_mask(result.labels()))
    say(f"{out}: {speed}")
    write_overview(frames, names or [f"{number:05d}" for number in range(speed.frames)], Path(out), say)
    return speed


def segment_frames(
    network: PropagationNetwork,
    frames: Iterable[np.ndarray] | Sequence[np.ndarray],
    given: Mapping[int, np.ndarray],
    options: Options | None = None,
    direction: Direction = "forward",
    say: Callable[[str], None] = print,
) -> Iterator[Segmented]:
    """The result of each frame, in the order of computation.

    "forward" begins at the first frame, "backward" at the last one. "both" goes forward from the first given mask,
    then backward from it. Raises UserError for masks beyond the end, and for a stream with another direction than
    "forward".
    """
    if not isinstance(frames, Sized):
        if direction != "forward":
            raise UserError("a stream of frames cannot be followed backward", "extract its frames into a folder")
        number = -1
        for result in propagate(network, enumerate(frames), given, options, say):
            number = result.number
            yield result
        _check_end(given, number + 1)
        return
    _check_end(given, len(frames))
    first, end = min(given, default=0), len(frames)
    passes: dict[str, list[tuple[range, Mapping[int, np.ndarray]]]] = {
        "forward": [(range(end), given)],
        "backward": [(range(end - 1, -1, -1), given)],
        "both": [(range(first, end), given), (range(first, -1, -1), {t: given[t] for t in given if t == first})],
    }
    for number, (numbers, masks) in enumerate(passes[direction]):
        results = propagate(network, ((t, frames[t]) for t in numbers), masks, options, say)
        yield from islice(results, number, None)  # the second pass begins with a frame of the first


def _check_end(given: Mapping[int, np.ndarray], count: int) -> None:
    if given and max(given) >= count:
        raise UserError(f"a mask is for frame {max(given)}, but the video has {count}", "count frames from 0")


def checked_options(network: PropagationNetwork, **changes) -> Options:
    """``published_options`` from a user's input: a wrong one raises UserError."""
    kinds = get_type_hints(Reading) | get_type_hints(Options)
    for name in changes.keys() & kinds.keys():
        try:
            changes[name] = TypeAdapter(kinds[name]).validate_python(changes[name])
        except ValidationError as error:
            raise UserError(f"option {name} = {changes[name]!r}", error.errors()[0]["msg"]) from None
    try:
        return published_options(network, **changes)
    except ValueError as error:
        raise UserError("an option does not fit", str(error)) from None
