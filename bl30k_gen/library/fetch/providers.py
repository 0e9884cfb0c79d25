"""The providers of images: four services and a list of addresses, with one method, ``search``.

A search uses the service's documented interface and yields addresses of images with their credits, best first; the
next page is requested when the previous one has been read. Missing information is left empty, never guessed.
"""

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Literal, Protocol

from bl30k_gen.errors import UserError
from bl30k_gen.inputs import read_text
from bl30k_gen.library.catalogue.licence import Credit, fits, one_line, spdx
from bl30k_gen.library.fetch.download import Client, FetchRefused

Kind = Literal["textures", "backgrounds"]

MAX_STALE_PAGES = 3  # pages in a row without new entries, after which a search ends


@dataclass(frozen=True)
class FoundImage:
    url: str
    credit: Credit
    member: str = ""  # a pattern: the image is the member of the zip at ``url`` whose name matches


class Provider(Protocol):
    base: str  # address of the service

    def search(self, client: Client, keyword: str, kind: Kind) -> Iterator[FoundImage]:
        """Yield images for a keyword. Raises FetchRefused or ServiceUnavailable, of ``download``."""
        ...


class Openverse:
    """https://api.openverse.org/v1/ : hundreds of millions of openly licensed images."""

    PAGE = 20  # the maximum for unregistered users, who get at most 12 pages of a search

    def __init__(self, base: str = "https://api.openverse.org", licences: tuple[str, ...] = ()):
        self.base, self.licences = base, licences

    def search(self, client: Client, keyword: str, kind: Kind) -> Iterator[FoundImage]:
        codes = {_openverse_code(licence) for licence in self.licences}
        asked = {"q": keyword, "page_size": self.PAGE} | ({"license": ",".join(sorted(codes))} if codes else {})
        page, pages, news = 1, 1, _News(self.base)
        while page <= pages:
            answer = _mapping(client.json(f"{self.base}/v1/images/", asked | {"page": page}))
            pages = _number(answer.get("page_count"))
            results = _list(answer.get("results"))
            news.require(result.get("url") for result in results)
            for result in results:
                licence = f"{one_line(result.get('license'))} {one_line(result.get('license_version'))}"
                title, source = one_line(result.get("title")), one_line(result.get("foreign_landing_url"))
                yield from _found(result.get("url"), licence, result.get("creator"), source, title)
            page += 1


def _openverse_code(licence: str) -> str:
    """``by-sa`` for CC-BY-SA-4.0."""
    code = re.sub(r"^cc-|-\d.*$", "", licence.lower())
    return {"0": "cc0", "pdm": "pdm"}.get(code, code)


class Commons:
    """https://commons.wikimedia.org/w/api.php : Wikimedia Commons."""

    PAGE = 50
    WIDTH = 1920  # pixels; only 20, 40, 60, 120, 250, 330, 500, 960, 1280, 1920 and 3840 are served

    def __init__(self, base: str = "https://commons.wikimedia.org"):
        self.base = base

    def search(self, client: Client, keyword: str, kind: Kind) -> Iterator[FoundImage]:
        words = f"{keyword} texture" if kind == "textures" else keyword
        asked = {"action": "query", "format": "json", "formatversion": 2, "maxlag": 5, "generator": "search"}
        asked |= {"gsrsearch": f"filetype:bitmap {words}", "gsrnamespace": 6, "gsrlimit": self.PAGE}
        asked |= {"prop": "imageinfo", "iiprop": "url|size|mime|extmetadata", "iiurlwidth": self.WIDTH}
        continuation: dict[str, Any] = {}
        news = _News(self.base)
        while True:
            answer = _mapping(_ask_mediawiki(client, f"{self.base}/w/api.php", asked | continuation))
            pages = [_mapping(page) for page in _list(_mapping(answer.get("query")).get("pages"))]
            news.require(page.get("title") for page in pages)
            for page in sorted(pages, key=lambda page: _number(page.get("index"))):
                info = _mapping(next(iter(_list(page.get("imageinfo"))), {}))
                about = {k: _text(_mapping(v).get("value")) for k, v in _mapping(info.get("extmetadata")).items()}
                licence = about.get("License") or about.get("LicenseShortName", "")
                url, source = info.get("thumburl") or info.get("url"), one_line(info.get("descriptionurl"))
                title = one_line(page.get("title")).removeprefix("File:")
                yield from _found(url, licence, about.get("Artist", ""), source, title)
            continuation = _mapping(answer.get("continue"))
            if not continuation:
                return


