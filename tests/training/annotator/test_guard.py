"""Requests that the server refuses, on HTTP and on the websocket."""

import asyncio
import http.client
import json
from urllib.parse import urlsplit

import numpy as np
import pytest
import websockets

from bl30k_gen.dataset.masks import encode_mask
from bl30k_gen.errors import DiskFull, UserError
from tests.support.annotator import moving_video, serving
from training.annotator import server as server_module
from training.interactive.session import InteractiveSession


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    video = moving_video(4)
    out = tmp_path_factory.mktemp("guard")
    with serving(video, out, lambda: InteractiveSession(None, video, [])) as running:
        yield running


def ask(server, path, method="GET", body=None, token=True, **headers):
    """(status, headers, body)"""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.putrequest(method, path, skip_host=True)
    sent = {"Host": f"127.0.0.1:{server.port}"} | headers
    if token:
        sent["Authorization"] = f"Bearer {server.token}"
    if body is not None:
        sent["Content-Length"] = str(len(body))
    for name, value in sent.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders(body)
    answer = connection.getresponse()
    return answer.status, dict(answer.getheaders()), answer.read()


def status(server, path, **about):
    return ask(server, path, **about)[0]


def test_a_full_disk_has_a_remedy_that_fits_a_page(server, monkeypatch):
    def refuse(number, png):
        raise DiskFull("no space left in /disk for 00000.png", "free some space and run the same command again")

    monkeypatch.setattr(server.workspace, "set_mask", refuse)
    code, _, text = ask(server, "/api/mask/0", "PUT", b"png")
    assert code == 422 and text.decode().startswith("no space left in /disk") and b"try again" in text
    assert b"command" not in text


def test_the_address_holds_the_token_in_its_fragment(server):
    parts = urlsplit(server.url)
    assert parts.hostname == "127.0.0.1" and parts.fragment == server.token and len(server.token) >= 32
    assert not parts.query and parts.path == "/"


def test_the_page_needs_no_token_and_the_video_does(server):
    code, headers, page = ask(server, "/", token=False)
    assert code == 200 and b"<canvas" in page
    assert headers["content-security-policy"].startswith("default-src 'self';")
    assert status(server, "/static/app.js", token=False) == 200
    for path in ("/api/frame/0", "/api/mask/0"):
        assert status(server, path) == 200
        assert status(server, path, token=False) == 403
        assert status(server, path, token=False, Authorization="Bearer wrong") == 403
        assert status(server, path, token=False, Authorization=f"Basic {server.token}x") == 403


@pytest.mark.parametrize("path", ["/", "/static/app.js", "/api/frame/0"])
def test_foreign_hosts_and_pages_are_refused(server, path):
    own = f"http://127.0.0.1:{server.port}"
    assert status(server, path, Host=f"localhost:{server.port}") == 200
    assert status(server, path, Origin=own) == 200
    for headers in (
        {"Host": "evil.example"},
        {"Host": f"evil.example:{server.port}"},
        {"Host": "127.0.0.1:1"},
        {"Host": ""},
        {"Origin": "http://evil.example"},
        {"Origin": f"https://127.0.0.1:{server.port}"},
        {"Origin": "null"},
        {"Origin": f"http://127.0.0.1:{server.port + 1}"},
        {"Sec_Fetch_Site": "cross-site"},
    ):
        assert status(server, path, **headers) in (400, 403), headers


@pytest.mark.parametrize(
    "path",
    [
        "/static/../server.py",
        "/static/%2e%2e/server.py",
        "/static//etc/passwd",
        "//etc/passwd",
        "/etc/passwd",
        "/static/..%2fserver.py",
        "/static/linked.js",
        "/api/frame/../../etc/passwd",
        "/api/frame/-1",
        "/api/frame/99",
        "/api/frame/0?size=../../x",
        "/api/mask/0?which=/etc/passwd",
        "/api/mask/99999999999999999999",
    ],
)
def test_no_path_leads_outside(server, path):
    code, _, body = ask(server, path)
    assert code in (400, 403, 404) and b"root:" not in body and b"import" not in body


def test_uploads_have_limits(server, monkeypatch):
    ids = np.ones((60, 90), np.uint8)
    assert status(server, "/api/mask/1", method="PUT", body=encode_mask(ids)) == 204
    assert status(server, "/api/mask/1", method="PUT", body=encode_mask(ids), token=False) == 403
    assert status(server, "/api/mask/9", method="PUT", body=encode_mask(ids)) == 404
    for broken in (b"", b"no PNG", encode_mask(ids)[:60], encode_mask(ids[:10])):
        code, _, said = ask(server, "/api/mask/1", method="PUT", body=broken)
        assert code == 422 and said
    monkeypatch.setattr(server_module, "MAX_UPLOAD", 1000)
    assert status(server, "/api/mask/1", method="PUT", body=b"x" * 1001) == 413
    assert status(server, "/api/frame/0", method="DELETE") == 405


