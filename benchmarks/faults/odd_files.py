"""What makes a sound file strange: one function for each way, chosen by the kind of the file.

A way takes the path of a sound file and changes it, or puts something else in its place. What it leaves is *broken*
where no reader could make sense of it, *sound* where it means what it meant before, and *open* where that depends.
"""

import io
import json
import os
import random
import shutil
import socket
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from PIL import Image

from benchmarks.faults.fuzz_assets import damage

Meaning = Literal["broken", "sound", "open"]
Change = Callable[[Path, random.Random], None]

TEXT, JSON, LINES, YAML, PICTURE, MASK = "text", "json", "lines", "yaml", "picture", "mask"
TAR, HDF5, VIDEO, NPZ, WEIGHTS = "tar", "hdf5", "video", "npz", "weights"
OBJ, MTL, GLTF, GLB, PLY, STL = "obj", "mtl", "gltf", "glb", "ply", "stl"
MESHES = (OBJ, MTL, GLTF, GLB, PLY, STL)
TEXTS = (TEXT, JSON, LINES, YAML, OBJ, MTL, GLTF)
PICTURES = (PICTURE, MASK)
BINARIES = (*PICTURES, TAR, HDF5, VIDEO, NPZ, WEIGHTS, GLB, PLY, STL)
ALL = (*TEXTS, *BINARIES)
ESCAPE = "\x1b[31mred\x1b[0m\x07"


@dataclass(frozen=True)
class Way:
    """Of making a file strange. often: how many different files it makes of one."""

    name: str
    kinds: tuple[str, ...]
    meaning: Meaning
    change: Change
    often: int = 1


WAYS: list[Way] = []


def way(kinds: tuple[str, ...], meaning: Meaning, often: int = 1) -> Callable[[Change], Change]:
    def add(change: Change) -> Change:
        WAYS.append(Way(change.__name__.replace("_", " "), kinds, meaning, change, often))
        return change

    return add


def ways_for(kind: str) -> Iterator[Way]:
    for each in WAYS:
        if kind in each.kinds:
            yield from [each] * each.often


SOUND = Way("nothing", ALL, "sound", lambda path, rng: None)
"""As it was: the commands work on what is sound."""


# --- What is no file, or no content -------------------------------------------------------------------------------


def _instead(path: Path) -> Path:
    path.unlink()
    return path


@way(ALL, "broken")
def pipe(path: Path, rng: random.Random) -> None:
    os.mkfifo(_instead(path))


@way(ALL, "broken")
def endless_device(path: Path, rng: random.Random) -> None:
    _instead(path).symlink_to("/dev/zero")


@way(ALL, "broken")
def terminal_device(path: Path, rng: random.Random) -> None:
    _instead(path).symlink_to("/dev/ptmx")


@way(ALL, "broken")
def socket_file(path: Path, rng: random.Random) -> None:
    here = os.getcwd()
    os.chdir(_instead(path).parent)  # the path of a socket may not be long
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(path.name)
    finally:
        os.chdir(here)


@way(ALL, "broken")
def folder(path: Path, rng: random.Random) -> None:
    _instead(path).mkdir()


@way(ALL, "broken")
def dangling_link(path: Path, rng: random.Random) -> None:
    _instead(path).symlink_to("nowhere")


@way(ALL, "broken")
def link_to_itself(path: Path, rng: random.Random) -> None:
    _instead(path).symlink_to(path.name)


@way(ALL, "open")
def empty(path: Path, rng: random.Random) -> None:
    path.write_bytes(b"")


@way(ALL, "open", often=2)
def cut_off(path: Path, rng: random.Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: rng.randrange(1, max(2, len(data)))])


@way(ALL, "open")
def noise(path: Path, rng: random.Random) -> None:
    path.write_bytes(rng.randbytes(4096))


@way(ALL, "open")
def zeros(path: Path, rng: random.Random) -> None:
    path.write_bytes(bytes(path.stat().st_size))


@way(ALL, "broken")
def a_terabyte_of_nothing(path: Path, rng: random.Random) -> None:
    os.truncate(path, 1 << 40)


@way(ALL, "open", often=3)
def damaged(path: Path, rng: random.Random) -> None:
    path.write_bytes(damage(path.read_bytes(), np.random.default_rng(rng.getrandbits(32))))


@way((*BINARIES, JSON, LINES, YAML), "open")
def a_page_of_html(path: Path, rng: random.Random) -> None:
    path.write_bytes(b"<!DOCTYPE html>\n<html><body><h1>404 Not Found</h1></body></html>\n")


