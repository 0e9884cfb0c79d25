"""The files that the campaign ``strangers`` corrupts, and the commands that read each of them."""

from dataclasses import dataclass, replace

from benchmarks.faults.odd_files import registry as kinds

OUT = "out"  # the folder that every command writes to, relative to the workspace
GENERATE, TRAIN, ANNOTATE = "generate", "train", "annotate"


@dataclass(frozen=True)
class InputFile:
    """A file of the workspace, and the commands that read it.

    kind: one of ``odd_files.registry``.
    path: relative to the workspace, as all paths in commands.
    may_change: prefixes of paths that the commands may write to, besides ``OUT``.
    fraction: of the corruptions of this kind that are tried; below 1 where a command is slow.
    """

    kind: str
    path: str
    commands: tuple[str, ...]
    may_change: tuple[str, ...] = ()
    fraction: float = 1.0

    def with_commands(self, *commands: str) -> "InputFile":
        return replace(self, commands=commands)


def generate(*lines: str) -> tuple[str, ...]:
    """Command lines of ``generate.py``."""
    return tuple(f"{GENERATE} {line}" for line in lines)


def train(*lines: str) -> tuple[str, ...]:
    """Command lines of ``train.py``."""
    return tuple(f"{TRAIN} {line}" for line in lines)


_DATA = generate(
    "info data",
    "verify data --deep",
    "preview data --out out",
    "report data --out out",
    "export data --to coco --out out",
    "pack data --out out",
)
_SEGMENT = "segment network/network.pt --device cpu --video"
_FETCH = "assets fetch --kind textures --provider polyhaven --base-url http://127.0.0.1:9 --allow-private --out out"
_FILM = f"{_SEGMENT} video/film.mp4 --first-mask video/masks/00000.png --out out"
_FRAMES = f"{_SEGMENT} video/frames --first-mask video/masks/00000.png --out out"
_SCRIPT = "interact network/network.pt --device cpu --video video/frames --out out --script"
_RUN = "run stage.yaml --device cpu --out out --dry-run --data"
_SHARDS = (
    "info {0}",
    "verify {0}",
    "preview {0} --out out",
    "unpack {0} --out out",
    "report {0} --out out",
)
_CHECK = ("assets check models --workers 1", "assets index models --workers 1", "assets list models")
_PHOTOS = ("assets check photos --workers 1", "assets index photos --workers 1", "assets list photos")
_TAR, _HDF5 = ("tar/Shards/{tar}.index.json",), ("hdf5/Shards/{hdf5}.index.json",)  # rewritten by every reader
_INDEX = ("models/.bl30k", "photos/.bl30k", "cache")

