"""Datasets by URL: the memory of this process, a web server with ranges, and a server of the S3 protocol."""

import contextlib
import functools
import json
import multiprocessing
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import aiohttp
import botocore.exceptions
import fsspec
import pytest

from bl30k_gen import remote
from bl30k_gen.dataset import shards
from bl30k_gen.dataset.info import summarise
from bl30k_gen.dataset.pack import pack, unpack
from bl30k_gen.dataset.reader import open_dataset
from bl30k_gen.dataset.trees import ShardTree
from bl30k_gen.dataset.verify import verify
from bl30k_gen.errors import UserError
from bl30k_gen.remote import RemotePath, RemoteRanges, place

BUCKET = "s3://data"


class _Files(BaseHTTPRequestHandler):
    """GET and HEAD of the files of a folder, in ranges; ``asked`` keeps [path, bytes sent]."""

    protocol_version = "HTTP/1.1"
    ranges = True
    failures = 0  # of every (path, range) before it is answered, with 503 and with half of the bytes in turns
    failed: dict[tuple[str, str], int]
    root: Path
    asked: list[list]

    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer(body=True)

    def _answer(self, body):
        what = (self.path, self.headers.get("Range", "") if body else "HEAD")
        fails = self.failed.setdefault(what, 0) < self.failures
        self.failed[what] += 1
        if fails and (self.failed[what] % 2 or not body):
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        path = self.root / self.path.partition("?")[0].lstrip("/")
        data = path.read_bytes() if path.is_file() else None
        begin, status = 0, 200 if data is not None else 404
        data = b"nothing here" if data is None else data
        whole = len(data)
        if found := re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", "")):
            if self.ranges and status == 200:
                begin, status = int(found[1]), 206
                data = data[begin : int(found[2]) + 1]
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        if self.ranges:
            self.send_header("Accept-Ranges", "bytes")
        if status == 206:
            self.send_header("Content-Range", f"bytes {begin}-{begin + len(data) - 1}/{whole}")
        self.end_headers()
        if fails:
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
        elif body:
            row = [self.path, 0]
            self.asked.append(row)  # before the client has the last bytes
            with contextlib.suppress(OSError):  # the client closed the connection
                for start in range(0, len(data), 65536):
                    row[1] += len(data[start : start + 65536])
                    self.wfile.write(data[start : start + 65536])

    def log_message(self, *_):
        pass


@pytest.fixture
def web(tmp_path):
    """``web(root, ranges=True, failures=0) -> (URL, asked)``: a server of the files in a folder."""
    servers = []

    def serve(root, ranges=True, failures=0):
        asked: list[list] = []
        settings = {"root": Path(root), "ranges": ranges, "asked": asked, "failures": failures, "failed": {}}
        handler = type("Files", (_Files,), settings)
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_address[1]}", asked

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def s3():
    """Address of an S3 server with the bucket ``data``."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=address, **keys).create_bucket(Bucket="data")
    yield address
    server.stop()


@pytest.fixture
def bucket(s3, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return BUCKET


@pytest.fixture
def memory():
    yield "memory://"
    fsspec.filesystem("memory").rm("/", recursive=True)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/bl30k/shards"


@pytest.fixture(params=["tar", "hdf5"])
def packed(request, pristine, tmp_path):
    pack(open_dataset(pristine.root), tmp_path / "packed", request.param)
    return tmp_path / "packed"


def copy_to(root: Path, url: str) -> str:
    """Copy a folder's files to a URL."""
    fs, base = fsspec.core.url_to_fs(url)
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        fs.pipe_file(f"{base}/{path.relative_to(root).as_posix()}", path.read_bytes())
    return url