@way((*BINARIES, JSON, LINES, YAML), "open")
def a_pointer_of_git_lfs(path: Path, rng: random.Random) -> None:
    path.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 1234\n")


@way(ALL, "open")
def a_zip_archive(path: Path, rng: random.Random) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../evil", b"x")


# --- Text ---------------------------------------------------------------------------------------------------------


@way(TEXTS, "sound")
def byte_order_mark(path: Path, rng: random.Random) -> None:
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())


@way(TEXTS, "sound")
def lines_of_another_system(path: Path, rng: random.Random) -> None:
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))


@way(TEXTS, "open")
def sixteen_bits(path: Path, rng: random.Random) -> None:
    path.write_bytes(path.read_text(encoding="utf-8").encode("utf-16"))


@way(TEXTS, "open")
def latin_letters(path: Path, rng: random.Random) -> None:
    path.write_bytes(path.read_bytes() + "\n# Größe \xe9\n".encode("latin-1"))


@way(TEXTS, "open")
def escape_sequences(path: Path, rng: random.Random) -> None:
    lines = path.read_text(encoding="utf-8").split("\n")
    at = rng.randrange(len(lines))
    lines[at] = lines[at][: len(lines[at]) // 2] + ESCAPE + lines[at][len(lines[at]) // 2 :]
    path.write_text("\n".join(lines), encoding="utf-8")


@way(TEXTS, "open")
def one_long_line(path: Path, rng: random.Random) -> None:
    path.write_bytes(path.read_bytes().rstrip(b"\n") + b"a" * (1 << 22))


@way(TEXTS, "open")
def a_zero_byte(path: Path, rng: random.Random) -> None:
    path.write_bytes(path.read_bytes() + b"a\0b\n")


@way(TEXTS, "open")
def every_line_twice(path: Path, rng: random.Random) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(line + line for line in lines))


@way((TEXT,), "open")
def names_that_lead_away(path: Path, rng: random.Random) -> None:
    names = ["../../etc/passwd", "/etc/passwd", "..", ".", "", " ", "a/b", "file:///etc/passwd", "C:\\x", "a" * 5000]
    path.write_text("\n".join(names))


@way((TEXT,), "open")
def odd_numbers(path: Path, rng: random.Random) -> None:
    path.write_text("-1\n1e9\n٣\n99999999999999999999\n0x10\n1.5\nnan\n")


# --- Values in JSON and YAML --------------------------------------------------------------------------------------

ODD_VALUES: list[Any] = [
    None,
    "",
    ESCAPE,
    "../../etc/passwd",
    "a\nb",
    -1,
    0,
    1 << 70,
    1e300,
    True,
    [],
    {},
    [[]],
    "x" * 70_000,
]
ODD_VALUES += [float("nan"), float("inf"), {"a": {"b": []}}, "ü\ud800", 2**31, 1.5, [1, 2, 3], "\0"]


def _places(value: Any, path: tuple = ()) -> Iterator[tuple]:
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from _places(inner, (*path, key))


def _holder(value: Any, path: tuple) -> Any:
    for key in path[:-1]:
        value = value[key]
    return value


def _changed(value: Any, rng: random.Random) -> Any:
    """A copy with an odd value in it, or without one that was there."""
    places = list(_places(value))
    depth = rng.choice(sorted({len(place) for place in places}))  # or nearly all were deep inside lists
    place = rng.choice([place for place in places if len(place) == depth])
    holder = _holder(value, place)
    if rng.random() < 0.25:
        del holder[place[-1]]
    else:
        holder[place[-1]] = rng.choice(ODD_VALUES)
    return value


@way((JSON, GLTF), "open", often=8)
def an_odd_value(path: Path, rng: random.Random) -> None:
    path.write_text(json.dumps(_changed(json.loads(path.read_text()), rng), indent=1))


@way((LINES,), "open", often=8)
def an_odd_value_in_a_line(path: Path, rng: random.Random) -> None:
    lines = path.read_text().splitlines()
    at = rng.randrange(len(lines))
    lines[at] = json.dumps(_changed(json.loads(lines[at]), rng))
    path.write_text("\n".join([*lines, ""]))


@way((YAML,), "open", often=8)
def an_odd_value_of_yaml(path: Path, rng: random.Random) -> None:
    path.write_text(yaml.safe_dump(_changed(yaml.safe_load(path.read_text()), rng), allow_unicode=True))


@way((JSON, GLTF), "broken", often=2)
def another_type(path: Path, rng: random.Random) -> None:
    path.write_text(rng.choice(["null", "[]", "3", '"text"', "[{}]", "true", "1e999", "{} {}"]))


