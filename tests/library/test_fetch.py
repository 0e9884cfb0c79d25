"""Gathering pictures from real HTTP servers on this machine: the services' own forms, and all that goes wrong."""

import io
import json
import threading
import time
import zipfile
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from PIL import Image

from bl30k_gen.config import Assets, Limits
from bl30k_gen.errors import UserError
from bl30k_gen.library import download, gather, manifest
from bl30k_gen.library.catalogue import open_catalogue
from bl30k_gen.library.download import Client, FetchRefused, Politeness, ServiceUnavailable
from bl30k_gen.library.gather import Wishes, fingerprint, square_of
from bl30k_gen.library.licence import Credit, fits, parse_requirement, spdx
from bl30k_gen.library.providers import AddressList, AmbientCG, Commons, Openverse, PolyHaven
from bl30k_gen.seeding import rng

FAST = {"per_second": 500.0, "back_off": 0.02, "timeout": 5.0, "deadline": 10.0}
SMALL = {"side": 32, "limits": Limits(max_faces=1, max_image_side=256, max_megapixels=1)}


def picture(seed=0, size=(48, 40), format="JPEG", **options) -> bytes:
    """A smooth picture that is unlike those of other seeds."""
    coarse = rng(seed, "test picture").integers(0, 256, (6, 6, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(buffer, format, **options)
    return buffer.getvalue()


class Server:
    """Answers on 127.0.0.1. ``routes``: path -> bytes, (status, headers, body), or a function of the request."""

    def __init__(self):
        self.routes, self.asked, self.times, self.agents = {}, [], [], set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.asked.append(self.path)
                outer.times.append(time.monotonic())
                outer.agents.add(self.headers["User-Agent"])
                answer = outer.routes.get(urlsplit(self.path).path, (404, {}, b"nothing here"))
                if callable(answer):
                    answer = answer(self)
                if answer is None:
                    self.close_connection = True
                    return
                status, headers, body = answer if isinstance(answer, tuple) else (200, {}, answer)
                body = json.dumps(body).encode() if isinstance(body, (dict, list)) else body
                self.send_response(status)
                for name, value in ({"Content-Length": len(body)} | headers).items():
                    if value is not None:
                        self.send_header(name, str(value))
                self.end_headers()
                self.wfile.write(body)
                if headers.get("Connection") == "close":
                    self.close_connection = True

            def query(self):
                return {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # clients go away in the middle, on purpose
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server():
    running = Server()
    yield running
    running.close()


@pytest.fixture
def client():
    with Client(Politeness(**FAST, allow_private=True)) as client:
        yield client


def collect(provider, client, out, keywords=("wood",), count=5, kind="textures", **wishes):
    wishes = Wishes(kind, tuple(keywords), count, **(SMALL | wishes))
    return gather.gather(provider, client, wishes, out, workers=3, tick=lambda: None)


def from_list(server, tmp_path, *paths) -> AddressList:
    (tmp_path / "urls.txt").write_text("".join(f"{server.url}{path}\n" for path in paths))
    return AddressList(tmp_path / "urls.txt")


# --- The services ---------------------------------------------------------------------------------------------------


def openverse(server, total):
    """As api.openverse.org answers /v1/images/."""

    def answer(request):
        query = request.query()
        page, size = int(query["page"]), int(query["page_size"])
        if size > 20:
            return 401, {}, {"detail": "page_size must be between 1 & 20 for anonymous requests."}
        results = [
            {
                "id": f"00000000-0000-0000-0000-{n:012d}",
                "title": f"Plank {n}",
                "foreign_landing_url": f"https://www.flickr.com/photos/someone/{n}",
                "url": f"{server.url}/pictures/{n}.jpg",
                "creator": "Some One",
                "creator_url": "https://www.flickr.com/photos/someone",
                "license": "by" if n % 2 else "by-nc",
                "license_version": "2.0",
                "license_url": "https://creativecommons.org/licenses/by/2.0/",
                "provider": "flickr",
                "height": 40,
                "width": 48,
            }
            for n in range((page - 1) * size, min(page * size, total))
        ]
        pages = -(-total // size)
        body = {"result_count": total, "page_count": pages, "page_size": size, "page": page, "results": results}
        return 200, {"Content-Type": "application/json"}, body

    server.routes["/v1/images/"] = answer
    server.routes |= {f"/pictures/{n}.jpg": picture(n) for n in range(total)}


def test_openverse_with_paging_and_licences(server, client, tmp_path):
    openverse(server, 30)
    done = collect(Openverse(server.url, ("CC-BY",)), client, tmp_path / "out", count=12, licences=("CC-BY",))
    assert done.kept == {"wood": 12} and not done.failed
    assert done.refused["licence CC-BY-NC-2.0"] > 5
    searches = [parse_qs(urlsplit(path).query) for path in server.asked if path.startswith("/v1")]
    assert [search["page"] for search in searches] == [["1"], ["2"]] and searches[0]["license"] == ["by"]
    line = manifest.read_lines(tmp_path / "out")[0]
    assert line["source"] == "https://www.flickr.com/photos/someone/1" and line["author"] == "Some One"
    assert (line["licence"], line["keyword"], line["title"]) == ("CC-BY-2.0", "wood", "Plank 1")
    assert line["licence_url"] == "https://creativecommons.org/licenses/by/2.0/" and line["size_original"] == [48, 40]


def test_commons(server, client, tmp_path):
    """As commons.wikimedia.org/w/api.php answers: in any order, HTML in the credits, errors with status 200."""
    busy = iter([True, False, False])

    def page(n):
        about = {
            "License": {"value": "cc-by-sa-4.0", "source": "commons-templates", "hidden": ""},
            "LicenseShortName": {"value": "CC BY-SA 4.0"},
            "Artist": {"value": '<a href="//commons.wikimedia.org/wiki/User:A" title="x">Ada &amp; Co</a>'},
        }
        info = {"url": f"{server.url}/pictures/{n}.jpg", "extmetadata": about}
        info["descriptionurl"] = f"https://commons.wikimedia.org/wiki/File:{n}.jpg"
        return {"pageid": n, "ns": 6, "title": f"File:Wood {n}.jpg", "index": n, "imageinfo": [info]}

    def answer(request):
        if next(busy):
            body = {"error": {"code": "maxlag", "info": "Waiting for db: 6 seconds lagged", "lag": 6}}
            return 200, {"Retry-After": 1, "MediaWiki-API-Error": "maxlag"}, body
        if "gsroffset" not in request.query():
            goes_on = {"gsroffset": 3, "continue": "gsroffset||"}
            return 200, {}, {"continue": goes_on, "query": {"pages": [page(n) for n in (3, 1, 2)]}}
        return 200, {}, {"batchcomplete": True, "query": {"pages": [page(4), {"pageid": 9, "title": "File:no.jpg"}]}}

    server.routes["/w/api.php"] = answer
    server.routes |= {f"/pictures/{n}.jpg": picture(n) for n in range(1, 5)}
    done = collect(Commons(server.url), client, tmp_path / "out", count=10)
    assert done.new == 4 and not done.failed
    lines = manifest.read_lines(tmp_path / "out")
    assert [line["title"] for line in lines] == [f"Wood {n}.jpg" for n in (1, 2, 3, 4)]
    assert lines[0]["author"] == "Ada & Co" and lines[0]["licence"] == "CC-BY-SA-4.0"
    server.routes["/w/api.php"] = lambda _: (200, {}, {"error": {"code": "badvalue", "info": "Bad value."}})
    assert "Bad value." in collect(Commons(server.url), client, tmp_path / "other").failed[0]


@pytest.mark.parametrize("kind", ["textures", "backgrounds"])
def test_poly_haven(server, client, tmp_path, kind):
    about = {"type": 1, "authors": {"Rob Tuytel": "All"}, "download_count": 9, "files_hash": "0"}
    assets = {
        "weathered_planks": about | {"name": "Weathered Planks", "categories": ["wood"], "tags": ["old"]},
        "red_brick": about | {"name": "Red Brick", "categories": ["brick"], "tags": ["wall"]},
        "../evil": about | {"name": "wood", "categories": ["wood"], "tags": []},
    }
    wanted = {"type": "textures" if kind == "textures" else "hdris"}
    server.routes["/assets"] = lambda request: (200, {}, assets if request.query() == wanted else {"error": "400"})
    entry = {"url": f"{server.url}/planks.jpg", "size": 1, "md5": "0"}
    textures = {"Diffuse": {"1k": {"jpg": entry, "png": {}}}, "Rough": {}}
    files = textures if kind == "textures" else {"tonemapped": entry}
    server.routes["/files/weathered_planks"] = (200, {}, files)
    server.routes["/planks.jpg"] = picture(1)
    done = collect(PolyHaven(server.url), client, tmp_path / "out", kind=kind)
    assert done.new == 1 and not [path for path in server.asked if "brick" in path or "evil" in path]
    line = manifest.read_lines(tmp_path / "out")[0]
    assert (line["licence"], line["author"]) == ("CC0-1.0", "Rob Tuytel")
    assert line["source"] == "https://polyhaven.com/a/weathered_planks"


def zipped(name, data):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../../Wood_NormalGL.jpg", b"not this one")
        archive.writestr(name, data)
    return buffer.getvalue()


def test_ambientcg(server, client, tmp_path):
    def asset(n):
        link = f"{server.url}/get?file=Wood{n}_1K-JPG.zip"
        download = {"fullDownloadPath": link, "fileName": "x.zip", "attribute": "1K-JPG", "filetype": "zip"}
        folders = {"default": {"downloadFiletypeCategories": {"zip": {"downloads": [download]}}}}
        return {"assetId": f"Wood{n}", "dataType": "Material", "downloadFolders": folders}

    def answer(request):
        query = request.query()
        assert query["q"] == "wood" and query["type"] == "Material" and query["include"] == "downloadData"
        offset = int(query["offset"])
        return 200, {}, {"numberOfResults": 3, "foundAssets": [asset(n) for n in range(offset, min(offset + 2, 3))]}

    zips = {"Wood0": zipped("Wood0_1K_Color.jpg", picture(0)), "Wood1": b"PK\x03\x04 broken"}
    zips["Wood2"] = zipped("../../Wood2_1K_Color.png", picture(2, format="PNG"))
    server.routes["/api/v2/full_json"] = answer
    server.routes["/get"] = lambda request: zips[request.query()["file"].partition("_")[0]]
    done = collect(AmbientCG(server.url), client, tmp_path / "out")
    assert done.new == 2 and sum(done.refused.values()) == 1 and not done.failed
    assert {p.suffix for p in (tmp_path / "out/wood").iterdir()} == {".jpg"}


@pytest.mark.parametrize("answer", [{}, [], "text", None, 7, {"results": 7, "page_count": "x", "foundAssets": {}}])
@pytest.mark.parametrize("service", [Openverse, Commons, PolyHaven, AmbientCG])
def test_answers_of_another_form_are_survived(server, client, tmp_path, service, answer):
    for path in ("/v1/images/", "/w/api.php", "/assets", "/api/v2/full_json"):
        server.routes[path] = json.dumps(answer).encode()
    assert collect(service(server.url), client, tmp_path / "out").new == 0


def test_a_service_that_fails_is_named_and_the_rest_is_kept(server, client, tmp_path):
    openverse(server, 30)
    first = server.routes["/v1/images/"]
    server.routes["/v1/images/"] = lambda r: first(r) if r.query()["page"] == "1" else (500, {}, b"<html>oops</html>")
    done = collect(Openverse(server.url), client, tmp_path / "out", count=30)
    assert done.new == 20 and "HTTP 500" in done.failed[0]
    server.routes["/v1/images/"] = b"<html>maintenance</html>"
    assert "no JSON" in collect(Openverse(server.url), client, tmp_path / "b", keywords=("a", "b")).failed[1]


# --- Politeness -----------------------------------------------------------------------------------------------------


def test_retry_after_is_honoured(server, client):
    answers = iter([(429, {"Retry-After": "1"}, b""), (503, {"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}, b"")])
    server.routes["/a"] = lambda _: next(answers, (200, {}, b"fine"))
    assert client.get(f"{server.url}/a", 100)[0] == b"fine"
    assert len(server.times) == 3 and server.times[1] - server.times[0] >= 0.99
    assert server.agents == {download.USER_AGENT.format(contact="")}


def test_a_host_that_asks_for_too_long_a_wait_is_left_alone(server):
    server.routes["/a"] = (429, {"Retry-After": "3600"}, b"")
    with Client(Politeness(**FAST, allow_private=True)) as client, pytest.raises(ServiceUnavailable, match="3[56]"):
        client.get(f"{server.url}/a", 100)
    assert len(server.asked) == 1


def test_back_off_grows_and_ends(server):
    server.routes["/a"] = (503, {}, b"")
    with Client(Politeness(**FAST | {"back_off": 0.1}, allow_private=True, tries=4)) as client:
        with pytest.raises(ServiceUnavailable, match="HTTP 503 .*4 times"):
            client.get(f"{server.url}/a", 100)
    gaps = np.diff(server.times)
    assert len(gaps) == 3 and all(gap >= wait for gap, wait in zip(gaps, (0.1, 0.2, 0.4), strict=True))


def test_requests_to_a_host_are_spaced(server):
    server.routes["/a"] = b"fine"
    with Client(Politeness(**FAST | {"per_second": 20}, allow_private=True, contact="me@example.org")) as client:
        threads = [threading.Thread(target=client.get, args=(f"{server.url}/a", 100)) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert server.times[-1] - server.times[0] >= 0.15 and "me@example.org" in server.agents.pop()


def test_what_is_gone_is_not_asked_for_again(server, client):
    with pytest.raises(FetchRefused, match="HTTP 404"):
        client.get(f"{server.url}/gone", 100)
    assert len(server.asked) == 1


# --- Suspicion ------------------------------------------------------------------------------------------------------


def drip(request):
    request.send_response(200)
    request.send_header("Content-Length", "900")
    request.end_headers()
    for _ in range(200):
        request.wfile.write(b"x")
        request.wfile.flush()
        time.sleep(0.1)


def cut(request):
    request.send_response(200)
    request.send_header("Content-Length", "900")
    request.end_headers()
    request.wfile.write(b"x" * 100)


def endless(request):
    request.send_response(200)
    request.end_headers()
    for _ in range(1000):
        request.wfile.write(b"x" * 65536)


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        (drip, FetchRefused, "takes longer than 1 s"),
        (lambda request: time.sleep(3), FetchRefused, "takes longer than 1 s"),
        (cut, ServiceUnavailable, "2 times"),
        (endless, FetchRefused, "more than the 1000 bytes"),
        ((200, {"Content-Length": 5000}, b"x" * 5000), FetchRefused, "has 5000 bytes"),
        ((200, {"Content-Length": "many", "Connection": "close"}, b"x"), None, ""),
        ((200, {"Content-Length": None}, b"x"), FetchRefused, "takes longer than 1 s"),
        ((302, {"Location": "file:///etc/passwd"}, b""), FetchRefused, "file:///etc/passwd"),
        ((302, {"Location": "ftp://example.org/a"}, b""), FetchRefused, "ftp://"),
        ((302, {"Location": "/a"}, b""), FetchRefused, "redirects"),
        ((302, {"Location": "http://[::1"}, b""), FetchRefused, "http"),
    ],
)
def test_bodies_and_redirects_that_do_not_behave(server, answer, error, said):
    server.routes["/a"] = answer
    with Client(Politeness(**FAST | {"deadline": 1.0}, allow_private=True, tries=2)) as client:
        if error is None:
            client.get(f"{server.url}/a", 1000)
            return
        begin = time.monotonic()
        with pytest.raises(error, match=said):
            client.get(f"{server.url}/a", 1000)
        assert time.monotonic() - begin < 5


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://example.org/a", "gopher://x", "http://", "//x", ""])
def test_only_http_is_spoken(client, url):
    with pytest.raises(FetchRefused):
        client.get(url, 100)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "127.1", "2130706433", "0x7f000001"])
def test_private_addresses_are_refused(server, host):
    server.routes["/a"] = b"secret"
    with Client(Politeness(**FAST, tries=1)) as client, pytest.raises((FetchRefused, ServiceUnavailable)):
        client.get(f"http://{host}:{server.port}/a", 100)
    assert server.asked == []


@pytest.mark.parametrize(
    ("address", "public"),
    [("8.8.8.8", True), ("2606:4700::1111", True), ("10.1.2.3", False), ("192.168.0.1", False), ("172.16.0.1", False)]
    + [("169.254.169.254", False), ("100.64.0.1", False), ("224.0.0.1", False), ("::ffff:10.0.0.1", False)]
    + [("fe80::1%eth0", False), ("fd00::1", False), ("2002:7f00:1::", False), ("64:ff9b::a00:1", False)],
)
def test_which_addresses_are_private(address, public):
    assert download._is_public(address) == public


def test_redirects_into_private_ranges_are_refused(server, monkeypatch):
    monkeypatch.setattr(download, "_is_public", lambda address: address == "127.0.0.1")
    server.routes["/a"] = (302, {"Location": f"http://127.0.0.2:{server.port}/secret"}, b"")
    server.routes["/secret"] = b"secret"
    with Client(Politeness(**FAST)) as client, pytest.raises(FetchRefused, match="private address, 127.0.0.2"):
        client.get(f"{server.url}/a", 100)
    assert server.asked == ["/a"]


def test_a_name_that_resolves_differently_the_second_time_is_refused(server, monkeypatch):
    monkeypatch.setattr(download, "_refuse_private", lambda *_: None)  # the first answer was harmless
    server.routes["/a"] = b"secret"
    with Client(Politeness(**FAST)) as client, pytest.raises(FetchRefused, match="private address"):
        client.get(f"http://localhost:{server.port}/a", 100)
    assert server.asked == []


def test_cookies_and_passwords_are_not_kept(server, client, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    heard = []
    server.routes["/a"] = lambda r: (heard.append(dict(r.headers)), (200, {"Set-Cookie": "a=b"}, b""))[1]
    for _ in range(2):
        client.get(f"{server.url}/a", 100)
    assert not any({"Cookie", "Authorization"} & set(headers) for headers in heard)


# --- Pictures -------------------------------------------------------------------------------------------------------


def test_pictures_are_made_anew(server, client, tmp_path):
    """Upright, square, scaled by area, without metadata, in a file that no server named."""
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    exif[0x013B] = "the author's secret"
    pixels = np.zeros((64, 128, 3), np.uint8)
    pixels[:, :64] = (255, 0, 0)
    pixels[:, 64:] = (0, 0, 255)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95, exif=exif)
    server.routes["/..%2F..%2Fetc/evil.php"] = (200, {"Content-Type": "text/html"}, buffer.getvalue())
    done = collect(from_list(server, tmp_path, "/..%2F..%2Fetc/evil.php"), client, tmp_path / "out", keywords=())
    assert done.new == 1
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert sorted(path.name for path in files)[-1] == "manifest.jsonl" and len(files) == 2
    stored = next((tmp_path / "out/urls").iterdir())
    image = Image.open(stored)
    assert image.size == (32, 32) and not image.getexif() and b"secret" not in stored.read_bytes()
    got = np.asarray(image).astype(int)
    assert (got[2, 16] > (200, -1, -1)).all() and (got[-3, 16] > (-1, -1, 200)).all(), "it lies on its side"
    line = manifest.read_lines(tmp_path / "out")[0]
    assert line["licence"] == "unknown" and line["file"] == f"urls/{stored.name}"


def test_area_filtering_is_a_mean(client):
    pixels = rng(0, "area").integers(0, 256, (96, 128, 3), dtype=np.uint8)
    middle = pixels[:, 16:112].astype(float)
    np.testing.assert_allclose(square_of(pixels, 32), middle.reshape(32, 3, 32, 3, 3).mean(axis=(1, 3)), atol=1)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>not found</html>",
        picture(size=(48, 40))[:-200],
        picture(size=(31, 100)),
        picture(size=(2000, 600)),
        b"%PDF-1.4",
        b"GIF89a" + bytes(100),
    ],
)
def test_what_is_no_usable_picture_is_refused(server, client, tmp_path, body):
    """Whatever its type is said to be."""
    server.routes["/a.jpg"] = (200, {"Content-Type": "image/jpeg"}, body)
    provider = from_list(server, tmp_path, "/a.jpg")
    done = collect(provider, client, tmp_path / "out", keywords=())
    assert done.new == 0 and sum(done.refused.values()) == 1
    assert len(server.asked) == 1
    collect(provider, client, tmp_path / "out", keywords=())
    assert len(server.asked) == 1, "what is refused is not asked for again"


def test_duplicates_are_found_by_bytes_and_by_looks(server, client, tmp_path):
    once, again = picture(1, (64, 64)), picture(1, (100, 100), "PNG")
    bodies = {"/a": once, "/b": once, "/c": again, "/d": picture(1, (64, 64), quality=40), "/e": picture(2, (64, 64))}
    server.routes |= bodies
    done = collect(from_list(server, tmp_path, *bodies), client, tmp_path / "out", keywords=())
    assert done.new == 2
    assert done.refused == {"the same file is there already": 1, "looks like a picture that is there already": 2}


def test_different_pictures_do_not_look_alike():
    prints = [fingerprint(np.asarray(Image.open(io.BytesIO(picture(n, (64, 64)))))) for n in range(60)]
    nearest = min((a ^ b).bit_count() for i, a in enumerate(prints) for b in prints[:i])
    assert nearest > 2 * gather.ALIKE


def test_whole_pictures_are_kept_on_request(server, client, tmp_path):
    server.routes["/a"] = picture(1, (90, 60))
    collect(from_list(server, tmp_path, "/a"), client, tmp_path / "out", keywords=(), full=tmp_path / "full")
    name = manifest.read_lines(tmp_path / "full")[0]["file"]
    assert Image.open(tmp_path / "full" / name).size == (90, 60)
    assert Image.open(tmp_path / "out" / name).size == (32, 32)


# --- Going on -------------------------------------------------------------------------------------------------------


def test_an_interrupted_run_goes_on(server, client, tmp_path):
    openverse(server, 12)
    collect(Openverse(server.url), client, tmp_path / "out", count=4)
    with open(tmp_path / "out/manifest.jsonl", "a") as file:
        file.write('{"file": "wood/half')  # killed while it wrote
    asked = Counter(server.asked)
    done = collect(Openverse(server.url), client, tmp_path / "out", count=9)
    assert done.new == 5 and done.kept == {"wood": 9}
    lines = manifest.read_lines(tmp_path / "out")
    assert len(lines) == 9 == len(list((tmp_path / "out/wood").iterdir()))
    for line in lines[:4]:
        path = urlsplit(line["url"]).path
        assert server.asked.count(path) == asked[path] == 1, "what is there is not loaded again"


def test_the_number_of_workers_changes_nothing(server, client, tmp_path):
    openverse(server, 12)
    wishes = Wishes("textures", ("wood",), 6, **SMALL)
    for workers in (1, 6):
        out = tmp_path / str(workers)
        gather.gather(Openverse(server.url), client, wishes, out, workers, lambda: None)
    files = [[line["file"] for line in manifest.read_lines(tmp_path / workers)] for workers in ("1", "6")]
    assert files[0] == files[1]


def test_a_host_of_pictures_that_is_down_stops_nothing(server, client, tmp_path):
    server.routes |= {"/b": picture(1), "/a": (503, {}, b"")}
    done = collect(from_list(server, tmp_path, "/a", "/b"), client, tmp_path / "out", keywords=())
    assert done.new == 1 and done.refused == {"its host does not answer": 1}
    server.routes["/a"] = picture(2)
    assert collect(from_list(server, tmp_path, "/a", "/b"), client, tmp_path / "out", keywords=()).new == 1


def test_gathered_pictures_are_assets_with_licences(server, client, tmp_path):
    openverse(server, 4)
    collect(Openverse(server.url), client, tmp_path / "mine", keywords=("Red Wood!",))
    sources = {"models": "builtin", "textures": str(tmp_path / "mine"), "backgrounds": "builtin"}
    limits = SMALL["limits"]
    textures = open_catalogue(Assets(**sources, limits=limits)).textures
    assert {t.category for t in textures} == {"red_wood"} and {t.author for t in textures} == {"Some One"}
    assert sorted(t.licence for t in textures) == ["CC-BY-2.0"] * 2 + ["CC-BY-NC-2.0"] * 2
    free = open_catalogue(Assets(**sources, limits=limits, licences=["cc-by,cc0"])).textures
    assert len(free) == 2


def test_the_command(server, generate, tmp_path):
    openverse(server, 6)
    (tmp_path / "words.txt").write_text("# ours\nwood  # a comment\n\n")
    flags = ["--kind", "textures", "--provider", "openverse", "--keywords", tmp_path / "words.txt", "--side", 32]
    flags += ["--base-url", server.url, "--per-keyword", 3, "--per-second", 20, "--out", tmp_path / "out"]
    said = generate("assets", "fetch", *flags, code=1).stderr
    assert "private address" in said, "unless allowed"
    answer = json.loads(generate("assets", "fetch", *flags, "--allow-private", "--json").stdout)
    assert answer["kept"] == {"wood": 3} and answer["new"] == 3


def test_our_own_keywords_are_readable():
    for kind in ("textures", "backgrounds"):
        words = gather.read_keywords(Path(__file__).parents[2] / f"assets/{kind}.txt")
        assert len(words) >= 75 and len({gather.folder_name(word) for word in words}) == len(words)


def test_empty_keywords_are_an_error(tmp_path):
    (tmp_path / "words.txt").write_text("# nothing\n")
    with pytest.raises(UserError, match="holds none"):
        gather.read_keywords(tmp_path / "words.txt")


# --- Licences -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "identifier"),
    [
        ("cc0", "CC0-1.0"),
        ("CC0 1.0", "CC0-1.0"),
        ("cc-zero", "CC0-1.0"),
        ("pdm 1.0", "CC-PDM-1.0"),
        ("Public domain", "CC-PDM-1.0"),
        ("by 2.0", "CC-BY-2.0"),
        ("by-nc-sa 3.0", "CC-BY-NC-SA-3.0"),
        ("CC BY-SA 4.0", "CC-BY-SA-4.0"),
        ("cc-by-sa-3.0-de", "CC-BY-SA-3.0-DE"),
        ("CC-BY-4.0 (http://creativecommons.org/licenses/by/4.0/)", "CC-BY-4.0"),
        ("https://creativecommons.org/licenses/by-nd/2.5/", "CC-BY-ND-2.5"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0"),
        ("MIT", "MIT"),
        ("GPL-3.0-or-later", "GPL-3.0-or-later"),
        ("", "unknown"),
        ("\n\0", "unknown"),
        ("unknown", "unknown"),
    ],
)
def test_licences_have_one_name(text, identifier):
    assert spdx(text) == identifier
    assert spdx(identifier) == identifier


def test_what_fits_a_requirement():
    assert fits("CC-BY-4.0", parse_requirement(["cc0,cc-by"])) and fits("CC0-1.0", parse_requirement(["cc0"]))
    assert fits("CC-BY-4.0", parse_requirement(["cc-by-4.0"]))
    assert not fits("CC-BY-3.0", parse_requirement(["by 4.0"]))
    for licence in ("CC-BY-SA-4.0", "CC-BY-NC-4.0", "unknown", "MIT"):
        assert not fits(licence, parse_requirement(["cc0", "cc-by"]))
    for nothing in ([], [""], ["unknown"], ["cc0,unknown"]):
        with pytest.raises(UserError):
            parse_requirement(nothing)
    assert Credit().licence == "unknown"