def require_same(store, root):
    """Assert that a store returns exactly the files of a dataset's folder."""
    here = open_dataset(root)
    assert store.videos == here.videos
    for name in here.videos:
        assert store.members(name) == here.members(name)
        assert [store.tree.read(path) for path in here.members(name)] == [
            here.tree.read(path) for path in here.members(name)
        ]
    assert store.image_set("train") == here.image_set("train")
    assert summarise(store) == summarise(here)
    assert store.config() == here.config()
    report = verify(store.path, deep=True)
    assert report.ok, report.table()
    assert report.files == verify(root).files


def test_shards_in_memory(packed, pristine, memory):
    require_same(open_dataset(copy_to(packed, "memory://somewhere/packed")), pristine.root)


def test_a_folder_in_memory(pristine, memory):
    url = copy_to(pristine.root, "memory://plain")
    require_same(open_dataset(url), pristine.root)


def test_a_dataset_that_was_rendered_into_shards(sharded, memory):
    url = copy_to(sharded("tar"), "memory://sharded")
    assert open_dataset(url).videos == open_dataset(sharded("tar")).videos
    assert verify(url, deep=True).ok


def test_a_web_server_needs_to_list_nothing(packed, pristine, web):
    url, asked = web(packed)
    require_same(open_dataset(url), pristine.root)
    shard = next(p for p in packed.iterdir() if p.suffix in shards.SUFFIXES)
    require_same(open_dataset(f"{url}/{shard.name}"), pristine.root)
    assert {path for path, _ in asked} <= {f"/{p.name}" for p in packed.iterdir()} | {f"/{shard.name}.index.json"}


def test_a_frame_is_one_range(packed, web):
    """Of a shard no more is fetched than its ends and the frames that are asked for."""
    url, asked = web(packed)
    store = open_dataset(url)
    asked.clear()
    frames = [("a00000", 3), ("a00002", 1), ("a00001", 6)]
    sizes = [len(store.rgb_bytes(name, i)) for name, i in frames]
    if all(p.suffix != ".h5" for p in packed.iterdir()):  # the index inside an HDF5 file is compared too
        assert [size for _, size in asked] == [shards.HEADER + size for size in sizes]


def test_following_frames_are_prefetched(web, tmp_path):
    data = bytes(range(256)) * 8192
    (tmp_path / "file").write_bytes(data)
    url, asked = web(tmp_path)
    ranges, position = RemoteRanges(RemotePath(f"{url}/file")), 0
    while position + 9000 <= len(data):
        assert ranges.read(position, 9000) == data[position : position + 9000]
        position += 9216
    assert len(asked) < 10
    asked.clear()
    for position in (500000, 3000, 1000000):
        assert ranges.read(position, 700) == data[position : position + 700]
    assert [size for _, size in asked] == [700] * 3


def test_a_shard_without_an_index_is_read_once(packed, pristine, web, cache, caplog):
    for index in packed.glob("*.index.json"):
        index.unlink()
    url, _ = web(packed)
    require_same(open_dataset(url), pristine.root)
    assert "is read once" in caplog.text
    assert len(list(cache.iterdir())) == 1
    caplog.clear()
    assert open_dataset(url).videos and not caplog.text


def test_s3(packed, pristine, bucket):
    require_same(open_dataset(copy_to(packed, f"{bucket}/{packed.parent.name}")), pristine.root)


def test_a_folder_on_s3(pristine, bucket):
    require_same(open_dataset(copy_to(pristine.root, f"{bucket}/plain")), pristine.root)


def _hash_all(store, _):
    return [store.rgb_bytes(name, i) for name in store.videos for i in range(8)]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_read_it(packed, web, method):
    store = open_dataset(web(packed)[0])
    expected = _hash_all(store, 0)
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.map(functools.partial(_hash_all, store), [0], chunksize=1) == [expected]


