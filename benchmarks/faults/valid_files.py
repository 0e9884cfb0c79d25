"""Write valid files of every kind that commands read: the campaign ``strangers`` corrupts them."""

import json
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.faults.fuzz_assets import write_seeds
from bl30k_gen.dataset import files, masks
from bl30k_gen.dataset.layout import Layout
from bl30k_gen.render.failures import record_failure
from bl30k_gen.render.output.journal import run_log
from tests.support.synthetic import HEIGHT, WIDTH, ellipse_masks, image, make_dataset, make_sharded, synthetic_config

NAMES = ["a00000", "a00001", "a00002"]
FRAMES = 6  # of the video
STILLS = 4
STAGE = """\
extends: s2m/static
imagenet: none
model: {backbone: resnet18, dim: 32, low_dim: 16}
size: 64
iterations: 4
batch: 2
validation: null
loss: {warm_up: [1, 3]}
data:
  fss: {kind: images, path: static, weight: 1, share: 1}
  duts_tr: {weight: 0}
  duts_te: {weight: 0}
  ecssd: {weight: 0}
  big: {weight: 0}
  hrsod: {weight: 0}
  lvis: {weight: 0}
runtime: {batch_per_step: 2, workers: 0, log_every: 1, picture_every: 100, save_every: 2}
"""

TABLE = """\
about: How many memory positions to read from
measure: semi-supervised
checkpoints: {stm: any STM}
columns: [J&F, ms]
figure: sweep
sweep: {top_k: [20]}
rows:
  - {name: STM, network: stm}
"""


def write_workspace(root: Path) -> None:
    """Fill a folder with files of every kind. Paths inside the files are relative to the folder."""
    write_datasets(root)
    write_assets(root)
    write_videos(root)
    write_texts(root)
    write_training(root)


def write_datasets(root: Path) -> None:
    """``data``: a dataset in folders, with the logs and submissions of a build; ``tar`` and ``hdf5``: in shards."""
    config = synthetic_config()
    layout = make_dataset(root / "data", config)
    for kind in ("tar", "hdf5"):
        make_sharded(root / kind, synthetic_config(f"runtime.store={kind}"), NAMES)
    journal = run_log(Layout(root / "data", "worker"))
    journal.write({"event": "asked", "count": 5})
    journal.write({"event": "ready", "device_name": "a processor", "threads": 1})
    for name in NAMES:
        seconds = {"seconds": 8.0, "frame_seconds": 1.0}
        journal.write({"event": "published", "video": name, "frames": 8, **seconds})
    record_failure(layout, "a00003", "no model fits")
    submission = root / "data/Slurm/00001"
    submission.mkdir(parents=True)
    shutil.copy(Path("slurm/cpu.yaml").resolve(), submission / "settings.yaml")
    (submission / "array-0.indices").write_text("0\n1\n2\n3\n4\n")
    (submission / "array-0.sbatch").write_text("#!/bin/bash\n#SBATCH --array=0-0\n")
    (submission / "array-0.job").write_text("17\n")