def talk(server, *messages, protocols=None, host=None, **options):
    """The answers to messages, or the status with which the handshake was refused, or ("closed", code)."""

    async def go():
        port = server.port
        subprotocols = ["annotate", f"token.{server.token}"] if protocols is None else protocols
        address = f"ws://127.0.0.1:{port}/api/socket"
        headers = {"Host": host} if host else None
        try:
            async with websockets.connect(
                address, subprotocols=subprotocols, max_size=None, additional_headers=headers, **options
            ) as socket:
                answers = []
                for message in messages:
                    await socket.send(message)
                    while True:
                        news = json.loads(await socket.recv())
                        if "answer" in news:
                            answers.append(news)
                            break
                return answers
        except websockets.InvalidStatus as error:
            return error.response.status_code
        except websockets.ConnectionClosed as error:
            return "closed", error.rcvd.code if error.rcvd else None

    return asyncio.run(asyncio.wait_for(go(), 30))


def test_masks_before_a_round_that_is_gone_are_not_shown_empty(server):
    code, _, said = ask(server, "/api/mask/0?which=before")
    assert code == 404 and b"before the last round" in said


def test_the_websocket_refuses_the_same(server):
    own = f"http://127.0.0.1:{server.port}"
    visit = json.dumps({"id": 1, "visit": 1})
    assert talk(server, visit, origin=own) == [{"answer": 1, "done": ""}]
    assert talk(server, visit, origin="http://evil.example") == 403
    assert talk(server, visit, origin="null") == 403
    assert talk(server, visit, protocols=["annotate"], origin=own) == 403
    assert talk(server, visit, protocols=["annotate", "token.wrong"], origin=own) == 403
    assert talk(server, visit, origin=own, protocols=["annotate", f"token.{server.token}x"]) == 403


def test_the_websocket_refuses_another_host(server):
    async def handshake() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        lines = [
            "GET /api/socket HTTP/1.1",
            f"Host: evil.example:{server.port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Protocol: annotate, token.{server.token}",
        ]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        first = await asyncio.wait_for(reader.readline(), 20)
        writer.close()
        return first

    assert b"403" in asyncio.run(handshake())


def test_invalid_messages_are_ignored(server):
    workspace = server.workspace
    state = workspace.session.state
    messages = [
        "no JSON",
        "[]",
        "{}",
        '{"id": -1}',
        '{"id": 1, "unknown": 2}',
        '{"id": 1, "action": {"do": "save", "file": "/tmp/x"}}',
        '{"id": 1, "action": {"do": "mask", "frame": 0, "file": "../../x.png"}}',
        '{"id": 1, "action": {"do": "brush", "frame": 0, "object": 1, "path": []}}',
        '{"id": 1, "action": {"do": "brush", "frame": 99, "object": 1, "path": [[0, 0]]}}',
        '{"id": 1, "action": {"do": "brush", "frame": 0, "object": 200, "path": [[0, 0]]}}',
        '{"id": 1, "action": {"do": "brush", "frame": 0, "object": 1, "path": [[NaN, 0]]}}',
        '{"id": 1, "action": {"do": "brush", "frame": 0, "object": 1, "path": [[0, 0]], "radius": -3}}',
        '{"id": 1, "action": {"do": "propagate"}}',
        '{"id": 1, "look": {"object": 1, "colour": "url(x)"}}',
        '{"id": 1, "export": "../etc"}',
        '{"id": 1, "control": "cancel"}',
        "[" * 5000,
    ]
    for answer in talk(server, *messages):
        assert answer["error"], answer
    assert workspace.session.state is state
    assert talk(server, "x" * (2**20 + 1)) == ("closed", 1009)
    assert talk(server, json.dumps({"id": 3, "visit": 0})) == [{"answer": 3, "done": ""}], "it still works"


def test_capitals_in_the_name_of_the_machine_do_not_matter(monkeypatch):
    monkeypatch.setattr(server_module.socket, "gethostname", lambda: "MacBook-Pro.local")
    monkeypatch.setattr(server_module.socket, "getaddrinfo", lambda *_: [])
    server = server_module.Server(moving_video(1), lambda: None, "0.0.0.0", 0)
    guard = server.application()
    server._socket.close()

    def refusal(host, origin):
        headers = [
            (b"host", f"{host}:{server.port}".encode()),
            (b"origin", f"http://{origin}:{server.port}".encode()),
        ]
        return guard._refusal({"type": "http", "path": "/", "headers": headers})

    assert refusal("macbook-pro.local", "macbook-pro.local") is None
    assert refusal("MacBook-Pro.local", "macbook-pro.local") is None
    assert refusal("macbook-pro.local", "evil.example") is not None


def test_hosts_without_an_address_are_one_line(monkeypatch):
    with pytest.raises(UserError, match="--host nowhere.invalid"):
        server_module.Server(moving_video(1), lambda: None, "nowhere.invalid", 0)

    def unknown(*_):
        raise server_module.socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(server_module.socket, "getaddrinfo", unknown)
    with pytest.raises(UserError, match="name .* has no address .*: give --host one address"):
        server_module.Server(moving_video(1), lambda: None, "0.0.0.0", 0)
    server = server_module.Server(moving_video(1), lambda: None, "127.0.0.2", 0)
    assert f"127.0.0.2:{server.port}" in server.hosts
    server._socket.close()


def test_a_server_for_others_names_its_hosts(tmp_path):
    server = server_module.Server(moving_video(1), lambda: None, "0.0.0.0", 0)
    assert f"127.0.0.1:{server.port}" in server.hosts and f"0.0.0.0:{server.port}" in server.hosts
    assert all(host.endswith(f":{server.port}") for host in server.hosts)
    server._socket.close()
