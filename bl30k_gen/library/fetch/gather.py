"""Gather images from a provider into a folder of assets: decoded, cropped square, deduplicated, with a manifest.

An image is downloaded, decoded completely, rotated upright, cropped to its central square, scaled by area averaging
and encoded again, so no bytes of the downloaded file are kept, nor its metadata. Files are named by their digest.
"""

import io
import logging
import re
import zipfile
import zlib
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from bl30k_gen.config import Limits
from bl30k_gen.dataset.files import clear_disk_errors, encode_jpeg, sha256_bytes, write_atomically
from bl30k_gen.dataset.images import PHOTO, open_image
from bl30k_gen.errors import UserError
from bl30k_gen.inputs import parse_json_lines, read_bytes, read_text
from bl30k_gen.library.asset import AssetRefused
from bl30k_gen.library.catalogue import manifest
from bl30k_gen.library.catalogue.licence import licence_address, one_line
from bl30k_gen.library.fetch.download import Client, FetchRefused, ServiceUnavailable
from bl30k_gen.library.fetch.providers import FoundImage, Kind, Provider, acceptable
from bl30k_gen.library.formats.image import decode

Result = TypeVar("Result")

QUALITY = 95  # of the stored JPEG, without chroma subsampling
MAX_HASH_DISTANCE = 10  # of 128 bits, between perceptual hashes of images that count as duplicates
MAX_BYTES = 256 << 20  # of a download
REFUSED = ".bl30k/refused.jsonl"  # images that are not tried again
EXHAUSTED = ".bl30k/exhausted.jsonl"  # searches that have been read to their end
AHEAD = 2  # images that are downloaded ahead, per worker

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class GatherRequest:
    kind: Kind
    keywords: tuple[str, ...]
    per_keyword: int
    side: int = 512  # pixels of the square; smaller images are refused
    licences: tuple[str, ...] = ()  # as SPDX identifiers; none: any
    full: Path | None = None  # also keep the whole images, in this folder
    limits: Limits = Limits(max_faces=1, max_image_side=4096, max_megapixels=140)


@dataclass
class Gathered:
    kept: Counter = field(default_factory=Counter)  # by keyword, including images of earlier runs
    new: int = 0
    refused: Counter = field(default_factory=Counter)  # by reason
    failed: list[str] = field(default_factory=list)  # reasons why searches ended early


@dataclass(frozen=True)
class ConvertedImage:
    """An image in the form in which it is stored."""

    square: bytes
    full: bytes | None
    sha256_original: str
    size_original: tuple[int, int]
    fingerprint: int


def read_keywords(path: Path) -> tuple[str, ...]:
    """Read keywords, one per line; ``#`` begins a comment. Raises UserError: unreadable or empty."""
    try:
        lines = read_text(path).splitlines()
    except FileNotFoundError:
        raise UserError(f"keywords {path} does not exist", "write one a line, or use those in assets/") from None
    words = dict.fromkeys(" ".join(line.partition("#")[0].split()) for line in lines)
    found = tuple(word for word in words if folder_name(word))
    if not found:
        raise UserError(f"keywords {path} holds none", "write one a line, or use those in assets/")
    return found


def folder_name(keyword: str) -> str:
    """The folder name of a keyword, which becomes the category of the images in it."""
    return re.sub(r"[^a-z0-9]+", "_", keyword.lower()).strip("_")[:60]