@way((JSON, LINES, GLTF), "open")
def deep_nesting(path: Path, rng: random.Random) -> None:
    path.write_text('{"a":' * 200_000 + "1" + "}" * 200_000 + "\n")


@way((JSON, GLTF), "open")
def a_key_twice(path: Path, rng: random.Random) -> None:
    text = path.read_text()
    key = next(iter(json.loads(text)))
    path.write_text(text.replace("{", f'{{"{key}": 7, ', 1))


@way((JSON, GLTF), "open")
def a_number_of_a_million_digits(path: Path, rng: random.Random) -> None:
    path.write_text(path.read_text().replace("{", '{"extra": ' + "9" * 1_000_000 + ", ", 1))


@way((LINES,), "open")
def lines_of_other_types(path: Path, rng: random.Random) -> None:
    path.write_text(path.read_text() + 'null\n[]\n3\n"x"\n{}\n{"event": []}\n{"iteration": {}}\nNaN\n')


@way((YAML,), "broken", often=6)
def odd_yaml(path: Path, rng: random.Random) -> None:
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))
    texts = [bomb, "a: !!python/object/apply:os.system [touch evil]\n", "a: 2026-13-45\n", f"a: {'9' * 5000}\n"]
    texts += [
        "a: !!int abc\n",
        "a: &a [*a]\n",
        "\ta: 1\n",
        "a: 1\na: 2\n",
        "[" * 50_000,
        "--- 1\n--- 2\n",
        "? [a]\n: 1\n",
    ]
    texts += [
        "<<: [1, 2]\n",
        "a: !!binary '*'\n",
        "text\n",
        "a: *nothing\n",
        "%YAML 9.9\n---\na: 1\n",
        "a: !!timestamp x\n",
    ]
    path.write_text(rng.choice(texts))


@way((YAML,), "broken", often=2)
def odd_extends(path: Path, rng: random.Random) -> None:
    bases = [path.name, "nosuch.yaml", "/dev/zero", "..", "[a, b]", "'a\0b'", '"\\e[31m.yaml"', "3", "/proc/self/mem"]
    path.write_text(f"extends: {rng.choice(bases)}\n")


# --- Archives, weights --------------------------------------------------------------------------------------------


@way((TAR,), "open", often=8)
def odd_members(path: Path, rng: random.Random) -> None:
    kept = []
    with tarfile.open(path) as archive:
        for member in archive.getmembers():
            kept.append((member, archive.extractfile(member).read() if member.isfile() else b""))  # type: ignore[union-attr]
    kind = rng.choice(["parent", "absolute", "link", "hard", "device", "pipe", "twice", "name", "large", "escape"])
    odd = tarfile.TarInfo("JPEGImages/a00001/00008.jpg")
    types = {"link": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE, "device": tarfile.CHRTYPE, "pipe": tarfile.FIFOTYPE}
    odd.type, odd.linkname = types.get(kind, tarfile.REGTYPE), "/etc/passwd"
    names = {"parent": "JPEGImages/../../evil/00000.jpg", "absolute": "/tmp/evil.jpg", "twice": kept[-1][0].name}
    names |= {"escape": f"JPEGImages/{ESCAPE}/00000.jpg", "name": f"Metadata/{'x' * 300}.json", "large": "x" * 5000}
    odd.name = names.get(kind, odd.name)
    with tarfile.open(path, "w") as archive:
        for member, data in [*kept, (odd, b"")]:
            archive.addfile(member, io.BytesIO(data))


@way((TAR,), "broken")
def packed_by_gzip(path: Path, rng: random.Random) -> None:
    data = path.read_bytes()
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("x")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))


@way((TAR,), "open")
def members_of_huge_size(path: Path, rng: random.Random) -> None:
    member = tarfile.TarInfo("JPEGImages/a00000/00000.jpg")
    member.size = 1 << 60
    path.write_bytes(member.tobuf(tarfile.GNU_FORMAT) + path.read_bytes())


@way((HDF5,), "open", often=5)
def odd_groups(path: Path, rng: random.Random) -> None:
    import h5py

    with h5py.File(path, "a") as file:
        kind = rng.choice(["soft", "loop", "external", "type", "shape", "nested", "name", "empty"])
        frames = file["JPEGImages/a00001"]
        if kind == "soft":
            frames["00008.jpg"] = h5py.SoftLink("/nowhere")
        elif kind == "loop":
            frames["loop"] = h5py.SoftLink("/JPEGImages")
        elif kind == "external":
            frames["00008.jpg"] = h5py.ExternalLink("/etc/passwd", "/x")
        elif kind in ("type", "shape"):
            del frames["00003.jpg"]
            frames["00003.jpg"] = np.zeros(4) if kind == "type" else np.zeros((4, 4, 4), np.uint8)
        elif kind == "nested":
            for _ in range(1000):
                frames = frames.create_group("n")
        else:
            file.create_group(f"JPEGImages/{ESCAPE if kind == 'name' else 'a00009'}")


