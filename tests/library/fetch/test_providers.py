"""Gathering from the services' answers, valid and malformed."""

import io
import json
import zipfile
from urllib.parse import parse_qs, urlsplit

import pytest

from bl30k_gen.errors import UserError
from bl30k_gen.library.catalogue import manifest
from bl30k_gen.library.fetch.download import FetchRefused
from bl30k_gen.library.fetch.providers import AddressList, AmbientCG, Commons, Openverse, PolyHaven, provider
from tests.support.web import collect, image, openverse


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
    """Answers of commons.wikimedia.org/w/api.php: in any order, with HTML in credits, and errors with status 200."""
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
        assert request.query()["iiurlwidth"] == "1920", "of other widths, most are not served any more"
        if next(busy):
            body = {"error": {"code": "maxlag", "info": "Waiting for db: 6 seconds lagged", "lag": 6}}
            return 200, {"Retry-After": 1, "MediaWiki-API-Error": "maxlag"}, body
        if "gsroffset" not in request.query():
            goes_on = {"gsroffset": 3, "continue": "gsroffset||"}
            return 200, {}, {"continue": goes_on, "query": {"pages": [page(n) for n in (3, 1, 2)]}}
        return 200, {}, {"batchcomplete": True, "query": {"pages": [page(4), {"pageid": 9, "title": "File:no.jpg"}]}}

    server.routes["/w/api.php"] = answer
    server.routes |= {f"/pictures/{n}.jpg": image(n) for n in range(1, 5)}
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
    server.routes["/planks.jpg"] = image(1)
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
        download = {"downloadLink": link, "fileName": "x.zip", "attribute": "1K-JPG", "filetype": "zip"}
        folders = {"default": {"downloadFiletypeCategories": {"zip": {"downloads": [download]}}}}
        return {"assetId": f"Wood{n}", "dataType": "Material", "downloadFolders": folders}

    def answer(request):
        query = request.query()
        assert query["q"] == "old,wood" and query["type"] == "Material" and query["include"] == "downloadData"
        offset = int(query["offset"])
        return 200, {}, {"numberOfResults": 3, "foundAssets": [asset(n) for n in range(offset, min(offset + 2, 3))]}

    zips = {"Wood0": zipped("Wood0_1K_Color.jpg", image(0)), "Wood1": b"PK\x03\x04 broken"}
    zips["Wood2"] = zipped("../../Wood2_1K_Color.png", image(2, format="PNG"))
    server.routes["/api/v2/full_json"] = answer
    server.routes["/get"] = lambda request: zips[request.query()["file"].partition("_")[0]]
    done = collect(AmbientCG(server.url), client, tmp_path / "out", keywords=("old wood",))
    assert done.new == 2 and sum(done.refused.values()) == 1 and not done.failed
    assert {p.suffix for p in (tmp_path / "out/old_wood").iterdir()} == {".jpg"}


def test_ambientcg_backgrounds(server, client, tmp_path):
    downloads = [
        {"downloadLink": f"{server.url}/{size}", "attribute": f"{size}K-TONEMAPPED", "filetype": "jpg"}
        for size in (8, 2)
    ]
    folders = {"default": {"downloadFiletypeCategories": {"jpg": {"downloads": downloads}}}}
    found = [{"assetId": "DaySkyHDRI001", "dataType": "HDRI", "downloadFolders": folders}]
    server.routes["/api/v2/full_json"] = (200, {}, {"numberOfResults": 1, "foundAssets": found})
    server.routes["/2"] = image(1)
    assert collect(AmbientCG(server.url), client, tmp_path / "out", kind="backgrounds").new == 1


@pytest.mark.parametrize("answer", [{}, [], "text", None, 7, {"results": 7, "page_count": "x", "foundAssets": {}}])
@pytest.mark.parametrize("service", [Openverse, Commons, PolyHaven, AmbientCG])
def test_answers_of_another_form_do_not_stop_gathering(server, client, tmp_path, service, answer):
    for path in ("/v1/images/", "/w/api.php", "/assets", "/api/v2/full_json"):
        server.routes[path] = json.dumps(answer).encode()
    assert collect(service(server.url), client, tmp_path / "out").new == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("# ours\nhttp://a/b\nwww.example.org/c.jpg\n", "line 3: www.example.org/c.jpg: begin it with http"),
        ("file:///etc/passwd\n", "line 1: file:///etc/passwd: begin"),
        ("# nothing\n\n", "holds no addresses"),
    ],
)
def test_mistakes_in_a_list_of_addresses_are_named(tmp_path, text, said):
    (tmp_path / "urls.txt").write_text(text)
    with pytest.raises(UserError, match=said):
        AddressList(tmp_path / "urls.txt")


def test_a_list_of_urls_may_begin_with_a_byte_order_mark(tmp_path):
    (tmp_path / "urls.txt").write_text("http://a/b\tcc0\tAda\n", encoding="utf-8-sig")
    (found,) = AddressList(tmp_path / "urls.txt").search(None, "", "textures")
    assert (found.url, found.credit.licence, found.credit.author) == ("http://a/b", "CC0-1.0", "Ada")


@pytest.mark.parametrize("base", ["ftp://x", "api.example.org", "http://"])
def test_invalid_base_urls_are_refused(base):
    with pytest.raises(UserError, match="--base-url"):
        provider("openverse", base, None, ())


def test_a_service_that_fails_is_named_and_the_rest_is_kept(server, client, tmp_path):
    openverse(server, 30)
    first = server.routes["/v1/images/"]
    server.routes["/v1/images/"] = lambda r: first(r) if r.query()["page"] == "1" else (500, {}, b"<html>oops</html>")
    done = collect(Openverse(server.url), client, tmp_path / "out", count=30)
    assert done.new == 20 and "HTTP 500" in done.failed[0]
    server.routes["/v1/images/"] = b"<html>maintenance</html>"
    assert "no JSON" in collect(Openverse(server.url), client, tmp_path / "b", keywords=("a", "b")).failed[1]


@pytest.mark.parametrize("results", [[], [{"url": "https://example.org/a.jpg", "license": "by"}]])
def test_a_service_that_announces_endless_pages_is_abandoned(server, client, results):
    """It announces 10^9 pages, and sends nothing, or the same page repeatedly."""
    server.routes["/v1/images/"] = lambda _: (200, {}, {"page_count": 10**9, "results": results})
    with pytest.raises(FetchRefused, match="3 pages in a row had nothing new"):
        list(Openverse(server.url).search(client, "wood", "textures"))
    assert len(server.asked) <= 5
    found = {"numberOfResults": 10**9, "foundAssets": [{"assetId": "a"}]}
    server.routes["/api/v2/full_json"] = lambda _: (200, {}, found)
    with pytest.raises(FetchRefused, match="nothing new"):
        list(AmbientCG(server.url).search(client, "wood", "textures"))
    server.routes["/w/api.php"] = lambda _: (200, {}, {"continue": {"x": 1}, "query": {"pages": []}})
    with pytest.raises(FetchRefused, match="nothing new"):
        list(Commons(server.url).search(client, "wood", "textures"))
