"""Processing of gathered images, and resuming."""

import io
import json
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from bl30k_gen.config import Assets
from bl30k_gen.dataset.images import PHOTO
from bl30k_gen.errors import UserError
from bl30k_gen.library.asset import AssetRefused
from bl30k_gen.library.catalogue import manifest
from bl30k_gen.library.catalogue.catalogue import open_catalogue
from bl30k_gen.library.fetch import gather
from bl30k_gen.library.fetch.gather import GatherRequest, fingerprint, square_of
from bl30k_gen.library.fetch.providers import Openverse
from bl30k_gen.library.formats.image import decode
from bl30k_gen.seeding import rng
from tests.support.web import SMALL, collect, from_list, image, openverse


def test_gathered_images_are_encoded_again(server, client, tmp_path):
    """Images are upright, cropped to squares, area-scaled, without metadata, under a new file name."""
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
        image(size=(48, 40))[:-200],
        image(size=(31, 100)),
        image(size=(2000, 600)),
        b"%PDF-1.4",
        b"GIF89a" + bytes(100),
    ],
)
def test_unusable_images_are_refused(server, client, tmp_path, body):
    """The declared type does not matter."""
    server.routes["/a.jpg"] = (200, {"Content-Type": "image/jpeg"}, body)
    provider = from_list(server, tmp_path, "/a.jpg")
    done = collect(provider, client, tmp_path / "out", keywords=())
    assert done.new == 0 and sum(done.refused.values()) == 1
    assert len(server.asked) == 1
    collect(provider, client, tmp_path / "out", keywords=())
    assert len(server.asked) == 1, "what is refused is not asked for again"


def test_large_jpegs_are_decoded_small_and_look_the_same():
    """A panorama of 16384 x 8192 pixels would otherwise take gigabytes."""
    assert 16384 * 8192 / 1e6 <= GatherRequest("backgrounds", (), 1).limits.max_megapixels
    data = image(3, (2048, 1024), quality=95)
    whole = Image.open(io.BytesIO(data))
    pixels = decode(data, "it", AssetRefused, SMALL["limits"].model_copy(update={"max_megapixels": 3}), PHOTO)
    assert pixels.shape == (128, 256, 3)
    np.testing.assert_allclose(pixels.astype(int), np.asarray(whole.reduce(8)), atol=6)
    with pytest.raises(AssetRefused, match="truncated"):
        decode(data[:-2000], "it", AssetRefused, SMALL["limits"].model_copy(update={"max_megapixels": 3}), PHOTO)


def test_duplicates_are_found_by_bytes_and_by_looks(server, client, tmp_path):
    once, again = image(1, (64, 64)), image(1, (100, 100), "PNG")
    bodies = {"/a": once, "/b": once, "/c": again, "/d": image(1, (64, 64), quality=40), "/e": image(2, (64, 64))}
    server.routes |= bodies
    done = collect(from_list(server, tmp_path, *bodies), client, tmp_path / "out", keywords=())
    assert done.new == 2
    assert done.refused == {"the same file is there already": 1, "looks like an image that is there already": 2}


def test_different_images_are_not_duplicates():
    prints = [fingerprint(np.asarray(Image.open(io.BytesIO(image(n, (64, 64)))))) for n in range(60)]
    nearest = min((a ^ b).bit_count() for i, a in enumerate(prints) for b in prints[:i])
    assert nearest > 2 * gather.MAX_HASH_DISTANCE


def test_whole_images_are_kept_on_request(server, client, tmp_path):
    server.routes["/a"] = image(1, (90, 60))
    collect(from_list(server, tmp_path, "/a"), client, tmp_path / "out", keywords=(), full=tmp_path / "full")
    name = manifest.read_lines(tmp_path / "full")[0]["file"]
    assert Image.open(tmp_path / "full" / name).size == (90, 60)
    assert Image.open(tmp_path / "out" / name).size == (32, 32)


# --- Going on -------------------------------------------------------------------------------------------------------


def test_an_interrupted_run_continues(server, client, tmp_path):
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


def test_a_completed_search_is_not_repeated(server, client, tmp_path):
    """Otherwise services with few searches per day would never reach the later keywords."""
    openverse(server, 4)
    for _ in range(2):
        done = collect(Openverse(server.url), client, tmp_path / "out", count=9)
        assert done.kept == {"wood": 4}
        assert len([path for path in server.asked if path.startswith("/v1")]) == 1
    collect(Openverse(server.url, ("CC-BY",)), client, tmp_path / "out", count=9, licences=("CC-BY",))
    assert len([path for path in server.asked if path.startswith("/v1")]) == 2, "it is another search"


def test_a_search_with_failed_downloads_is_repeated(server, client, tmp_path):
    openverse(server, 3)
    there, server.routes["/pictures/1.jpg"] = server.routes["/pictures/1.jpg"], (503, {}, b"")
    assert collect(Openverse(server.url), client, tmp_path / "out").new == 2
    server.routes["/pictures/1.jpg"] = there
    assert collect(Openverse(server.url), client, tmp_path / "out").new == 1


def test_the_number_of_workers_does_not_change_the_result(server, client, tmp_path):
    openverse(server, 12)
    request = GatherRequest("textures", ("wood",), 6, **SMALL)
    for workers in (1, 6):
        out = tmp_path / str(workers)
        gather.gather(Openverse(server.url), client, request, out, workers, lambda _: None)
    files = [[line["file"] for line in manifest.read_lines(tmp_path / workers)] for workers in ("1", "6")]
    assert files[0] == files[1]


def test_an_image_host_that_is_down_does_not_stop_gathering(server, client, tmp_path):
    server.routes |= {"/b": image(1), "/a": (503, {}, b"")}
    done = collect(from_list(server, tmp_path, "/a", "/b"), client, tmp_path / "out", keywords=())
    assert done.new == 1 and done.refused == {"its host does not answer": 1}
    server.routes["/a"] = image(2)
    assert collect(from_list(server, tmp_path, "/a", "/b"), client, tmp_path / "out", keywords=()).new == 1


def test_gathered_images_are_assets_with_licences(server, client, tmp_path):
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


def test_the_shipped_keywords_are_readable():
    for kind in ("textures", "backgrounds"):
        words = gather.read_keywords(Path(__file__).parents[3] / f"assets/{kind}.txt")
        assert len(words) >= 75 and len({gather.folder_name(word) for word in words}) == len(words)


def test_empty_keywords_are_an_error(tmp_path):
    (tmp_path / "words.txt").write_text("# nothing\n")
    with pytest.raises(UserError, match="holds none"):
        gather.read_keywords(tmp_path / "words.txt")
