"""Load thousands of randomly damaged models and images: none may crash, hang, or open files outside its folder.

    python -m benchmarks.faults.fuzz_assets --count 3000 --results docs/results/fuzz_assets.md

Small valid files of every format are changed at random, with a seed: bits flipped, parts removed or repeated, numbers
and file names replaced. Each is measured as `assets index` does, in this process, and loaded as `assets check` does,
in a child process that records every file it opens outside the asset's folder.
"""

import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.page import command, parser_of, publish, table
from bl30k_gen.config import Limits
from bl30k_gen.errors import run_entry_point
from bl30k_gen.library.asset import AssetKind
from bl30k_gen.library.catalogue.folder import SUFFIXES
from bl30k_gen.library.catalogue.measure import measure
from bl30k_gen.library.checking.inspector import Bounds, Inspector
from bl30k_gen.seeding import rng

LIMITS = Limits(max_faces=100_000, max_image_side=512, max_megapixels=4)
CHILD = (sys.executable, "-m", "benchmarks.faults.fuzz_assets", "--child")
ELSEWHERE = "BL30K_FUZZ_ELSEWHERE"  # environment variable: the file in which the child records files opened outside
INSIDE = "BL30K_FUZZ_INSIDE"  # environment variable: the folder that it may read
NAMES = [
    b"../secret.png",
    b"/etc/passwd",
    b"link.png",
    b"..\\secret.png",
    b"%2e%2e/secret.png",
    b"file:///etc/passwd",
]
NAMES += [
    b"linked/secret.png",
    b"texture.png/../../secret.png",
    b"http://127.0.0.1:9/a.png",
    b"pipe.png",
    b"\0.png",
    b".",
]
NUMBERS = [
    b"0",
    b"-1",
    b"1e309",
    b"nan",
    b"-inf",
    b"4294967295",
    b"2147483648",
    b"99999999999999999999",
    b"1e-320",
    b"0x1",
]


# --- Valid files --------------------------------------------------------------------------------------------------


def write_seeds(folder: Path) -> dict[str, list[str]]:
    """Write valid assets; the main file of each -> the files to damage, repeated by their weight in the draw."""
    import trimesh
    from PIL import Image

    pixels = rng(0, "fuzz", "picture").integers(0, 256, (6, 8, 3), dtype=np.uint8)
    for name in ("a.jpg", "a.png", "a.webp", "texture.png"):
        Image.fromarray(pixels).save(folder / name)
    Image.fromarray(pixels).save(folder / "progressive.jpg", progressive=True)
    Image.fromarray(pixels).quantize(16).save(folder / "palette.png")
    sphere = trimesh.creation.icosphere(subdivisions=1)
    uv = sphere.vertices[:, :2] * 0.5 + 0.5
    picture = Image.open(folder / "texture.png")
    mapped = trimesh.Trimesh(sphere.vertices, sphere.faces, visual=trimesh.visual.TextureVisuals(uv, image=picture))
    rows = [f"v {x} {y} {z}" for x, y, z in sphere.vertices] + [f"vt {u} {v}" for u, v in uv]
    rows += ["usemtl skin", *(f"f {a + 1}/{a + 1} {b + 1}/{b + 1} {c + 1}/{c + 1}" for a, b, c in sphere.faces)]
    (folder / "a.obj").write_text("\n".join(["mtllib a.mtl", *rows, "f 1/1 2/2 3/3 4/4 5/5", ""]))
    (folder / "a.mtl").write_text("newmtl skin\nKd 0.5 0.5 0.5\nNs 90\nmap_Kd -s 1 1 1 texture.png\n")
    mapped.export(folder / "a.glb")
    for name, data in trimesh.Scene(mapped).export(file_type="gltf").items():
        (folder / name).write_bytes(data)
    (folder / "a.stl").write_bytes(sphere.export(file_type="stl"))
    (folder / "ascii.stl").write_text(sphere.export(file_type="stl_ascii"))
    (folder / "a.ply").write_bytes(sphere.export(file_type="ply"))
    ascii_ply = trimesh.exchange.ply.export_ply(sphere, encoding="ascii")
    (folder / "ascii.ply").write_bytes(ascii_ply.replace(b"1.0\n", b"1.0\ncomment TextureFile texture.png\n", 1))
    referred = sorted(p.name for p in folder.iterdir() if p.suffix == ".bin") + ["texture.png"]
    single = ["a.glb", "a.stl", "ascii.stl", "a.ply", "a.jpg", "progressive.jpg", "a.png", "palette.png", "a.webp"]
    return {
        "a.obj": ["a.obj", "a.obj", "a.mtl", "texture.png"],
        "model.gltf": ["model.gltf", "model.gltf", *referred],
        "ascii.ply": ["ascii.ply", "ascii.ply", "texture.png"],
    } | {name: [name] for name in single}


