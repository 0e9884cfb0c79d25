"""Write the data of benchmarks/gpu/experiment.py to a folder that is small enough to upload to a machine.

    python generate.py render --config benchmarks/learning/renders.yaml --out out/renders --count 100
    python -m benchmarks.gpu.pack out/renders DAVIS --out out/gpu_data [--limit 55] [--renders 80]

Larger videos are scaled down, rendered ones to a short side of 208 pixels and real ones to 240, and each set is
packed into a tar. ``--limit`` is in MB (10^6 bytes); a folder that is larger is an error.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

from benchmarks.learning.small import shrink
from bl30k_gen.dataset.files import replace
from bl30k_gen.dataset.pack import pack
from bl30k_gen.dataset.reader import VideoStore, open_dataset
from bl30k_gen.errors import UserError

SHORT_SIDES = {"renders": 208, "real": 240}
QUALITY, SUBSAMPLING = 80, "4:2:0"  # of scaled frames: the twelve real videos take about 25 MB


def short_side(store: VideoStore) -> int:
    return min(store.read_rgb(store.videos[0], 0).shape[:2])


def build(sources: dict[str, Path], counts: dict[str, int | None], out: Path, limit: float) -> dict[str, float]:
    """Write ``out/renders`` and ``out/real``, both by one rename; returns their MB.

    Raises:
        UserError: a source is missing or empty, ``out`` is there already, or the data are larger than the limit.
    """
    if out.exists():
        raise UserError(f"{out} is there already", "remove it, or choose another --out")
    out.parent.mkdir(parents=True, exist_ok=True)
    sizes = {}
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
        staged = Path(folder) / "data"
        for kind, path in sources.items():
            store = open_dataset(path)
            if not store.videos:
                raise UserError(f"{path} has no videos", "check the path")
            if (side := short_side(store)) < SHORT_SIDES[kind]:
                raise UserError(f"frames of {path} are {side} pixels high or wide", f"{SHORT_SIDES[kind]} are needed")
            names = store.videos[: counts[kind]]
            if side > SHORT_SIDES[kind] or len(names) < len(store.videos):
                small = Path(folder) / kind
                store = open_dataset(shrink(path, small, SHORT_SIDES[kind], QUALITY, SUBSAMPLING, names))
            print(f"{kind}: {len(names)} videos of {path}", flush=True)
            (staged / kind).mkdir(parents=True)
            pack(store, staged / kind, "tar", kind)
            sizes[kind] = sum(file.stat().st_size for file in (staged / kind).iterdir()) / 1e6
            shutil.rmtree(Path(folder) / kind, ignore_errors=True)
        if sum(sizes.values()) > limit:
            found = ", ".join(f"{kind} {size:.1f} MB" for kind, size in sizes.items())
            raise UserError(f"the data are larger than {limit:g} MB: {found}", "take fewer videos: --renders N")
        replace(staged, out)
    return sizes


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("renders", type=Path, help="rendered videos")
    parser.add_argument("davis", type=Path, help="real videos with masks")
    parser.add_argument("--out", type=Path, default=Path("out/gpu_data"))
    parser.add_argument("--limit", type=float, default=55.0, help="maximum size in MB")
    parser.add_argument("--renders", type=int, dest="count", help="number of rendered videos, the first ones")
    options = parser.parse_args(arguments)
    try:
        sizes = build(
            {"renders": options.renders, "real": options.davis},
            {"renders": options.count, "real": None},
            options.out,
            options.limit,
        )
    except UserError as error:
        parser.error(str(error))
    print(", ".join(f"{kind} {size:.1f} MB" for kind, size in sizes.items()), f"in {options.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
