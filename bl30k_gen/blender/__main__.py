"""The child process: ``python -m bl30k_gen.blender``.

Reads paths of SceneSpec files from standard input, one a line, and renders the frames of each beside its file, as
``JPEGImages/00000.jpg`` and ``Annotations/00000.png``; existing frames are skipped. Answers with one JSON object a
line on standard output (everything else that Blender prints goes to standard error):

    {"event": "ready", "device": ..., "device_name": ..., "denoising": ..., "threads": ..., "bpy": ..., ...}
    {"event": "built", "name": ..., "seconds": ...}
    {"event": "frame", "name": ..., "frame": ..., "rgb_seconds": ..., "mask_seconds": ...}
    {"event": "done", "name": ...}       all frames are on disk
    {"event": "failed", "name": ..., "what": ..., "remedy": ..., "fatal": false}
    {"event": "stopped", "name": ...}    SIGTERM came: the current frame was finished and kept

A path that ends in ``.reduce.json`` asks for a model with fewer faces instead: the file has the keys ``model`` (a
path), ``limits``, ``faces`` and ``out`` (path of the GLB to write). The answer is ``done`` or ``failed``.

The process exits at the end of its input, after SIGTERM, and when its parent dies.
"""

import argparse
import ctypes
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import TextIO

from bl30k_gen.config import Limits
from bl30k_gen.dataset.files import write_atomically
from bl30k_gen.dataset.layout import frame_name
from bl30k_gen.dataset.modalities import MASK, MODALITIES, RGB
from bl30k_gen.errors import FatalError, UserError
from bl30k_gen.library.load import AssetRefused, load_model
from bl30k_gen.scene.spec import SceneSpec, read_spec

PR_SET_PDEATHSIG = 1
REDUCE = ".reduce.json"


class Child:
    """Renders scenes one after the other, until ``stop`` is called."""

    def __init__(self, events: TextIO, threads: int, scratch: Path):
        self.events = events
        self.threads = threads
        self.scratch = scratch
        self.stopping = False

    def stop(self, *_: object) -> None:
        self.stopping = True

    def send(self, event: str, **values: object) -> None:
        self.events.write(json.dumps({"event": event, **values}) + "\n")
        self.events.flush()

    def render(self, path: Path) -> None:
        name = path.stem
        try:
            spec = read_spec(path)
            name = spec.name
            self._render_frames(spec, path.parent)
        except UserError as error:
            self.fail(name, error)
        except Exception as error:  # of this scene: the next one may be rendered
            traceback.print_exc()
            self.fail(name, UserError(f"{type(error).__name__}: {error}", "see the video's log"))

    def reduce(self, path: Path) -> None:
        request = json.loads(path.read_text(encoding="utf-8"))
        try:
            from bl30k_gen.blender.reduce import reduce
            from bl30k_gen.library.formats.glb import as_glb

            model = load_model(request["model"], Limits.model_validate(request["limits"]))
            write_atomically(request["out"], as_glb(reduce(model, request["faces"])))
            self.send("done", name=path.stem)
        except AssetRefused as refused:
            self.fail(path.stem, UserError(request["model"], refused.reason))
        except UserError as error:
            self.fail(path.stem, error)

    def fail(self, name: str | None, error: UserError) -> None:
        fatal = isinstance(error, FatalError)
        self.send("failed", name=name, what=error.what, remedy=error.remedy, fatal=fatal)

    def _render_frames(self, spec: SceneSpec, folder: Path) -> None:
        for modality in MODALITIES:
            (folder / modality).mkdir(exist_ok=True)
        missing = [f for f in range(spec.video.frames) if not _complete(folder, f)]
        if missing:
            from bl30k_gen.blender import build, passes

            begin = time.perf_counter()
            built = build.build(spec)
            draw = passes.set_up(spec, built, self.threads)
            self.send("built", name=spec.name, seconds=round(time.perf_counter() - begin, 3))
        for frame in missing:
            if self.stopping:
                self.send("stopped", name=spec.name)
                return
            begin = time.perf_counter()
            for mesh in built.deforming:
                mesh.pose(frame)
            mask = passes.render_mask(frame, self.scratch)
            masked = time.perf_counter()
            rgb = draw(frame, self.scratch)
            drawn = time.perf_counter()
            # Missing folders are not created: another worker has taken over the video if they are gone.
            for modality, pixels in ((MASK, mask), (RGB, rgb)):
                data = MODALITIES[modality].encode(pixels, spec.image)
                write_atomically(folder / modality / frame_name(modality, frame), data, parents=False)
            self.send(
                "frame",
                name=spec.name,
                frame=frame,
                mask_seconds=round(masked - begin, 4),
                rgb_seconds=round(drawn - masked, 4),
                total_seconds=round(time.perf_counter() - begin, 4),
            )
        self.send("done", name=spec.name)


def _complete(folder: Path, frame: int) -> bool:
    return all((folder / modality / frame_name(modality, frame)).exists() for modality in MODALITIES)


def _claim_stdout() -> TextIO:
    """Reserve standard output for events; everything that Blender prints goes to standard error."""
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return events


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bl30k_gen.blender")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=0, help="0: all")
    parser.add_argument("--scratch", type=Path, required=True, help="a folder on a fast disk, removed by the caller")
    arguments = parser.parse_args()
    events = _claim_stdout()
    _die_with_parent()
    child = Child(events, arguments.threads, arguments.scratch)
    signal.signal(signal.SIGTERM, child.stop)
    try:
        from bl30k_gen.blender import runtime

        child.send("ready", **runtime.start(arguments.device, arguments.threads).to_json())
        for line in sys.stdin:
            if child.stopping:
                break
            path = Path(line.rstrip("\n"))
            if path.name.endswith(REDUCE):
                child.reduce(path)
            else:
                child.render(path)
        return 0
    except UserError as error:
        child.fail(None, error)
        return 2
    except BrokenPipeError:  # the parent has closed its end
        return 1
    except Exception:
        traceback.print_exc()
        return 1


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # bpy's own shutdown can crash after all work is done