@way((WEIGHTS,), "broken", often=6)
def odd_weights(path: Path, rng: random.Random) -> None:
    import torch

    nan = torch.load(path, map_location="cpu", weights_only=True)
    for value in nan.get("weights", nan.get("network", nan)).values():
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            value.fill_(float("nan"))
    choices: list[Any] = [nan, {}, [], torch.zeros(3), {"a": torch.zeros(3)}, "text", {"format": ESCAPE}, 3]
    choices += [{f"{ESCAPE}{n}": torch.zeros(1) for n in range(3)}, {1: torch.zeros(2)}, {"network": {"a": 1}}]
    torch.save(rng.choice(choices), path)


class _Touch:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("evil",)


@way((WEIGHTS, NPZ), "broken")
def a_pickle_that_acts(path: Path, rng: random.Random) -> None:
    import pickle

    path.write_bytes(pickle.dumps(_Touch()))


@way((WEIGHTS, NPZ), "broken")
def a_pickle_that_acts_in_an_archive(path: Path, rng: random.Random) -> None:
    import torch

    if path.suffix == ".npz":
        np.savez(path, about=np.array([_Touch()], dtype=object))
    else:
        torch.save({"network": _Touch()}, path)


@way((NPZ,), "broken", often=3)
def odd_arrays(path: Path, rng: random.Random) -> None:
    arrays: list[dict[str, Any]] = [{}, {"about": np.zeros(3)}, {"about": np.frombuffer(b"{}", np.uint8)}]
    arrays += [{"about": np.frombuffer(b"[" * 99_999, np.uint8)}, {ESCAPE: np.zeros(1)}]
    np.savez(path, **rng.choice(arrays))


@way((NPZ,), "open", often=6)
def an_odd_value_in_an_archive(path: Path, rng: random.Random) -> None:
    with np.load(path) as file:
        arrays = dict(file)
    about = json.loads(arrays["about"].tobytes())
    arrays["about"] = np.frombuffer(json.dumps(_changed(about, rng)).encode(), np.uint8)
    np.savez(path, **arrays)


# --- Pictures -----------------------------------------------------------------------------------------------------


def _png(width: int, height: int, depth: int = 8, colour: int = 2, data: bytes = b"", more: bytes = b"") -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + more + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


@way(PICTURES, "open", often=3)
def a_giant_in_its_header(path: Path, rng: random.Random) -> None:
    giants = [_png(60_000, 60_000), _png(0, 0), _png(1 << 31, 1), _png(30_000, 30_000, data=bytes(1 << 24))]
    jpeg = bytes.fromhex("ffd8ffc0001108ffffffff03012200021101031101ffd9")
    webp = b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f\xff\xff\xff\x0f\0\0\0\0\0\0\0\0"
    gif = b"GIF89a\xff\xff\xff\xff\0\0\0;"
    path.write_bytes(rng.choice([*giants, jpeg, webp, gif]))


@way(PICTURES, "open", often=6)
def another_mode(path: Path, rng: random.Random) -> None:
    modes = {
        "RGBA": "PNG",
        "LA": "PNG",
        "I;16": "PNG",
        "1": "PNG",
        "P": "PNG",
        "CMYK": "JPEG",
        "F": "TIFF",
        "L": "JPEG",
    }
    mode = rng.choice(list(modes))
    with Image.open(path) as image:
        grey = image.convert("RGB").convert("L")
        changed = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257) if mode == "I;16" else grey.convert(mode)
    changed.save(path, modes[mode])


@way(PICTURES, "open", often=3)
def another_size(path: Path, rng: random.Random) -> None:
    with Image.open(path) as image:
        changed = image.resize(rng.choice([(1, 1), (3000, 2), (33, 97), (2, 3000)]))
        form = image.format
    changed.save(path, form)


@way(PICTURES, "open", often=4)
def another_format(path: Path, rng: random.Random) -> None:
    form = rng.choice(["GIF", "BMP", "TIFF", "WEBP", "PPM", "ICO", "JPEG2000", "PNG", "JPEG", "PCX"])
    with Image.open(path) as image:
        image.convert("RGB").save(path, form)