def gather(
    provider: Provider, client: Client, request: GatherRequest, out: Path, workers: int, tick: Callable[[str], object]
) -> Gathered:
    """Gather ``per_keyword`` images for each keyword into ``out``, continuing an earlier run.

    Images are taken in the order in which the provider lists them, with any number of workers.

    Args:
        tick: called with the keyword of every image that is kept.

    Raises:
        UserError: the folder may not be written, its manifest is damaged, or the disk is full.
    """
    store = _Store(out, request)
    done = Gathered(Counter(store.keywords))
    with ThreadPoolExecutor(workers) as pool:
        for keyword in request.keywords or ("",):
            search = [type(provider).__name__, provider.base, request.kind, keyword, *request.licences]
            if search in store.exhausted:
                continue
            seen: set[str] = set()  # addresses
            again = False  # whether the same search may find more another time
            fresh = _fresh(provider.search(client, keyword, request.kind), seen, store, request, done)
            work = _ahead(pool, lambda found: _make(client, found, request), fresh, AHEAD * workers)
            try:
                while done.kept[keyword] < request.per_keyword:
                    following = next(work, None)
                    if following is None:
                        if seen and not again and provider.base:
                            store.exhaust(search)
                        break
                    found, made = following
                    if isinstance(made, ServiceUnavailable):  # this image's host; another time, perhaps
                        done.refused["its host does not answer"] += 1
                        again = True
                        continue
                    reason = str(made) if isinstance(made, Exception) else store.keep(found, made, keyword)
                    if reason:
                        done.refused[_class_of(reason)] += 1
                        store.refuse(found.url, one_line(reason))
                        continue
                    done.kept[keyword] += 1
                    done.new += 1
                    tick(keyword)
            except FetchRefused as error:
                done.failed.append(f"{keyword}: {error}")
            except ServiceUnavailable as error:
                done.failed.append(f"{keyword}: {error}")
                break
            finally:
                work.close()
    return done


def _fresh(
    listed: Iterable[FoundImage], seen: set[str], store: "_Store", request: GatherRequest, done: Gathered
) -> Iterator[FoundImage]:
    """The listed images that are new, have not been refused before, and have an acceptable licence."""
    for found in listed:
        known = found.url in store.urls or found.url in seen
        seen.add(found.url)
        if known:
            continue
        if acceptable(found, request.licences):
            yield found
        else:
            done.refused[f"licence {found.credit.licence}"] += 1


def _ahead(
    pool: ThreadPoolExecutor, work: Callable[[FoundImage], Result], items: Iterable[FoundImage], count: int
) -> Generator[tuple[FoundImage, Result], None, None]:
    """(item, result) in order; ``count`` of them are processed concurrently."""
    items = iter(items)
    pending: deque[tuple[FoundImage, Future[Result]]] = deque()
    failure: Exception | None = None
    try:
        while True:
            while failure is None and len(pending) < count:
                try:
                    item = next(items)
                except StopIteration:
                    break
                except (FetchRefused, ServiceUnavailable) as error:
                    failure = error  # raised after the results of the items before it
                else:
                    pending.append((item, pool.submit(work, item)))
            if not pending:
                break
            item, future = pending.popleft()
            yield item, future.result()
        if failure is not None:
            raise failure
    finally:
        for _, future in pending:
            future.cancel()


# --- One image --------------------------------------------------------------------------------------------------


def _make(
    client: Client, found: FoundImage, request: GatherRequest
) -> ConvertedImage | FetchRefused | AssetRefused | ServiceUnavailable:
    """Download and convert an image; returns the exception if that fails."""
    try:
        max_bytes = min(request.limits.image_bytes, MAX_BYTES)
        data, _ = client.get(found.url, max_bytes)
        if found.member:
            data = _member(data, found, max_bytes)
        pixels = decode(data, found.url, AssetRefused, request.limits, PHOTO)
        return make(data, pixels, request)
    except (FetchRefused, AssetRefused, ServiceUnavailable) as refused:
        return refused


def make(data: bytes, pixels: np.ndarray, request: GatherRequest) -> ConvertedImage:
    """Convert a decoded image. Raises AssetRefused if it is too small."""
    height, width = pixels.shape[:2]
    if min(height, width) < request.side:
        raise AssetRefused(f"has {width} x {height} pixels, fewer than {request.side} along a side")
    square = square_of(pixels, request.side)
    full = encode_jpeg(pixels, QUALITY, "4:4:4") if request.full else None
    size = open_image(data).size
    return ConvertedImage(encode_jpeg(square, QUALITY, "4:4:4"), full, sha256_bytes(data), size, fingerprint(square))


def square_of(pixels: np.ndarray, side: int) -> np.ndarray:
    """The central square, scaled to (side, side, 3) by area averaging."""
    height, width = pixels.shape[:2]
    edge = min(height, width)
    top, left = (height - edge) // 2, (width - edge) // 2
    image = Image.fromarray(pixels[top : top + edge, left : left + edge])
    return np.asarray(image.resize((side, side), Image.Resampling.BOX))


