"""Corruptions of meshes and materials: indices, counts, references to other files."""

import random
from pathlib import Path

from benchmarks.faults.odd_files.registry import ESCAPE, GLB, MTL, OBJ, PLY, STL, corruption


@corruption((OBJ,), "either", variants=6)
def odd_faces(path: Path, rng: random.Random) -> None:
    lines = [
        "f 1 2 99999999999",
        "f -1 -2 -9999",
        "f 0 0 0",
        "f 1/1/1/1 2 3",
        "f nan 1 2",
        "v nan nan nan",
        "v 1e308 1e308 1e308",
        "f " + "1 2 3 " * 100_000,
        "mtllib ../../../etc/passwd",
        "usemtl " + ESCAPE,
        "v",
        "call /etc/passwd",
        "f",
        "mtllib " + "x" * 5000,
        "curv 0 1 1 2 3",
        "o " + ESCAPE + "\nf 1 1 1",
        "f 1.5 2.5 3.5",
        "v 1 2 3 4 5 6 7 8 9",
    ]
    path.write_text(path.read_text() + rng.choice(lines) + "\n")


@corruption((MTL,), "either", variants=4)
def odd_materials(path: Path, rng: random.Random) -> None:
    lines = [
        "map_Kd /etc/passwd",
        "map_Kd ../../secret.png",
        "map_Kd " + ESCAPE,
        "map_Kd -bm",
        "Kd nan nan nan",
        "newmtl",
        "map_Kd -s 1e308 1e308 1e308 texture.png",
        "Kd 1",
        "map_Kd -clamp on a.mtl",
        "map_Kd .",
        "d -5",
        "Ns " + "9" * 999,
    ]
    path.write_text(path.read_text() + rng.choice(lines) + "\n")


@corruption((PLY, STL, GLB), "either", variants=3)
def billions_in_the_header(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    if path.suffix == ".ply":
        data = bytearray(data.replace(b"element vertex ", b"element vertex 4000000000", 1))
    elif path.suffix == ".stl":
        data[80:84] = b"\xff\xff\xff\xff"
    else:
        at = rng.choice([8, 12, 16])
        data[at : at + 4] = b"\xff\xff\xff\x7f"
    path.write_bytes(data)