INPUT_FILES = [
    # Files written by hand.
    InputFile(
        kinds.YAML,
        "child.yaml",
        generate("config show --config child.yaml", "plan --config child.yaml --index 0 --out out"),
    ),
    InputFile(
        kinds.YAML,
        "base.yaml",
        generate("config show --config child.yaml", "submit --config child.yaml --count 2 --out out --dry-run"),
    ),
    InputFile(
        kinds.YAML, "slurm.yaml", generate("submit --config demo --count 2 --out out --slurm slurm.yaml --dry-run")
    ),
    InputFile(
        kinds.YAML,
        "stage.yaml",
        train(f"{_RUN} static", "run stage.yaml --out out --device cpu --data static --set iterations=1"),
    ),
    InputFile(
        kinds.YAML,
        "recipe.yaml",
        train("pipeline recipe.yaml --data static --preset tiny --out out --device cpu --dry-run"),
    ),
    InputFile(
        kinds.YAML,
        "table.yaml",
        train(
            "ablate data --split val --recipe table.yaml --checkpoint stm=network/network.pt --out out --device cpu"
        ),
        fraction=0.5,
    ),
    InputFile(
        kinds.TEXT,
        "indices.txt",
        generate(
            "plan --config child.yaml --indices indices.txt --out out",
            "submit --config demo --indices indices.txt --out out --dry-run",
        ),
    ),
    InputFile(kinds.TEXT, "names.txt", train("score data/Annotations predicted --videos names.txt --out out")),
    InputFile(
        kinds.TEXT,
        "keywords.txt",
        generate(f"{_FETCH} --keywords keywords.txt"),
        fraction=0.3,
    ),
    InputFile(
        kinds.TEXT, "urls.txt", generate("assets fetch --kind textures --provider urls --urls urls.txt --out out")
    ),
    InputFile(kinds.JSON, "script.json", train(f"{_SCRIPT} script.json"), fraction=0.6),
    InputFile(kinds.JSON, "scribbles.json", train(f"{_SCRIPT} scribbled.json --s2m s2m.pt"), fraction=0.6),
    InputFile(kinds.NPZ, "session.npz", train(f"{_SCRIPT} loading.json"), fraction=0.8),
    InputFile(kinds.LINES, "logs/u1.jsonl", train("study logs --out out"), fraction=0.7),
    # A dataset.
    InputFile(
        kinds.YAML,
        "data/config.yaml",
        generate(
            "info data",
            "status data",
            "report data --out out",
            "assets credits data --out out",
            "resubmit data --dry-run",
            "prune data",
        ),
        ("data/Logs", "data/.staging"),
        0.6,
    ),
    InputFile(
        kinds.JSON,
        "data/Metadata/a00001.json",
        (*_DATA, *generate("annotations data --out out --videos a00001", "assets credits data --out out")),
        fraction=0.5,
    ),
    InputFile(
        kinds.IMAGE,
        "data/JPEGImages/a00001/00003.jpg",
        (*_DATA, *train("run stcn/bl30k --preset tiny --data data --device cpu --out out --dry-run")),
    ),
    InputFile(
        kinds.MASK,
        "data/Annotations/a00001/00003.png",
        (*_DATA, *train("score data/Annotations predicted --out out")),
    ),
    InputFile(kinds.MASK, "predicted/a00001/00003.png", train("score data/Annotations predicted --out out")),
    InputFile(
        kinds.TEXT,
        "data/ImageSets/val.txt",
        (
            *generate("info data", "verify data"),
            *train("evaluate network/network.pt data --split val --device cpu --out out"),
        ),
    ),
    InputFile(
        kinds.LINES,
        "data/Logs/runs/worker.jsonl",
        generate("status data", "report data --out out", "prune data"),
        ("data/Logs",),
    ),
    InputFile(
        kinds.JSON, "data/Logs/a00003.failed.json", generate("status data", "report data --out out"), fraction=0.5
    ),
    InputFile(
        kinds.TEXT,
        "data/Slurm/00001/array-0.indices",
        generate("status data", "resubmit data --dry-run"),
        fraction=0.5,
    ),
    InputFile(kinds.YAML, "data/Slurm/00001/settings.yaml", generate("resubmit data --dry-run"), fraction=0.5),
    InputFile(kinds.TAR, "tar/Shards/{tar}", generate(*(line.format("tar") for line in _SHARDS)), _TAR),
    InputFile(
        kinds.TAR, "tar/Shards/{tar}", generate("unpack tar/Shards/{tar} --out out", "info tar/Shards/{tar}"), _TAR
    ),
    InputFile(kinds.JSON, "tar/Shards/{tar}.index.json", generate(*(line.format("tar") for line in _SHARDS)), _TAR),
    InputFile(kinds.HDF5, "hdf5/Shards/{hdf5}", generate(*(line.format("hdf5") for line in _SHARDS)), _HDF5),
    InputFile(
        kinds.JSON, "hdf5/Shards/{hdf5}.index.json", generate(*(line.format("hdf5") for line in _SHARDS)), _HDF5, 0.6
    ),
    # Assets.
    InputFile(kinds.OBJ, "models/a.obj", generate(*_CHECK), _INDEX),
    InputFile(kinds.MTL, "models/a.mtl", generate(*_CHECK), _INDEX, 0.7),
    InputFile(kinds.GLTF, "models/model.gltf", generate(*_CHECK), _INDEX, 0.8),
    InputFile(kinds.GLB, "models/a.glb", generate(*_CHECK), _INDEX, 0.8),
    InputFile(kinds.PLY, "models/a.ply", generate(*_CHECK), _INDEX, 0.8),
    InputFile(kinds.STL, "models/a.stl", generate(*_CHECK), _INDEX, 0.8),
    InputFile(kinds.IMAGE, "models/texture.png", generate(*_CHECK), _INDEX, 0.8),
    InputFile(kinds.IMAGE, "photos/a.jpg", generate(*_PHOTOS), _INDEX, 0.8),
    InputFile(kinds.IMAGE, "photos/a.png", generate(*_PHOTOS), _INDEX, 0.8),
    InputFile(
        kinds.LINES,
        "photos/manifest.jsonl",
        generate("assets list photos", "assets index photos --workers 1"),
        _INDEX,
    ),
    InputFile(
        kinds.JSON,
        "photos/.bl30k/index.json",
        generate("assets list photos", "assets index photos --workers 1"),
        _INDEX,
    ),
    # The user's videos, networks, runs.
    InputFile(kinds.IMAGE, "video/frames/00002.jpg", train(_FRAMES, f"{_SCRIPT} script.json"), fraction=0.7),
    InputFile(kinds.MASK, "video/masks/00000.png", train(_FRAMES, f"{_SCRIPT} script.json"), fraction=0.7),
    InputFile(kinds.VIDEO, "video/film.mp4", train(_FILM)),
    InputFile(
        kinds.WEIGHTS,
        "network/network.pt",
        train(
            _FRAMES,
            f"{_SCRIPT} script.json",
            "evaluate network data --device cpu --out out",
            "run stcn/bl30k --preset tiny --data data --device cpu --out out --dry-run --from network",
        ),
        fraction=0.8,
    ),
    InputFile(
        kinds.WEIGHTS,
        "run/checkpoints/{state}",
        train("run stage.yaml --device cpu --out run --set iterations=4", "export run --out out/network.pt"),
        ("run",),
    ),
    InputFile(
        kinds.YAML, "run/config.yaml", train("compare run --out out", "export run --out out/network.pt"), fraction=0.7
    ),
    InputFile(
        kinds.LINES, "run/log.jsonl", train("compare run --out out", "export run --out out/network.pt"), fraction=0.7
    ),
    InputFile(
        kinds.JSON,
        "run/environment.json",
        train("export run --out out/network.pt", "run stage.yaml --device cpu --out run --set iterations=4"),
        ("run",),
        0.5,
    ),
    InputFile(kinds.IMAGE, "static/1.jpg", train(f"{_RUN} static"), fraction=0.6),
    InputFile(kinds.MASK, "static/1.png", train(f"{_RUN} static"), fraction=0.6),
    InputFile(
        kinds.JSON,
        "lvis/lvis.json",
        train("run s2m/static --preset tiny-s2m --device cpu --out out --dry-run --data lvis/lvis.json"),
    ),
    InputFile(
        kinds.JSON,
        "fusion/fusion.json",
        train("run fusion/bl30k --preset tiny-fusion --device cpu --out out --dry-run --data fusion"),
    ),
    InputFile(
        kinds.MASK,
        "fusion/{fusion}",
        train("run fusion/bl30k --preset tiny-fusion --device cpu --out out --dry-run --data fusion"),
        fraction=0.4,
    ),
    InputFile(
        kinds.LINES,
        "annotated/session/journal.jsonl",
        (f"{ANNOTATE} video/frames --out annotated --device cpu",),
        ("annotated",),
        0.8,
    ),
    InputFile(
        kinds.JSON,
        "claimed/.claim.json",
        train("compare run --out claimed"),
        ("claimed",),
        0.5,
    ),
]

PREPARATION = (
    "train run stcn/bl30k --preset tiny --set iterations=1 --set batch=1 --data data --device cpu --out network",
    "train run stage.yaml --device cpu --out run",
    "train make-fusion-data network data --separation 3 --device cpu --out fusion",
    f"train {_SCRIPT} saving.json",
    "annotate video/frames --masks video/masks/00000.png --out annotated --device cpu",
    "train compare run --out claimed",
    "generate assets index photos --workers 1",
)
"""Commands that write the rest of the valid files, in this order."""
