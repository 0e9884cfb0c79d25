"""Copy-paste videos from renders: objects cut out of rendered frames move before built-in images, cheaply.

    python -m benchmarks.learning.cutouts out/renders --out out/cutouts --count 1024

Objects of rendered videos are cut out by their masks, and keep their colours, or get a texture under their own
shading, or a piece of a built-in image. They are moved, rotated, stretched and bent before moving backdrops.
Exposure, blur, noise and JPEG are simulated. The method is copy-paste augmentation (Ghiasi et al., CVPR 2021). A
video is a function of the renders, the seed and its number.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from bl30k_gen import builtin
from bl30k_gen.dataset import files
from bl30k_gen.dataset.layout import Layout
from bl30k_gen.dataset.masks import encode_mask
from bl30k_gen.dataset.reader import VideoStore, open_dataset
from bl30k_gen.errors import run_entry_point
from bl30k_gen.library.asset import ImageKind
from bl30k_gen.seeding import rng

WIDTH, HEIGHT, FRAMES = 256, 168, 8
MIN_PIXELS = 400
"""Area of an object in a render, below which it is not cut out."""

Random = np.random.Generator


@dataclass(frozen=True)
class Cutout:
    """An object of a rendered frame. pixels (H, W, 3) and alpha (H, W), both float32, colours 0 to 255."""

    pixels: np.ndarray
    alpha: np.ndarray


def cut_out(store: VideoStore, min_pixels: int = MIN_PIXELS) -> list[Cutout]:
    """The objects of the first and the last frame of each video that do not touch the frame's border."""
    found = []
    for name in store.videos:
        for number in (0, len(store.frames(name)) - 1):
            rgb, ids = store.read_rgb(name, number), store.read_mask(name, number).ids
            for label in np.unique(ids[ids > 0]):
                mask = (ids == label).astype(np.uint8)
                x, y, w, h = cv2.boundingRect(mask)
                inside = x > 0 and y > 0 and x + w < ids.shape[1] and y + h < ids.shape[0]
                if mask.sum() >= min_pixels and inside:
                    box = np.s_[y - 1 : y + h + 1, x - 1 : x + w + 1]
                    alpha = cv2.GaussianBlur(mask[box].astype(np.float32), (0, 0), 0.6)
                    found.append(Cutout(rgb[box].astype(np.float32), alpha))
    return found


@cache
def picture(kind: ImageKind, number: int) -> np.ndarray:
    """A built-in texture or background (H, W, 3) uint8."""
    names = builtin.names(kind)
    family, variant = names[number % len(names)]
    return builtin.find(f"builtin:{kind}/{family}/{variant}", kind)[0]()


def any_picture(random: Random, count: int) -> np.ndarray:
    """A random image (H, W, 3) uint8 of the first ``count`` backgrounds or textures of the shuffled library."""
    kind: ImageKind = "background" if random.random() < 0.5 else "texture"
    return picture(kind, int(rng(0, "shuffled", kind).permutation(len(builtin.names(kind)))[random.integers(count)]))


def piece(random: Random, height: int, width: int, count: int) -> np.ndarray:
    """A random square of a random image, resized to (height, width, 3) float32."""
    source = any_picture(random, count)
    side = random.uniform(0.15, 0.7) * min(source.shape[:2])
    top, left = (random.uniform(0, length - side) for length in source.shape[:2])
    part = source[int(top) : int(top + side), int(left) : int(left + side)]
    return cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)


def painted(random: Random, cutout: Cutout, pictures: int) -> Cutout:
    """The object with its own colours, with an image under its own shading, or with an image alone."""
    pixels, mode = cutout.pixels, random.random()
    if mode > 0.35:
        height, width = pixels.shape[:2]
        paint = piece(random, height, width, pictures)
        if mode < 0.75:
            grey = pixels.mean(-1, keepdims=True)
            level = (grey * cutout.alpha[..., None]).sum() / cutout.alpha.sum()
            paint = paint * np.clip(grey / max(level, 1), 0.3, 2)
        pixels = paint
    return Cutout(np.clip(pixels, 0, 255), cutout.alpha)


class Path2D:
    """A smooth motion: each parameter has a start, a velocity and an acceleration."""

    def __init__(self, random: Random, start: Sequence[float], speed: Sequence[float]):
        self.start, spread = np.array(start, float), np.array(speed, float)
        self.speed, self.acceleration = random.normal(0, spread), random.normal(0, spread / 4)

    def at(self, t: int) -> np.ndarray:
        return self.start + self.speed * t + self.acceleration * t * t / 2


