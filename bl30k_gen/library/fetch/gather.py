"""Gathers images from a provider into a folder of assets: decoded, cut square, without duplicates, with a manifest.

An image is downloaded, decoded completely, turned upright, cut to its central square, scaled by area averaging and
stored anew, so nothing of the downloaded file is kept, its metadata included. Files are named by their contents.
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
from bl30k_gen.dataset.images import PHOTO
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
MAX_HASH_DISTANCE = 10  # of 128 bits of two perceptual hashes, up to which they count as one image
MAX_BYTES = 256 << 20  # of a download
REFUSED = ".bl30k/refused.jsonl"  # what need not be tried again
EXHAUSTED = ".bl30k/exhausted.jsonl"  # searches that were read to their end
AHEAD = 2  # images that are downloaded ahead, for each worker

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
    kept: Counter = field(default_factory=Counter)  # by keyword, with those that were there before
    new: int = 0
    refused: Counter = field(default_factory=Counter)  # by reason
    failed: list[str] = field(default_factory=list)  # why the provider could not be asked to the end


@dataclass(frozen=True)
class ConvertedImage:
    """An image that is ready to be stored."""

    square: bytes
    full: bytes | None
    sha256_original: str
    size_original: tuple[int, int]
    fingerprint: int


def read_keywords(path: Path) -> tuple[str, ...]:
    """One keyword a line; ``#`` begins a comment. Raises UserError: unreadable or empty."""
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
    """A keyword as the name of a folder, which is the category of the images in it."""
    return re.sub(r"[^a-z0-9]+", "_", keyword.lower()).strip("_")[:60]


def gather(
    provider: Provider, client: Client, request: GatherRequest, out: Path, workers: int, tick: Callable[[str], object]
) -> Gathered:
    """Fill ``out`` with ``per_keyword`` images for each keyword, continuing where an earlier run stopped.

    ``tick`` is called with the keyword of every image that is kept. What the provider lists first is taken first,
    whatever the number of workers.

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
    """What is neither there nor known to be of no use, nor under a licence that is not wanted."""
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
    pool: ThreadPoolExecutor, work: Callable[[FoundImage], Result], items: Iterable[FoundImage], most: int
) -> Generator[tuple[FoundImage, Result], None, None]:
    """(item, result) in order, of which ``most`` are worked on at once."""
    items = iter(items)
    pending: deque[tuple[FoundImage, Future[Result]]] = deque()
    failure: Exception | None = None
    try:
        while True:
            while failure is None and len(pending) < most:
                try:
                    item = next(items)
                except StopIteration:
                    break
                except (FetchRefused, ServiceUnavailable) as error:
                    failure = error  # for which what was listed before it does not pay
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
    """Download and convert an image, or say why not."""
    try:
        most = min(request.limits.image_bytes, MAX_BYTES)
        data, _ = client.get(found.url, most)
        if found.member:
            data = _member(data, found, most)
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
    with Image.open(io.BytesIO(data)) as original:
        size = original.size
    return ConvertedImage(encode_jpeg(square, QUALITY, "4:4:4"), full, sha256_bytes(data), size, fingerprint(square))


def square_of(pixels: np.ndarray, side: int) -> np.ndarray:
    """The central square, (side, side, 3), each pixel the mean of the area that it covers."""
    height, width = pixels.shape[:2]
    edge = min(height, width)
    top, left = (height - edge) // 2, (width - edge) // 2
    image = Image.fromarray(pixels[top : top + edge, left : left + edge])
    return np.asarray(image.resize((side, side), Image.Resampling.BOX))


def fingerprint(pixels: np.ndarray) -> int:
    """128 bits that survive scaling and compression: where brightness rises, on a 9 x 9 grid."""
    grey = Image.fromarray(pixels).convert("L").resize((9, 9), Image.Resampling.BOX)
    grid = np.asarray(grey).astype(np.int16)
    bits = np.concatenate([(grid[:8, 1:] > grid[:8, :-1]).ravel(), (grid[1:, :8] > grid[:-1, :8]).ravel()])
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _member(data: bytes, found: FoundImage, most: int) -> bytes:
    """The wanted member of a zip, read into memory."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [info for info in archive.infolist() if re.search(found.member, info.filename)]
            if not names:
                raise AssetRefused(f"{found.url}: the zip holds no image of the colour")
            with archive.open(names[0]) as member:
                content = member.read(most + 1)
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
    if len(content) > most:
        raise AssetRefused(f"{found.url}: its image has more than the {most} bytes allowed")
    return content


def _class_of(reason: str) -> str:
    """A reason without what is special to one image."""
    reason = re.sub(r"https?://\S+:?\s*", "", reason)
    return re.sub(r"\d[\d.]*", "N", reason)[:80] or "refused"


# --- The folder ---------------------------------------------------------------------------------------------------


class _Store:
    """A folder with its manifest: what is there, and what need not be tried again."""

    def __init__(self, out: Path, request: GatherRequest):
        self.out, self.request = out, request
        with clear_disk_errors(out / manifest.NAME):
            out.mkdir(parents=True, exist_ok=True)
        lines = manifest.read_lines(out)
        there = [line for line in lines if (out / str(line.get("file"))).is_file()]
        self.keywords = Counter(one_line(line.get("keyword")) for line in there)
        self.urls = {one_line(line.get("url"), 4096) for line in there}
        self._originals = {line.get("sha256_original") for line in there}
        known = (one_line(line.get("phash")) for line in there)
        self._fingerprints = [int(text, 16) for text in known if re.fullmatch("[0-9a-f]{32}", text)]
        self.urls |= {one_line(line.get("url"), 4096) for line in _lines(out / REFUSED)}
        self.exhausted = [line.get("search") for line in _lines(out / EXHAUSTED)]

    def keep(self, found: FoundImage, made: ConvertedImage, keyword: str) -> str:
        """Store an image; returns why it is refused, or nothing."""
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
    """What stands in a journal; unfinished and damaged lines are left out, which is said."""
    try:
        found, bad = parse_json_lines(read_bytes(path, 1 << 30), path)
    except FileNotFoundError:
        return []
    if bad:
        log.warning("%s: %d lines are damaged and left out", path, bad)
    return found