@pytest.mark.parametrize("kind", ["tar", "hdf5"])
def test_pack_to_s3_and_back(pristine, bucket, tmp_path, kind):
    here = pack(open_dataset(pristine.root), tmp_path / "here", kind)
    out = place(f"{bucket}/packed-{kind}")
    made = pack(open_dataset(pristine.root), out, kind)
    assert [path.name for path in made] == [path.name for path in here]
    fs = fsspec.filesystem("s3")
    for path in sorted((tmp_path / "here").iterdir()):
        assert fs.cat_file(f"{out.url}/{path.name}") == path.read_bytes(), path.name
    require_same(open_dataset(out), pristine.root)
    assert unpack(out, tmp_path / "back") == 3
    require_same(open_dataset(tmp_path / "back"), pristine.root)


def test_pack_continues(pristine, memory, monkeypatch):
    out = place("memory://packed")
    pack(open_dataset(pristine.root), out, "tar")
    before = fsspec.filesystem("memory").info("/packed/BL30K_a.tar")["created"]
    pack(open_dataset(pristine.root), out, "tar")
    assert fsspec.filesystem("memory").info("/packed/BL30K_a.tar")["created"] == before
    with pytest.raises(UserError, match="was made with kind = tar"):
        pack(open_dataset(pristine.root), out, "hdf5")
    fsspec.filesystem("memory").pipe_file("/other/file.txt", b"somebody's")
    with pytest.raises(UserError, match=re.escape("memory://other holds file.txt")):
        pack(open_dataset(pristine.root), place("memory://other"), "tar")


def test_verify_finds_remote_damage(packed, memory):
    shard = next(p for p in packed.iterdir() if p.suffix in shards.SUFFIXES)
    store = open_dataset(shard)
    path = store.mask_path("a00001", 3)
    _, offset, size = store.tree._row(path)
    data = bytearray(shard.read_bytes())
    data[offset + size // 2] ^= 0xFF
    fsspec.filesystem("memory").pipe_file(f"/d/{shard.name}", bytes(data))
    index = shards.index_path(shard)
    saved = json.loads(index.read_text())
    saved["shard"] = shards._identity(RemotePath(f"memory://d/{shard.name}"))
    fsspec.filesystem("memory").pipe_file(f"/d/{index.name}", json.dumps(saved).encode())
    assert [(p.video, p.kind, p.detail) for p in verify(f"memory://d/{shard.name}").problems] == [
        ("a00001", "checksum", path)
    ]


def test_an_index_of_another_shard_is_noticed(packed, memory, cache, caplog):
    shard = next(p for p in packed.iterdir() if p.suffix in shards.SUFFIXES)
    copy_to(packed, "memory://d")
    saved = json.loads(shards.index_path(shard).read_text())
    saved["shard"]["bytes"] += 1
    fsspec.filesystem("memory").pipe_file(f"/d/{shard.name}.index.json", json.dumps(saved).encode())
    assert len(open_dataset(f"memory://d/{shard.name}").videos) == 3
    assert "is read once" in caplog.text


def refused(url, match, **options):
    with pytest.raises(UserError) as raised:
        open_dataset(url, **options)
    assert re.search(match, str(raised.value)), raised.value
    assert "\n" not in str(raised.value)


def test_a_server_without_ranges_is_refused(packed, web):
    big = packed / "BL30K_b.tar"
    big.write_bytes(bytes(64 << 20))
    url, asked = web(packed, ranges=False)
    refused(f"{url}/{big.name}", "gives whole files, not ranges of them: download it first")
    assert sum(size for _, size in asked) <= 32 << 20


def test_temporary_failures_of_a_server_are_survived(packed, pristine, web, monkeypatch, caplog):
    monkeypatch.setattr(remote, "_PAUSES", (0, 0))
    url, _ = web(packed, failures=2)
    require_same(open_dataset(url), pristine.root)
    assert "503" in caplog.text and "payload is not completed" in caplog.text and "tried again" in caplog.text
    refused(web(packed, failures=3)[0], "503.*: check the URL, the network")


def test_a_time_out_is_tried_again(monkeypatch):
    monkeypatch.setattr(remote, "_PAUSES", (0, 0))
    answers = [aiohttp.SocketTimeoutError(), botocore.exceptions.ReadTimeoutError(endpoint_url="x")]

    def answer():
        if answers:
            raise answers.pop()
        return b"data"

    assert remote._retried(RemotePath("https://a/b"), answer) == b"data" and not answers


def test_a_missing_shard_is_no_damaged_one(web, tmp_path):
    with pytest.raises(UserError, match="x.tar cannot be read: there is no such file"):
        verify(f"{web(tmp_path)[0]}/x.tar")


def test_missing_remote_files(web, bucket, memory, tmp_path):
    url, _ = web(tmp_path)
    refused(f"{url}/x.tar", r"shard http://\S+/x.tar cannot be read: there is no such file")
    refused(f"{url}/x", "does not exist, or its server lists no files: give a shard, or a folder .* SHA256SUMS")
    refused(f"{bucket}/nothing", "s3://data/nothing does not exist.*: check the path")
    refused("s3://nobucket/x", "s3://nobucket/x does not exist.*: there is no s3://nobucket, or it is not yours")
    refused("memory://nowhere", "does not exist")


def test_no_network_and_unknown_schemes(monkeypatch):
    monkeypatch.setattr(remote, "_PAUSES", ())
    refused("http://127.0.0.1:9/x.tar", r"http://127.0.0.1:9/x.tar cannot be read \(.*: check the URL, the network")
    refused("xyz://a/b", "is of an unknown kind: known are s3://")
    refused("simplecache::memory://a", "is a chain of URLs: give a plain one")


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "fsspec.core", None)
    refused("s3://a/b.tar", r"needs a package that is not installed .*: pip install 'bl30k\[cloud\]'")


