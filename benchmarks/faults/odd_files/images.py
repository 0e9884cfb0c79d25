"""Corruptions of images and masks: modes, sizes, formats, headers and metadata chunks."""

import random
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.faults.odd_files.registry import IMAGES, MASK, corruption


def _png(width: int, height: int, depth: int = 8, colour: int = 2, data: bytes = b"", extra: bytes = b"") -> bytes:
    """A PNG whose header claims a size. data: pixels, not yet compressed; extra: chunks before the pixels."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + extra + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


@corruption(IMAGES, "either", variants=3)
def huge_size_in_the_header(path: Path, rng: random.Random) -> None:
    sizes = [_png(60_000, 60_000), _png(0, 0), _png(1 << 31, 1), _png(30_000, 30_000, data=bytes(1 << 24))]
    jpeg = bytes.fromhex("ffd8ffc0001108ffffffff03012200021101031101ffd9")
    webp = b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f\xff\xff\xff\x0f\0\0\0\0\0\0\0\0"
    gif = b"GIF89a\xff\xff\xff\xff\0\0\0;"
    path.write_bytes(rng.choice([*sizes, jpeg, webp, gif]))


@corruption(IMAGES, "either", variants=6)
def other_mode(path: Path, rng: random.Random) -> None:
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


@corruption(IMAGES, "either", variants=3)
def other_size(path: Path, rng: random.Random) -> None:
    with Image.open(path) as image:
        changed = image.resize(rng.choice([(1, 1), (3000, 2), (33, 97), (2, 3000)]))
        file_format = image.format
    changed.save(path, file_format)


@corruption(IMAGES, "either", variants=4)
def other_format(path: Path, rng: random.Random) -> None:
    file_format = rng.choice(["GIF", "BMP", "TIFF", "WEBP", "PPM", "ICO", "JPEG2000", "PNG", "JPEG", "PCX"])
    with Image.open(path) as image:
        image.convert("RGB").save(path, file_format)


@corruption(IMAGES, "either", variants=2)
def text_instead_of_an_image(path: Path, rng: random.Random) -> None:
    svg = b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>"
    path.write_bytes(
        rng.choice([svg, b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 8 +X 8\n", b"\x76\x2f\x31\x01\x02\0\0\0"])
    )


@corruption(IMAGES, "either")
def exif_orientation(path: Path, rng: random.Random) -> None:
    with Image.open(path) as image:
        exif = image.getexif()
        exif[0x0112] = 6
        image.convert("RGB").save(path, "JPEG" if path.suffix == ".jpg" else "PNG", exif=exif)


@corruption(IMAGES, "either")
def large_text_chunks(path: Path, rng: random.Random) -> None:
    bomb = b"comment\0\0" + zlib.compress(bytes(100 << 20))
    chunk = struct.pack(">I", len(bomb)) + b"zTXt" + bomb + struct.pack(">I", zlib.crc32(b"zTXt" + bomb))
    path.write_bytes(_png(96, 64, data=bytes(64 * (1 + 3 * 96)), extra=chunk * 4))


@corruption((MASK,), "either", variants=3)
def many_grey_levels(path: Path, rng: random.Random) -> None:
    with Image.open(path) as image:
        width, height = image.size
    y, x = np.mgrid[:height, :width]
    shades = [x * 255 // width, (x + y) % 256, np.full((height, width), 255), np.zeros((height, width))]
    Image.fromarray(rng.choice(shades).astype(np.uint8)).save(path, "PNG")
