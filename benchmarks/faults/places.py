"""Where the files of the campaign of strange files lie, and the commands that read each of them."""

from dataclasses import dataclass, replace

from benchmarks.faults import odd_files as odd

OUT = "out"  # where every command writes, below the world
GENERATE, TRAIN, ANNOTATE = "generate", "train", "annotate"


@dataclass(frozen=True)
class Place:
    """A file of the world, and the commands that read it.

    share: of the ways to make it strange that are tried where a command is slow.
    may_change: beginnings of paths that the commands are there to write.
    """

    kind: str
    file: str
    commands: tuple[str, ...]
    may_change: tuple[str, ...] = ()
    share: float = 1.0

    def only(self, *commands: str) -> "Place":
        return replace(self, commands=commands)


def generate(*words: str) -> tuple[str, ...]:
    return tuple(f"{GENERATE} {each}" for each in words)


def train(*words: str) -> tuple[str, ...]:
    return tuple(f"{TRAIN} {each}" for each in words)


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
_TAR, _HDF5 = ("tar/Shards/{tar}.index.json",), ("hdf5/Shards/{hdf5}.index.json",)  # which every reader renews
_INDEX = ("models/.bl30k", "photos/.bl30k", "cache")

PLACES = [
    # What is written by hand.
    Place(
        odd.YAML,
        "child.yaml",
        generate("config show --config child.yaml", "plan --config child.yaml --index 0 --out out"),
    ),
    Place(
        odd.YAML,
        "base.yaml",
        generate("config show --config child.yaml", "submit --config child.yaml --count 2 --out out --dry-run"),
    ),
    Place(odd.YAML, "slurm.yaml", generate("submit --config demo --count 2 --out out --slurm slurm.yaml --dry-run")),
    Place(
        odd.YAML,
        "stage.yaml",
        train(f"{_RUN} static", "run stage.yaml --out out --device cpu --data static --set iterations=1"),
    ),
    Place(
        odd.YAML,
        "recipe.yaml",
        train("pipeline recipe.yaml --data static --preset tiny --out out --device cpu --dry-run"),
    ),
    Place(
        odd.YAML,
        "table.yaml",
        train(
            "ablate data --split val --recipe table.yaml --checkpoint stm=network/network.pt --out out --device cpu"
        ),
        share=0.5,
    ),
    Place(
        odd.TEXT,
        "indices.txt",
        generate(
            "plan --config child.yaml --indices indices.txt --out out",
            "submit --config demo --indices indices.txt --out out --dry-run",
        ),
    ),
    Place(odd.TEXT, "names.txt", train("score data/Annotations predicted --videos names.txt --out out")),
    Place(
        odd.TEXT,
        "keywords.txt",
        generate(f"{_FETCH} --keywords keywords.txt"),
        share=0.3,
    ),
    Place(odd.TEXT, "urls.txt", generate("assets fetch --kind textures --provider urls --urls urls.txt --out out")),
    Place(odd.JSON, "script.json", train(f"{_SCRIPT} script.json"), share=0.6),
    Place(odd.JSON, "scribbles.json", train(f"{_SCRIPT} scribbled.json --s2m s2m.pt"), share=0.6),
    Place(odd.NPZ, "session.npz", train(f"{_SCRIPT} loading.json"), share=0.8),
    Place(odd.LINES, "logs/u1.jsonl", train("study logs --out out"), share=0.7),
    # A dataset.
    Place(
        odd.YAML,
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
    Place(
        odd.JSON,
        "data/Metadata/a00001.json",
        (*_DATA, *generate("annotations data --out out --videos a00001", "assets credits data --out out")),
        share=0.5,
    ),
    Place(
        odd.PICTURE,
        "data/JPEGImages/a00001/00003.jpg",
        (*_DATA, *train("run stcn/bl30k --preset tiny --data data --device cpu --out out --dry-run")),
    ),
    Place(
        odd.MASK, "data/Annotations/a00001/00003.png", (*_DATA, *train("score data/Annotations predicted --out out"))
    ),
    Place(odd.MASK, "predicted/a00001/00003.png", train("score data/Annotations predicted --out out")),
    Place(
        odd.TEXT,
        "data/ImageSets/val.txt",
        (
            *generate("info data", "verify data"),
            *train("evaluate network/network.pt data --split val --device cpu --out out"),
        ),
    ),
    Place(
        odd.LINES,
        "data/Logs/runs/worker.jsonl",
        generate("status data", "report data --out out", "prune data"),
        ("data/Logs",),
    ),
    Place(odd.JSON, "data/Logs/a00003.failed.json", generate("status data", "report data --out out"), share=0.5),
    Place(
        odd.TEXT, "data/Slurm/00001/array-0.indices", generate("status data", "resubmit data --dry-run"), share=0.5
    ),
    Place(odd.YAML, "data/Slurm/00001/settings.yaml", generate("resubmit data --dry-run"), share=0.5),
    Place(odd.TAR, "tar/Shards/{tar}", generate(*(each.format("tar") for each in _SHARDS)), _TAR),
    Place(odd.TAR, "tar/Shards/{tar}", generate("unpack tar/Shards/{tar} --out out", "info tar/Shards/{tar}"), _TAR),
    Place(odd.JSON, "tar/Shards/{tar}.index.json", generate(*(each.format("tar") for each in _SHARDS)), _TAR),
    Place(odd.HDF5, "hdf5/Shards/{hdf5}", generate(*(each.format("hdf5") for each in _SHARDS)), _HDF5),
    Place(
        odd.JSON, "hdf5/Shards/{hdf5}.index.json", generate(*(each.format("hdf5") for each in _SHARDS)), _HDF5, 0.6
    ),
    # Assets.
    Place(odd.OBJ, "models/a.obj", generate(*_CHECK), _INDEX),
    Place(odd.MTL, "models/a.mtl", generate(*_CHECK), _INDEX, 0.7),
    Place(odd.GLTF, "models/model.gltf", generate(*_CHECK), _INDEX, 0.8),
    Place(odd.GLB, "models/a.glb", generate(*_CHECK), _INDEX, 0.8),
    Place(odd.PLY, "models/a.ply", generate(*_CHECK), _INDEX, 0.8),
    Place(odd.STL, "models/a.stl", generate(*_CHECK), _INDEX, 0.8),
    Place(odd.PICTURE, "models/texture.png", generate(*_CHECK), _INDEX, 0.8),
    Place(odd.PICTURE, "photos/a.jpg", generate(*_PHOTOS), _INDEX, 0.8),
    Place(odd.PICTURE, "photos/a.png", generate(*_PHOTOS), _INDEX, 0.8),
    Place(
        odd.LINES, "photos/manifest.jsonl", generate("assets list photos", "assets index photos --workers 1"), _INDEX
    ),
    Place(
        odd.JSON,
        "photos/.bl30k/index.json",
        generate("assets list photos", "assets index photos --workers 1"),
        _INDEX,
    ),
    # Videos of one's own, networks, runs.
    Place(odd.PICTURE, "video/frames/00002.jpg", train(_FRAMES, f"{_SCRIPT} script.json"), share=0.7),
    Place(odd.MASK, "video/masks/00000.png", train(_FRAMES, f"{_SCRIPT} script.json"), share=0.7),
    Place(odd.VIDEO, "video/film.mp4", train(_FILM)),
    Place(
        odd.WEIGHTS,
        "network/network.pt",
        train(
            _FRAMES,
            f"{_SCRIPT} script.json",
            "evaluate network data --device cpu --out out",
            "run stcn/bl30k --preset tiny --data data --device cpu --out out --dry-run --from network",
        ),
        share=0.8,
    ),
    Place(
        odd.WEIGHTS,
        "run/checkpoints/{state}",
        train("run stage.yaml --device cpu --out run --set iterations=4", "export run --out out/network.pt"),
        ("run",),
    ),
    Place(odd.YAML, "run/config.yaml", train("compare run --out out", "export run --out out/network.pt"), share=0.7),
    Place(odd.LINES, "run/log.jsonl", train("compare run --out out", "export run --out out/network.pt"), share=0.7),
    Place(
        odd.JSON,
        "run/environment.json",
        train("export run --out out/network.pt", "run stage.yaml --device cpu --out run --set iterations=4"),
        ("run",),
        0.5,
    ),
    Place(odd.PICTURE, "static/1.jpg", train(f"{_RUN} static"), share=0.6),
    Place(odd.MASK, "static/1.png", train(f"{_RUN} static"), share=0.6),
    Place(
        odd.JSON,
        "lvis/lvis.json",
        train("run s2m/static --preset tiny-s2m --device cpu --out out --dry-run --data lvis/lvis.json"),
    ),
    Place(
        odd.JSON,
        "fusion/fusion.json",
        train("run fusion/bl30k --preset tiny-fusion --device cpu --out out --dry-run --data fusion"),
    ),
    Place(
        odd.MASK,
        "fusion/{fusion}",
        train("run fusion/bl30k --preset tiny-fusion --device cpu --out out --dry-run --data fusion"),
        share=0.4,
    ),
    Place(
        odd.LINES,
        "annotated/session/journal.jsonl",
        (f"{ANNOTATE} video/frames --out annotated --device cpu",),
        ("annotated",),
        0.8,
    ),
    Place(
        odd.JSON,
        "claimed/.claim.json",
        train("compare run --out claimed"),
        ("claimed",),
        0.5,
    ),
]

MADE = (
    "train run stcn/bl30k --preset tiny --set iterations=1 --set batch=1 --data data --device cpu --out network",
    "train run stage.yaml --device cpu --out run",
    "train make-fusion-data network data --separation 3 --device cpu --out fusion",
    f"train {_SCRIPT} saving.json",
    "annotate video/frames --masks video/masks/00000.png --out annotated --device cpu",
    "train compare run --out claimed",
    "generate assets index photos --workers 1",
)