def write_assets(root: Path) -> None:
    """``models`` and ``photos``: assets of every format, with a manifest."""
    (root / "models").mkdir()
    write_seeds(root / "models")
    (root / "photos").mkdir()
    for name in ("a.jpg", "progressive.jpg", "a.png", "palette.png", "a.webp"):
        shutil.move(root / "models" / name, root / "photos" / name)
    lines = [{"file": "a.jpg", "licence": "CC0-1.0", "author": "Ada", "source": "https://example.org/a"}]
    (root / "photos/manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def write_videos(root: Path) -> None:
    """``video``: frames, masks and a film; ``predicted``: a copy of the masks of ``data``."""
    import av

    ids = ellipse_masks(0)[:FRAMES]
    for number in range(FRAMES):
        files.write_atomically(
            root / f"video/frames/{number:05d}.jpg", files.encode_jpeg(image(ids[number]), 90, "4:4:4")
        )
        files.write_atomically(root / f"video/masks/{number:05d}.png", masks.encode_mask(ids[number]))
    with av.open(str(root / "video/film.mp4"), "w") as film:
        stream = film.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(FRAMES):
            for packet in stream.encode(av.VideoFrame.from_ndarray(image(ids[number]), format="rgb24")):
                film.mux(packet)
        for packet in stream.encode():
            film.mux(packet)
    shutil.copytree(root / "data/Annotations", root / "predicted")


def write_texts(root: Path) -> None:
    """Configurations, lists, scripts and logs."""
    recipe = Path("render_configs/bl30k.yaml").resolve()
    texts = {
        "base.yaml": f"extends: {recipe}\nvideo: {{frames: 8, width: 96, height: 64}}\n",
        "child.yaml": "extends: base.yaml\nrender: {samples: 4}\n",
        "slurm.yaml": f"extends: {Path('slurm/cpu.yaml').resolve()}\npartition: short\n",
        "stage.yaml": STAGE,
        "recipe.yaml": "about: one stage\nsteps:\n  - stage: s2m/static\n",
        "table.yaml": TABLE,
        "indices.txt": "0\n1\n",
        "names.txt": "a00000\na00002\n",
        "keywords.txt": "bark\nsand\n",
        "urls.txt": "http://127.0.0.1:9/a.jpg\nhttp://127.0.0.1:9/b.jpg\n",
    }
    for name, text in texts.items():
        (root / name).write_text(text)
    stroke = {"do": "brush", "frame": 0, "object": 1, "path": [[0.2, 0.3], [0.4, 0.5]]}
    first = {"do": "mask", "frame": 0, "file": "video/masks/00000.png"}
    script = {"objects": [1, 2, 3], "actions": [first, stroke]}
    (root / "script.json").write_text(json.dumps(script, indent=1))
    scribbles = [[{"path": [[0.2, 0.3], [0.4, 0.5]], "object_id": 1, "start_time": 0, "end_time": 1}]]
    scribbles += [[] for _ in range(FRAMES - 1)]
    (root / "scribbles.json").write_text(
        json.dumps({"scribbles": scribbles, "sequence": "frames", "annotated_frame": 0})
    )
    scribbled = {"objects": [1], "actions": [{"do": "scribbles", "file": "scribbles.json"}]}
    (root / "scribbled.json").write_text(json.dumps(scribbled))
    saving = {"objects": [1, 2, 3], "actions": [first, {"do": "save", "file": "session.npz"}]}
    (root / "saving.json").write_text(json.dumps(saving))
    loading = {"objects": [1, 2, 3], "actions": [{"do": "load", "file": "session.npz"}]}
    (root / "loading.json").write_text(json.dumps(loading))
    log = [
        {"user": "u1", "video": "frames", "method": "ours"},
        {"event": "interact", "start": 0.0, "end": 4.5, "frame": 1},
        {"event": "compute", "start": 4.5, "end": 6.0, "round": 1, "iou": 0.8},
    ]
    (root / "logs").mkdir()
    (root / "logs/u1.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log))


def write_training(root: Path) -> None:
    """Still images, and the same as LVIS lists them."""
    write_stills(root / "static")
    (root / "lvis").mkdir()
    images, annotations = [], []
    for number in range(STILLS):
        shutil.copy(root / f"static/{number}.jpg", root / "lvis")
        images.append({"id": number, "file_name": f"{number}.jpg", "height": 96, "width": 96})
        shape = {"segmentation": [[16, 16, 72, 16, 72, 72, 16, 72]], "area": 3136.0, "iscrowd": 0}
        annotations.append({"id": number, "image_id": number, "category_id": 1, **shape})
    (root / "lvis/lvis.json").write_text(json.dumps({"images": images, "annotations": annotations}))


def write_stills(folder: Path) -> None:
    """Images of a disc, with masks."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for number in range(STILLS):
        y, x = np.mgrid[:96, :96]
        inside = np.hypot(y - 48, x - 40 - 4 * number) < 24
        rgb = np.where(inside[..., None], (200, 60, 60), rng.integers(0, 90, (96, 96, 3))).astype(np.uint8)
        Image.fromarray(rgb).save(folder / f"{number}.jpg")
        Image.fromarray(inside.astype(np.uint8) * 255).save(folder / f"{number}.png")