class Flyer:
    """A moving cut-out: its path in x, y, log of the size, angle, stretch and shear; and waves that bend it."""

    def __init__(self, random: Random, cutout: Cutout):
        self.cutout = cutout
        self.size = random.uniform(0.15, 0.6) * HEIGHT / max(cutout.alpha.shape) * 1.6
        place = random.uniform(0.1, 0.9) * WIDTH, random.uniform(0.15, 0.85) * HEIGHT
        start = [*place, 0, random.uniform(-0.4, 0.4), 0, 0]
        pace = random.choice([0.3, 1, 2])
        self.path = Path2D(random, start, pace * np.array([6, 3.5, 0.04, 0.05, 0.04, 0.03]))
        self.flip = random.random() < 0.5
        self.waves = [(random.uniform(0.5, 1.5, 2), random.uniform(0, 6.28), random.normal(0, 0.5)) for _ in range(4)]
        self.depth = random.uniform(0, 0.08) * (random.random() < 0.6)

    def draw(self, canvas: np.ndarray, ids: np.ndarray, label: int, t: int) -> None:
        x, y, grow, angle, stretch, shear = self.path.at(t)
        height, width = self.cutout.alpha.shape
        scale = self.size * np.exp(grow)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrix = scale * turn @ np.array([[np.exp(stretch), shear], [0, np.exp(-stretch)]])
        inverse = np.linalg.inv(matrix)
        reach = np.abs(matrix) @ (width / 2, height / 2) * (1 + 4 * self.depth) + 2
        left, top = (max(0, int(centre - far)) for centre, far in zip((x, y), reach, strict=True))
        right, bottom = int(min(WIDTH, x + reach[0] + 1)), int(min(HEIGHT, y + reach[1] + 1))
        if left >= right or top >= bottom:
            return
        gx, gy = np.meshgrid(np.arange(left, right, dtype=np.float32), np.arange(top, bottom, dtype=np.float32))
        u = inverse[0, 0] * (gx - x) + inverse[0, 1] * (gy - y)
        v = inverse[1, 0] * (gx - x) + inverse[1, 1] * (gy - y)
        if self.flip:
            u = -u
        if self.depth:
            for number, (wave, phase, speed) in enumerate(self.waves):
                side = self.depth * max(height, width)
                shift = side * np.sin(6.28 * (wave[0] * u / width + wave[1] * v / height) + phase + speed * t)
                u, v = (u + shift, v) if number % 2 else (u, v + shift)
        u, v = (u + width / 2).astype(np.float32), (v + height / 2).astype(np.float32)
        alpha = cv2.remap(self.cutout.alpha, u, v, cv2.INTER_LINEAR)
        pixels = cv2.remap(self.cutout.pixels, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        window = np.s_[top:bottom, left:right]
        canvas[window] += alpha[..., None] * (pixels - canvas[window])
        ids[window][alpha > 0.5] = label


def backdrop(random: Random, pictures: int) -> list[np.ndarray]:
    """The frames of a camera that moves over an image, each (HEIGHT, WIDTH, 3) float32."""
    source = any_picture(random, pictures)
    zoom = random.uniform(0.9, 2.2) * max(WIDTH / source.shape[1], HEIGHT / source.shape[0])
    blur = random.choice([0, 0, 0.7, 1.5])
    moves = Path2D(random, [0.5 * source.shape[1], 0.5 * source.shape[0], np.log(zoom), 0], [8, 4, 0.01, 0.01])
    frames = []
    for t in range(FRAMES):
        x, y, grow, angle = moves.at(t)
        matrix = cv2.getRotationMatrix2D((x, y), np.degrees(angle), np.exp(grow))
        matrix[:, 2] += (WIDTH / 2 - x, HEIGHT / 2 - y)
        frame = cv2.warpAffine(
            source, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT_101
        ).astype(np.float32)
        frames.append(cv2.GaussianBlur(frame, (0, 0), blur) if blur else frame)
    return frames


def exposed(random: Random, frame: np.ndarray, blur: float, noise: float, gain: float) -> np.ndarray:
    """The frame as taken by a camera: blurred, with a random change of exposure, and with noise."""
    if blur:
        frame = cv2.GaussianBlur(frame, (0, 0), blur)
    frame = frame * gain * np.exp(random.normal(0, 0.02))
    if noise:
        frame = frame + random.standard_normal(frame.shape, np.float32) * noise
    return np.clip(frame, 0, 255).astype(np.uint8)


def make_video(cutouts: Sequence[Cutout], seed: int, number: int, pictures: int):
    """Yield RGB, ids and JPEG quality of each frame."""
    random = rng(seed, "cut-outs", number)
    frames = backdrop(random, pictures)
    flyers = []
    for _ in range(random.integers(2, 6)):
        flyers.append(Flyer(random, painted(random, cutouts[int(random.integers(len(cutouts)))], pictures)))
    if random.random() < 0.4:  # a second copy: it differs in its position alone
        flyers.append(Flyer(random, flyers[0].cutout))
    blur = random.choice([0, 0.5, 0.9])
    noise, gain, quality = random.choice([0, 2, 6]), random.uniform(0.6, 1.25), int(random.integers(55, 95))
    for t, canvas in enumerate(frames):
        ids = np.zeros((HEIGHT, WIDTH), np.uint8)
        for label, flyer in enumerate(flyers, 1):
            flyer.draw(canvas, ids, label, t)
        yield exposed(random, canvas, blur, noise, gain), ids, quality


def make(renders: Path, out: Path, count: int, seed: int = 0, pictures: int = 40) -> Path:
    """Write a dataset of ``count`` videos, by rename; returns ``out``, which is kept if it exists.

    Args:
        pictures: number of built-in images of each kind that are used; each takes up to a second to make.
    """
    if out.exists():
        return out
    store, staged = open_dataset(renders), Layout(out.with_name(f".{out.name}.part"))
    cutouts = cut_out(store)
    for number in tqdm(range(count), unit="video"):
        for t, (rgb, ids, quality) in enumerate(make_video(cutouts, seed, number, pictures)):
            name = f"a{number:05d}"
            files.write_atomically(staged.rgb(name, t), files.encode_jpeg(rgb, quality, "4:2:0"))
            files.write_atomically(staged.mask(name, t), encode_mask(ids))
    files.replace(staged.root, out)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("renders", type=Path, help="rendered videos whose objects are cut out")
    parser.add_argument("--out", type=Path, default=Path("out/cutouts"))
    parser.add_argument("--count", type=int, default=1024, help="videos")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    cv2.setNumThreads(0)
    make(arguments.renders, arguments.out, arguments.count, arguments.seed)


if __name__ == "__main__":
    run_entry_point(main)