def _ask_mediawiki(client: Client, url: str, asked: dict[str, Any]) -> Any:
    """Request an answer of MediaWiki, which reports errors with status 200; retries while its servers are busy."""
    for attempt in range(client.politeness.tries):
        answer = client.json(url, asked)
        error = _mapping(_mapping(answer).get("error"))
        if not error:
            return answer
        if error.get("code") not in ("maxlag", "ratelimited", "readonly"):
            raise FetchRefused(f"{url}: {one_line(error.get('info')) or one_line(error.get('code'))}")
        client.postpone(url, client.politeness.back_off * 2**attempt)
    raise FetchRefused(f"{url}: {one_line(error.get('info'))}, {client.politeness.tries} times")


class PolyHaven:
    """https://api.polyhaven.com : textures, and panoramas as backgrounds; all CC0."""

    def __init__(self, base: str = "https://api.polyhaven.com", site: str = "https://polyhaven.com"):
        self.base, self.site = base, site
        self._lists: dict[str, dict[str, Any]] = {}

    def search(self, client: Client, keyword: str, kind: Kind) -> Iterator[FoundImage]:
        if kind not in self._lists:
            asked = {"type": "textures" if kind == "textures" else "hdris"}
            self._lists[kind] = _mapping(client.json(f"{self.base}/assets", asked))
        wanted = set(keyword.lower().split())
        for slug, about in self._lists[kind].items():
            about = _mapping(about)
            words = " ".join(map(one_line, [about.get("name"), *_items(about, "categories"), *_items(about, "tags")]))
            if not wanted <= set(re.findall(r"\w+", words.lower())) or not re.fullmatch(r"[\w-]+", slug):
                continue
            files = _mapping(client.json(f"{self.base}/files/{slug}"))
            if kind == "textures":
                sizes = _mapping(files.get("Diffuse") or files.get("diffuse"))
                jpg = _mapping(_mapping(sizes.get("2k") or sizes.get("1k")).get("jpg"))
            else:
                jpg = _mapping(files.get("tonemapped"))
            authors = ", ".join(one_line(name) for name in _mapping(about.get("authors")))
            yield from _found(jpg.get("url"), "cc0", authors, f"{self.site}/a/{slug}", one_line(about.get("name")))


class AmbientCG:
    """https://ambientcg.com/api/v2/full_json : materials in zips, and panoramas as backgrounds; all CC0."""

    PAGE = 100
    # Wanted downloads of an asset, best first: an image, or a zip with one whose name matches MEMBER.
    CHOICES = {
        "textures": ("2K-JPG", "1K-JPG"),
        "backgrounds": ("TONEMAPPED", *(f"{size}K-TONEMAPPED" for size in (4, 2, 8, 1))),
    }
    MEMBER = r"_Color\.(?:jpg|png)$"

    def __init__(self, base: str = "https://ambientcg.com"):
        self.base = base

    def search(self, client: Client, keyword: str, kind: Kind) -> Iterator[FoundImage]:
        asked = {"type": "Material" if kind == "textures" else "HDRI", "include": "downloadData"}
        asked["q"] = ",".join(keyword.split())  # its tags, between commas
        offset, total, news = 0, 1, _News(self.base)
        while offset < total:
            answer = _mapping(
                client.json(f"{self.base}/api/v2/full_json", asked | {"limit": self.PAGE, "offset": offset})
            )
            total = _number(answer.get("numberOfResults"))
            assets = _list(answer.get("foundAssets"))
            news.require(asset.get("assetId") for asset in assets)
            for asset in assets:
                id, downloads = one_line(asset.get("assetId")), {}
                for folder in _mapping(asset.get("downloadFolders")).values():
                    for category in _mapping(_mapping(folder).get("downloadFiletypeCategories")).values():
                        for entry in _list(_mapping(category).get("downloads")):
                            downloads[one_line(entry.get("attribute")).upper()] = entry
                entry = next((downloads[choice] for choice in self.CHOICES[kind] if choice in downloads), {})
                zipped = one_line(entry.get("filetype")) == "zip"
                url = entry.get("downloadLink") or entry.get("fullDownloadPath")
                for found in _found(url, "cc0", "ambientCG", f"{self.base}/view?id={id}", id):
                    yield FoundImage(found.url, found.credit, self.MEMBER if zipped else "")
            if not assets:
                return
            offset += len(assets)