def write_traps(folder: Path) -> None:
    """Write a file outside the asset's folder, links to it, and a pipe."""
    (folder.parent / "secret.png").write_bytes((folder / "texture.png").read_bytes())
    os.symlink(folder.parent / "secret.png", folder / "link.png")
    os.symlink(folder.parent, folder / "linked")
    os.mkfifo(folder / "pipe.png")


# --- Damage -------------------------------------------------------------------------------------------------------


def damage(data: bytes, generator: np.random.Generator) -> bytes:
    """A copy with one to three random changes."""
    for _ in range(int(generator.integers(1, 4))):
        data = CHANGES[int(generator.integers(len(CHANGES)))](data or b"\0", generator)
    return data


def _flip(data: bytes, generator: np.random.Generator) -> bytes:
    changed = bytearray(data)
    for _ in range(int(generator.integers(1, 9))):
        changed[int(generator.integers(len(changed)))] ^= 1 << int(generator.integers(8))
    return bytes(changed)


def _extreme(data: bytes, generator: np.random.Generator) -> bytes:
    """Replace four bytes by those of a large, negative or special number."""
    at = int(generator.integers(len(data)))
    word = (b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\0", b"\0\0\xc0\x7f", b"\0\0\0\x80")[
        generator.integers(5)
    ]
    return data[:at] + word + data[at + 4 :]


def _cut(data: bytes, generator: np.random.Generator) -> bytes:
    return data[: int(generator.integers(len(data)))]


def _remove(data: bytes, generator: np.random.Generator) -> bytes:
    start, end = sorted(int(i) for i in generator.integers(len(data), size=2))
    return data[:start] + data[min(end, start + 64) :]


def _repeat(data: bytes, generator: np.random.Generator) -> bytes:
    start, end = sorted(int(i) for i in generator.integers(len(data), size=2))
    return data[:end] + data[start:end] * int(generator.integers(1, 4)) + data[end:]


def _number(data: bytes, generator: np.random.Generator) -> bytes:
    return _replace_one(data, rb"-?\d+(?:\.\d+)?", NUMBERS, generator)


def _name(data: bytes, generator: np.random.Generator) -> bytes:
    return _replace_one(data, rb"[\w-]+\.(?:png|mtl|bin|jpg)", NAMES, generator)


def _replace_one(data: bytes, pattern: bytes, words: list[bytes], generator: np.random.Generator) -> bytes:
    found = [match.span() for match in re.finditer(pattern, data)]
    if not found:
        return _flip(data, generator)
    start, end = found[int(generator.integers(len(found)))]
    return data[:start] + words[int(generator.integers(len(words)))] + data[end:]


CHANGES = (_flip, _flip, _extreme, _extreme, _cut, _remove, _repeat, _number, _number, _name, _name)


# --- The campaign -------------------------------------------------------------------------------------------------


@dataclass
class Result:
    counts: dict[str, Counter] = field(default_factory=dict)  # suffix -> loaded, refused, fatal
    fatal: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)  # files opened outside the asset's folder
    children: int = 0

    @property
    def ok(self) -> bool:
        return not self.fatal and not self.elsewhere