def test_secrets_are_not_printed(web, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(remote, "_PAUSES", (0,))
    (tmp_path / "x.tar").write_bytes(bytes(99))
    unable, _ = web(tmp_path, failures=9)
    with pytest.raises(UserError, match="cannot be read") as raised:
        open_dataset(f"{unable}/x.tar?signature=SECRET")
    (tmp_path / "x.tar").unlink()
    assert "503" in caplog.text and "SECRET" not in caplog.text + str(raised.value)
    error = ValueError("no (https://me:SECRET@host/a?b=SECRET), try")
    assert str(remote._failure(RemotePath("s3://a/b"), "read", error)).startswith(
        "s3://a/b cannot be read (no (https://host/a?... try)"
    )
    address = web(tmp_path)[0].removeprefix("http://")
    with pytest.raises(UserError) as raised:
        open_dataset(f"http://{address}/x.tar?signature=SECRET")
    assert "SECRET" not in str(raised.value)
    url = RemotePath("https://user:PASSWORD@host/a/b.tar?token=SECRET")
    assert str(url) == "https://host/a/b.tar?..."
    assert shards.index_path(url).url == "https://user:PASSWORD@host/a/b.tar.index.json?token=SECRET"


def test_read_only_schemes_are_not_written_to(web, tmp_path, pristine):
    with pytest.raises(UserError, match=r"cannot be written: give a folder, or one of s3://"):
        pack(open_dataset(pristine.root), place(web(tmp_path)[0] + "/out"), "tar")


def test_paths_and_urls_are_distinguished():
    assert place("out/demo") == Path("out/demo")
    assert place("file:///tmp/x%20y") == Path("/tmp/x y")
    assert place("C:\\data") == Path("C:\\data")
    url = place("s3://bucket/a/b/")
    assert (url.name, str(url.parent), [str(p) for p in url.parents]) == (
        "b",
        "s3://bucket/a",
        ["s3://bucket/a", "s3://bucket"],
    )


def test_local_shards_open_no_url(pristine, tmp_path):
    """A local dataset is read without fsspec."""
    pack(open_dataset(pristine.root), tmp_path / "shards", "tar")
    tree = open_dataset(tmp_path / "shards").tree
    assert isinstance(tree, ShardTree) and tree.read("Metadata/a00000.json")
    assert [type(opened).__name__ for opened in tree._opened.values()] == ["LocalRanges"]