class AddressList:
    """A text file with one image per line: address, licence, author, page and title, separated by tabs."""

    base = ""

    def __init__(self, path: Path):
        """Raises UserError: it cannot be read, holds none, or a line is no address."""
        try:
            lines = read_text(path).splitlines()
        except FileNotFoundError:
            raise UserError(f"{path} does not exist", "give --urls FILE, one address a line") from None
        self._listed: list[FoundImage] = []
        for number, line in enumerate(lines, start=1):
            columns = [*line.strip().split("\t"), "", "", "", ""]
            url = columns[0]
            if not url or url.startswith("#"):
                continue
            found = list(_found(url, *columns[1:5]))
            if not found:
                raise UserError(f"{path}, line {number}: {one_line(url, 80)}", "begin it with http:// or https://")
            self._listed += found
        if not self._listed:
            raise UserError(f"{path} holds no addresses", "write one a line")

    def search(self, client: Client, keyword: str, kind: Kind) -> Iterator[FoundImage]:
        yield from self._listed


PROVIDERS = {"openverse": Openverse, "commons": Commons, "polyhaven": PolyHaven, "ambientcg": AmbientCG}


def provider(name: str, base: str | None, urls: Path | None, licences: tuple[str, ...]) -> Provider:
    """A provider by name. Raises UserError: there is none of that name, a bad address, ``urls`` without its file."""
    if name == "urls":
        if urls is None:
            raise UserError("--provider urls has no list", "give --urls FILE, one address a line")
        return AddressList(urls)
    if name not in PROVIDERS:
        raise UserError(f"--provider {name}", f"give one of {', '.join([*PROVIDERS, 'urls'])}")
    if base and not re.match(r"https?://[^/]", base):
        raise UserError(f"--base-url {base}", "give an address that begins with http:// or https://")
    given = {"base": base.rstrip("/")} if base else {}
    return Openverse(**given, licences=licences) if name == "openverse" else PROVIDERS[name](**given)


def acceptable(found: FoundImage, licences: tuple[str, ...]) -> bool:
    """Whether the licence is among those wanted; without any, every licence is accepted, even an unknown one."""
    return not licences or fits(found.credit.licence, licences)


class _News:
    """Ends a search whose pages repeat earlier entries, however many pages the service announces."""

    def __init__(self, base: str):
        self._base, self._stale = base, 0
        self._seen: set[str] = set()

    def require(self, keys: Iterable[Any]) -> None:
        """Register the keys of a page's entries. Raises FetchRefused after too many pages without new ones."""
        new = {one_line(key, 4096) for key in keys} - self._seen
        self._seen |= new
        self._stale = 0 if new else self._stale + 1
        if self._stale >= MAX_STALE_PAGES:
            raise FetchRefused(f"{self._base}: {MAX_STALE_PAGES} pages in a row had nothing new")


# --- Reading untrusted answers -----------------------------------------------------------------------------------


def _found(url: Any, licence: Any, author: Any, source: Any, title: Any) -> Iterator[FoundImage]:
    """One image, if it has an address."""
    address = one_line(url, 4096)
    if re.match(r"https?://", address):
        page = one_line(source, 1000)
        page = page if re.match(r"https?://", page) else ""
        yield FoundImage(address, Credit(spdx(one_line(licence)), one_line(author), page, one_line(title)))


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _items(about: dict[str, Any], key: str) -> list[Any]:
    return about[key] if isinstance(about.get(key), list) else []


def _number(value: Any) -> int:
    return int(value) if isinstance(value, (int, float)) and math.isfinite(value) else 0


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []

    def handle_data(self, data: str) -> None:
        self.pieces.append(data)


def _text(html: Any) -> str:
    """The text of a piece of HTML, on one line."""
    parser = _Text()
    parser.feed(html[:10_000] if isinstance(html, str) else "")
    parser.close()
    return one_line(" ".join(parser.pieces))