def fingerprint(pixels: np.ndarray) -> int:
    """A perceptual hash of 128 bits: the signs of brightness differences on a 9 x 9 grid."""
    grey = Image.fromarray(pixels).convert("L").resize((9, 9), Image.Resampling.BOX)
    grid = np.asarray(grey).astype(np.int16)
    bits = np.concatenate([(grid[:8, 1:] > grid[:8, :-1]).ravel(), (grid[1:, :8] > grid[:-1, :8]).ravel()])
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _member(data: bytes, found: FoundImage, max_bytes: int) -> bytes:
    """Read the wanted member of a zip. Raises AssetRefused: it is missing, damaged or too large."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [info for info in archive.infolist() if re.search(found.member, info.filename)]
            if not names:
                raise AssetRefused(f"{found.url}: the zip holds no image of the colour")
            with archive.open(names[0]) as member:
                content = member.read(max_bytes + 1)
    except (
        zipfile.BadZipFile,
        OSError,
        ValueError,
        RuntimeError,
        NotImplementedError,
        EOFError,
        zlib.error,
    ) as error:
        raise AssetRefused(f"{found.url}: is no zip that can be read ({error})") from None
    if len(content) > max_bytes:
        raise AssetRefused(f"{found.url}: its image has more than the {max_bytes} bytes allowed")
    return content


def _class_of(reason: str) -> str:
    """A reason without addresses and numbers, so that equal reasons can be counted."""
    reason = re.sub(r"https?://\S+:?\s*", "", reason)
    return re.sub(r"\d[\d.]*", "N", reason)[:80] or "refused"


# --- The folder ---------------------------------------------------------------------------------------------------


class _Store:
    """A folder with its manifest and its journals of refused images and exhausted searches."""

    def __init__(self, out: Path, request: GatherRequest):
        self.out, self.request = out, request
        with clear_disk_errors(out / manifest.NAME):
            out.mkdir(parents=True, exist_ok=True)
        lines = manifest.read_lines(out)
        present = [line for line in lines if (out / str(line.get("file"))).is_file()]
        self.keywords = Counter(one_line(line.get("keyword")) for line in present)
        self.urls = {one_line(line.get("url"), 4096) for line in present}
        self._originals = {line.get("sha256_original") for line in present}
        hashes = (one_line(line.get("phash")) for line in present)
        self._fingerprints = [int(text, 16) for text in hashes if re.fullmatch("[0-9a-f]{32}", text)]
        self.urls |= {one_line(line.get("url"), 4096) for line in _lines(out / REFUSED)}
        self.exhausted = [line.get("search") for line in _lines(out / EXHAUSTED)]

    def keep(self, found: FoundImage, made: ConvertedImage, keyword: str) -> str:
        """Store an image; returns the reason if it is refused, else an empty string."""
        if made.sha256_original in self._originals:
            return "the same file is there already"
        if any((made.fingerprint ^ other).bit_count() <= MAX_HASH_DISTANCE for other in self._fingerprints):
            return "looks like an image that is there already"
        name = f"{folder_name(keyword) or 'urls'}/{made.sha256_original[:20]}.jpg"
        about = {
            "url": found.url,
            **asdict(found.credit),
            "licence_url": licence_address(found.credit.licence),
            "keyword": keyword,
            "sha256_original": made.sha256_original,
            "size_original": made.size_original,
            "phash": f"{made.fingerprint:032x}",
        }
        for folder, data in ((self.request.full, made.full), (self.out, made.square)):
            if folder is not None and data is not None:
                write_atomically(folder / name, data)
                manifest.append(folder / manifest.NAME, {"file": name, "sha256": sha256_bytes(data), **about})
        self._originals.add(made.sha256_original)
        self._fingerprints.append(made.fingerprint)
        self.urls.add(found.url)
        return ""

    def refuse(self, url: str, reason: str) -> None:
        self.urls.add(url)
        manifest.append(self.out / REFUSED, {"url": url, "reason": reason})

    def exhaust(self, search: list[str]) -> None:
        self.exhausted.append(search)
        manifest.append(self.out / EXHAUSTED, {"search": search})


def _lines(path: Path) -> list[dict[str, Any]]:
    """Read a journal; unfinished and damaged lines are skipped with a warning."""
    try:
        objects, bad = parse_json_lines(read_bytes(path, 1 << 30), path)
    except FileNotFoundError:
        return []
    if bad:
        log.warning("%s: %d lines are damaged and left out", path, bad)
    return objects