def campaign(count: int, seed: int, scratch: Path, bounds: Bounds) -> Iterator[Result]:
    """Damage and load ``count`` assets; yields the same growing result after each."""
    folder = scratch / "outside" / "asset"
    folder.mkdir(parents=True)
    seeds = write_seeds(folder)
    write_traps(folder)
    valid = {name: (folder / name).read_bytes() for names in seeds.values() for name in names}
    notes = scratch / "elsewhere.txt"
    notes.touch()
    os.environ[ELSEWHERE], os.environ[INSIDE] = str(notes), str(folder)
    result = Result()
    with Inspector(bounds, CHILD) as inspector:
        for main in seeds:
            if reason := inspector.examine(str(folder / main), _kind(main), LIMITS).refused:
                raise AssertionError(f"an undamaged asset was refused: {reason}")
        for number in range(count):
            generator = rng(seed, "fuzz", number)
            main = list(seeds)[number % len(seeds)]
            damaged = seeds[main][int(generator.integers(len(seeds[main])))]
            (folder / damaged).write_bytes(damage(valid[damaged], generator))
            measure(str(folder / main))
            health = inspector.examine(str(folder / main), _kind(main), LIMITS)
            verdict = "fatal" if health.fatal else "refused" if health.refused else "loaded"
            result.counts.setdefault(Path(damaged).suffix, Counter())[verdict] += 1
            if health.fatal:
                result.fatal.append(f"mutation {number} of seed {seed}, {damaged}: {health.refused}")
            (folder / damaged).write_bytes(valid[damaged])
            result.children = inspector.started
            yield result
    result.elsewhere += notes.read_text().splitlines()
    yield result


def _kind(name: str) -> AssetKind:
    return "model" if name.endswith(SUFFIXES["model"]) else "texture"


def child() -> None:
    """The process of ``assets check``, with an audit hook that records every file opened outside the folder."""
    from bl30k_gen.library.checking import health

    health.load_image(str(Path(os.environ[INSIDE], "a.png")), "texture", LIMITS)  # so that lazy imports are done
    inside = os.path.realpath(os.environ[INSIDE])
    record = os.open(os.environ[ELSEWHERE], os.O_WRONLY | os.O_APPEND)

    def watch(event: str, arguments: tuple) -> None:
        if event == "open" and isinstance(arguments[0], (str, bytes)):
            path = os.fsdecode(arguments[0])
            code = path.endswith((".py", ".pyc", ".so")) or path.startswith("/proc/")
            if not code and not (os.path.realpath(path) + os.sep).startswith(inside + os.sep):
                os.write(record, f"{path}\n".encode())

    sys.addaudithook(watch)
    sys.argv.remove("--child")
    health.main()


def page(result: Result, count: int) -> str:
    rows = []
    for suffix, verdicts in sorted(result.counts.items()):
        numbers = (sum(verdicts.values()), *(verdicts[v] for v in ("loaded", "refused", "fatal")))
        rows.append([suffix, *map(str, numbers)])
    columns = ("Damaged file", "Mutations", "Loaded all the same", "Refused with a reason", "Crashed or hung")
    return f"""# Damaged assets

`{command()}`

{table(columns, rows)}

{count} mutations, {len(result.elsewhere)} files opened outside the asset's folder,
{result.children} child processes."""


def main() -> None:
    if "--child" in sys.argv:
        return child()
    parser = parser_of(__doc__)
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    from tqdm import tqdm

    with tempfile.TemporaryDirectory() as scratch:
        steps = campaign(arguments.count, arguments.seed, Path(scratch), Bounds(seconds=60, memory_gb=4))
        *_, result = tqdm(steps, total=arguments.count + 1)
    publish(page(result, arguments.count), arguments.results)
    print("\n".join([*result.fatal, *result.elsewhere]))
    sys.exit(0 if result.ok else 1)


if __name__ == "__main__":
    run_entry_point(main)