@way(PICTURES, "open", often=2)
def text_that_is_no_picture(path: Path, rng: random.Random) -> None:
    svg = b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>"
    path.write_bytes(
        rng.choice([svg, b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 8 +X 8\n", b"\x76\x2f\x31\x01\x02\0\0\0"])
    )


@way(PICTURES, "open")
def turned_by_its_camera(path: Path, rng: random.Random) -> None:
    with Image.open(path) as image:
        exif = image.getexif()
        exif[0x0112] = 6
        image.convert("RGB").save(path, "JPEG" if path.suffix == ".jpg" else "PNG", exif=exif)


@way(PICTURES, "open")
def megabytes_of_text_chunks(path: Path, rng: random.Random) -> None:
    bomb = b"comment\0\0" + zlib.compress(bytes(100 << 20))
    chunk = struct.pack(">I", len(bomb)) + b"zTXt" + bomb + struct.pack(">I", zlib.crc32(b"zTXt" + bomb))
    path.write_bytes(_png(96, 64, data=bytes(64 * (1 + 3 * 96)), more=chunk * 4))


@way((MASK,), "open", often=3)
def masks_of_many_shades(path: Path, rng: random.Random) -> None:
    with Image.open(path) as image:
        width, height = image.size
    y, x = np.mgrid[:height, :width]
    shades = [x * 255 // width, (x + y) % 256, np.full((height, width), 255), np.zeros((height, width))]
    Image.fromarray(rng.choice(shades).astype(np.uint8)).save(path, "PNG")


# --- Meshes, videos -----------------------------------------------------------------------------------------------


@way((OBJ,), "open", often=6)
def odd_faces(path: Path, rng: random.Random) -> None:
    lines = [
        "f 1 2 99999999999",
        "f -1 -2 -9999",
        "f 0 0 0",
        "f 1/1/1/1 2 3",
        "f nan 1 2",
        "v nan nan nan",
        "v 1e308 1e308 1e308",
    ]
    lines += [
        "f " + "1 2 3 " * 100_000,
        "mtllib ../../../etc/passwd",
        "usemtl " + ESCAPE,
        "v",
        "call /etc/passwd",
        "f",
    ]
    lines += [
        "mtllib " + "x" * 5000,
        "curv 0 1 1 2 3",
        "o " + ESCAPE + "\nf 1 1 1",
        "f 1.5 2.5 3.5",
        "v 1 2 3 4 5 6 7 8 9",
    ]
    path.write_text(path.read_text() + rng.choice(lines) + "\n")


@way((MTL,), "open", often=4)
def odd_materials(path: Path, rng: random.Random) -> None:
    lines = [
        "map_Kd /etc/passwd",
        "map_Kd ../../secret.png",
        "map_Kd " + ESCAPE,
        "map_Kd -bm",
        "Kd nan nan nan",
        "newmtl",
    ]
    lines += [
        "map_Kd -s 1e308 1e308 1e308 texture.png",
        "Kd 1",
        "map_Kd -clamp on a.mtl",
        "map_Kd .",
        "d -5",
        "Ns " + "9" * 999,
    ]
    path.write_text(path.read_text() + rng.choice(lines) + "\n")


@way((PLY, STL, GLB), "open", often=3)
def a_count_of_billions(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    if path.suffix == ".ply":
        data = bytearray(data.replace(b"element vertex ", b"element vertex 4000000000", 1))
    elif path.suffix == ".stl":
        data[80:84] = b"\xff\xff\xff\xff"
    else:
        at = rng.choice([8, 12, 16])
        data[at : at + 4] = b"\xff\xff\xff\x7f"
    path.write_bytes(data)


@way((VIDEO,), "broken")
def sound_alone(path: Path, rng: random.Random) -> None:
    import wave

    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 800, "NONE", ""))
        file.writeframes(bytes(1600))


@way((VIDEO,), "open")
def a_list_of_other_files(path: Path, rng: random.Random) -> None:
    path.write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n/etc/passwd\n#EXTINF:10,\nhttp://127.0.0.1:9/a.ts\n"
    )


@way((VIDEO,), "open")
def a_still_picture(path: Path, rng: random.Random) -> None:
    Image.new("RGB", (96, 64)).save(path, "PNG")


@way((PICTURE, MASK, VIDEO, TEXT, JSON, YAML), "open")
def another_files_content(path: Path, rng: random.Random) -> None:
    shutil.copyfile(rng.choice(["/bin/sh", "/etc/passwd", __file__]), path)
