"""The client limits its rate to each host, and checks the hosts' answers."""

import gzip
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from bl30k_gen.library.fetch import download
from bl30k_gen.library.fetch.download import Client, FetchRefused, Politeness, ServiceUnavailable
from tests.support.web import FAST


def test_retry_after_is_honoured(server, client):
    answers = iter([(429, {"Retry-After": "1"}, b""), (503, {"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}, b"")])
    server.routes["/a"] = lambda _: next(answers, (200, {}, b"fine"))
    assert client.get(f"{server.url}/a", 100)[0] == b"fine"
    assert len(server.times) == 3 and server.times[1] - server.times[0] >= 0.99
    assert server.agents == {download.USER_AGENT.format(contact="")}


def test_a_host_that_demands_too_long_a_wait_is_skipped(server):
    server.routes["/a"] = (429, {"Retry-After": "3600"}, b"")
    with Client(Politeness(**FAST, allow_private=True)) as client, pytest.raises(ServiceUnavailable, match="3[56]"):
        client.get(f"{server.url}/a", 100)
    assert len(server.asked) == 1


def test_back_off_grows_and_is_bounded(server):
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


def test_a_host_gets_at_most_two_requests_in_parallel(server, client):
    under_way, most, lock = 0, 0, threading.Lock()

    def answer(_):
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        time.sleep(0.05)
        with lock:
            under_way -= 1
        return 200, {}, b"fine"

    server.routes["/a"] = answer
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: client.get(f"{server.url}/a", 100), range(8)))
    assert most == 2


def test_a_published_rate_limit_is_observed(server, client, monkeypatch):
    monkeypatch.setitem(download.PUBLISHED_RATES, f"127.0.0.1:{server.port}", 10)
    server.routes["/a"] = b"fine"
    begin = time.monotonic()
    for _ in range(3):
        client.get(f"{server.url}/a", 100)
    assert time.monotonic() - begin >= 0.2


def test_redirects_wait_their_turn(server, client, monkeypatch):
    monkeypatch.setitem(download.PUBLISHED_RATES, f"127.0.0.1:{server.port}", 10)
    for number in range(3):
        server.routes[f"/{number}"] = (302, {"Location": f"/{number + 1}"}, b"")
    server.routes["/3"] = b"fine"
    begin = time.monotonic()
    assert client.get(f"{server.url}/0", 100)[0] == b"fine"
    assert time.monotonic() - begin >= 0.3 and len(server.asked) == 4


def test_missing_images_are_not_requested_again(server, client):
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


BOMB = gzip.compress(gzip.compress(bytes(1 << 24)))


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
        ((200, {"Content-Encoding": "gzip, gzip"}, BOMB), FetchRefused, "compressed"),
        ((200, {"Content-Encoding": "gzip"}, gzip.compress(b"fine")), FetchRefused, "compressed"),
        ((200, {"Content-Encoding": "identity"}, b"fine"), None, ""),
        ((302, {"Location": "file:///etc/passwd"}, b""), FetchRefused, "file:///etc/passwd"),
        ((302, {"Location": "ftp://example.org/a"}, b""), FetchRefused, "ftp://"),
        ((302, {"Location": "/a"}, b""), FetchRefused, "redirects"),
        ((302, {"Location": "http://[::1"}, b""), FetchRefused, "http"),
    ],
)
def test_malformed_bodies_and_redirects_are_errors(server, answer, error, said):
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
def test_only_http_is_supported(client, url):
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
    + [("fe80::1%eth0", False), ("fd00::1", False), ("2002:7f00:1::", False), ("64:ff9b::a00:1", False)]
    + [("::ffff:8.8.8.8", True), ("64:ff9b::808:808", True), ("::127.0.0.1", False), ("::ffff:0:7f00:1", False)]
    + [("64:ff9b:1::a00:1", False), ("fec0::1", False), ("2001:0:7f00:1::", False), ("ff02::1", False)]
    + [("::", False), ("240.0.0.1", False), ("255.255.255.255", False)],
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
