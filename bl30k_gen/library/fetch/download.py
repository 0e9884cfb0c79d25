"""A rate-limited HTTP client that validates responses, for images from public servers.

It spaces its requests to a host, has at most two in progress, waits as long as the host asks (``Retry-After``), and
longer after each failure. It supports only http and https. It refuses private addresses (of every redirect's host,
after name resolution), bodies that are compressed or larger than allowed, and transfers that take too long.
"""

import email.utils
import ipaddress
import math
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakSet

import requests
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from bl30k_gen.errors import UserError
from bl30k_gen.inputs import parse_json

USER_AGENT = "bl30k-generator/0.1 (image gathering for synthetic video datasets{contact})"
RETRIED = {408, 425, 429, 500, 502, 503, 504}  # HTTP statuses after which a request may succeed later
BLOCK = 1 << 16
MAX_CONCURRENT = 2  # requests to one host: the limit of upload.wikimedia.org, and sufficient for the others
PUBLISHED_RATES = {"api.openverse.org": 20 / 60}  # requests per second of hosts that state a limit (and 200 a day)


class FetchRefused(Exception):
    """The request fails permanently; the message is one line with the reason."""


class ServiceUnavailable(Exception):
    """The host does not answer, or asks for a longer wait than ``Politeness.patience``."""


@dataclass(frozen=True)
class Politeness:
    """Limits of the load on public servers. Times in seconds."""

    per_second: float = 2.0  # requests to one host
    tries: int = 5
    back_off: float = 1.0  # wait after the first failure; doubled after each further one
    patience: float = 120.0  # the longest wait
    timeout: float = 20.0  # without receiving a byte
    deadline: float = 120.0  # for a whole transfer
    allow_private: bool = False  # permit addresses of the local network and machine
    contact: str = ""  # an address at which a service can reach the user


class Client:
    """The client. Safe to use from several threads; each has connections of its own."""

    def __init__(self, politeness: Politeness):
        self.politeness = politeness
        self._local = threading.local()
        self._lock = threading.Lock()
        self._free_at: dict[str, float] = defaultdict(float)  # by host, on the monotonic clock
        self._slots: dict[str, threading.Semaphore] = defaultdict(lambda: threading.Semaphore(MAX_CONCURRENT))
        self._sessions: list[requests.Session] = []

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        for session in self._sessions:
            session.close()

    def json(self, url: str, parameters: dict[str, Any] | None = None, max_bytes: int = 64 << 20) -> Any:
        """Get a JSON document.

        Raises:
            FetchRefused: as ``get``, or the answer is no JSON.
            ServiceUnavailable: as ``get``.
        """
        data, response = self.get(url, max_bytes, parameters)
        try:
            return parse_json(data, url, "", object)
        except UserError:
            kind = response.headers.get("Content-Type", "no type")
            raise FetchRefused(f"{url}: the answer is no JSON ({kind})") from None

    def get(
        self, url: str, max_bytes: int, parameters: dict[str, Any] | None = None
    ) -> tuple[bytes, requests.Response]:
        """Get the whole body.

        Raises:
            FetchRefused: a status such as 404, an address that is not allowed, too many bytes or redirects.
            ServiceUnavailable: it failed ``tries`` times, or the host asks for too long a wait.
        """
        reason = ""
        for attempt in range(self.politeness.tries):
            if attempt:
                self.postpone(url, self.politeness.back_off * 2 ** (attempt - 1))
            try:
                with self._slot(url):
                    self._wait(url)
                    response, data = self._once(url, max_bytes, parameters)
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
                reason = _reason(error)
                continue
            except (requests.RequestException, ValueError) as error:  # a bad address or header, too many redirects
                raise FetchRefused(f"{url}: {_reason(error)}") from None
            if response.status_code not in RETRIED:
                if response.status_code >= 400:
                    raise FetchRefused(f"{url}: HTTP {response.status_code} {response.reason}")
                return data, response
            reason = f"HTTP {response.status_code} {response.reason}"
            self.postpone(url, _retry_after(response))
        raise ServiceUnavailable(f"{url}: {reason or 'no answer'}, {self.politeness.tries} times")

    def _once(self, url: str, max_bytes: int, parameters: dict[str, Any] | None) -> tuple[requests.Response, bytes]:
        """One attempt, within the deadline."""
        session = self._session()
        late = threading.Event()

        def give_up() -> None:
            late.set()
            session.drop_connections()

        timer = threading.Timer(self.politeness.deadline, give_up)
        timer.daemon = True
        timer.start()
        try:
            with session.get(
                url,
                params=parameters,
                stream=True,
                timeout=self.politeness.timeout,
                proxies=get_environ_proxies(url),
            ) as response:
                body = b"" if response.status_code >= 400 else _body(url, response, max_bytes)
            if late.is_set():  # a body of unknown length looks complete when its connection is dropped
                raise requests.ConnectionError("dropped")
            return response, body
        except (requests.RequestException, OSError) as error:
            if late.is_set():
                raise FetchRefused(f"{url}: takes longer than {self.politeness.deadline:g} s") from None
            if isinstance(error, requests.RequestException):
                raise
            raise requests.ConnectionError(str(error)) from None
        finally:
            timer.cancel()

    def _session(self) -> "_Session":
        if not hasattr(self._local, "session"):
            self._local.session = _Session(self.politeness, self._wait)
            with self._lock:
                self._sessions.append(self._local.session)
        return self._local.session

    def _slot(self, url: str) -> threading.Semaphore:
        with self._lock:
            return self._slots[urlsplit(url).netloc]

    def _wait(self, url: str) -> None:
        """Wait for the next request to a host. Raises ServiceUnavailable if that takes too long."""
        host = urlsplit(url).netloc
        with self._lock:
            now = time.monotonic()
            start = max(now, self._free_at[host])
            if start - now > self.politeness.patience:
                raise ServiceUnavailable(f"{host} asks to be left alone for {start - now:.0f} s")
            self._free_at[host] = start + 1 / min(self.politeness.per_second, PUBLISHED_RATES.get(host, math.inf))
        time.sleep(start - now)

    def postpone(self, url: str, seconds: float) -> None:
        """Send no request to a host for some time."""
        host = urlsplit(url).netloc
        with self._lock:
            self._free_at[host] = max(self._free_at[host], time.monotonic() + seconds)


def _body(url: str, response: requests.Response, max_bytes: int) -> bytes:
    """Read the body; stops at ``max_bytes`` also where the declared length is wrong.

    A compressed one, which was not requested, is refused: it could grow a million times while being unpacked.
    """
    coding = response.headers.get("Content-Encoding", "").strip().lower()
    if coding not in ("", "identity"):
        raise FetchRefused(f"{url}: is compressed ({coding[:40]}), which was not asked for")
    declared = response.headers.get("Content-Length", "")
    if declared.isascii() and declared.isdigit() and int(declared) > max_bytes:
        raise FetchRefused(f"{url}: has {declared} bytes, more than the {max_bytes} allowed")
    pieces, total = [], 0
    for piece in response.iter_content(BLOCK):
        total += len(piece)
        if total > max_bytes:
            raise FetchRefused(f"{url}: has more than the {max_bytes} bytes allowed")
        pieces.append(piece)
    return b"".join(pieces)


def _retry_after(response: requests.Response) -> float:
    """Seconds of ``Retry-After``, which is a number or a date; 0 if it is missing."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return 0.0


def _reason(error: BaseException) -> str:
    """The innermost reason of an exception, on one line."""
    while error.args and isinstance(error.args[0], BaseException):
        error = error.args[0]
    reason = getattr(error, "reason", None)
    return " ".join(f"{reason if isinstance(reason, BaseException) else error}".split())[:200]


# --- Connections that check their address -------------------------------------------------------------------------


class _Session(requests.Session):
    def __init__(self, politeness: Politeness, wait: Callable[[str], None]):
        super().__init__()
        self._wait = wait
        self.trust_env = False  # no passwords from ~/.netrc
        self.max_redirects = 5
        contact = f"; {politeness.contact}" if politeness.contact else ""
        self.headers["User-Agent"] = USER_AGENT.format(contact=contact)
        self.headers["Accept-Encoding"] = "identity"
        self.cookies.set_policy(_NoCookies())
        self._adapter = _Adapter(politeness.allow_private)
        self.adapters.clear()  # only these two schemes
        self.mount("http://", self._adapter)
        self.mount("https://", self._adapter)

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """As in ``requests``, but redirects are rate-limited like other requests."""
        if not options.get("allow_redirects", True):
            self._wait(str(request.url))
        return super().send(request, **options)

    def drop_connections(self) -> None:
        """Close all connections, so that pending reads in other threads end."""
        for connection in list(self._adapter.sockets):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


class _NoCookies(DefaultCookiePolicy):
    def set_ok(self, *_: object) -> bool:
        return False


class _Adapter(HTTPAdapter):
    def __init__(self, allow_private: bool):
        self.allow_private = allow_private
        self.sockets: WeakSet[socket.socket] = WeakSet()
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = _pools(self)

    def proxy_manager_for(self, *arguments: Any, **options: Any) -> Any:
        manager = super().proxy_manager_for(*arguments, **options)
        manager.pool_classes_by_scheme = _pools(self)
        return manager


def _pools(adapter: _Adapter) -> dict[str, type]:
    """Connection pools whose connections refuse private addresses, and are registered with the adapter."""

    def guarded(base: type) -> type:
        class Connection(base):
            def _new_conn(self) -> socket.socket:
                if not adapter.allow_private:
                    _refuse_private(self.host, self.port)
                connection = super()._new_conn()
                peer = connection.getpeername()[0]
                if not adapter.allow_private and not _is_public(peer):  # the name resolved to another address
                    connection.close()
                    raise FetchRefused(f"{self.host}: is at a private address, {peer}")
                adapter.sockets.add(connection)
                return connection

            def connect(self) -> None:
                super().connect()
                adapter.sockets.add(self.sock)

        return Connection

    class Plain(HTTPConnectionPool):
        ConnectionCls = guarded(HTTPConnection)

    class Encrypted(HTTPSConnectionPool):
        ConnectionCls = guarded(HTTPSConnection)

    return {"http": Plain, "https": Encrypted}


def _refuse_private(host: str, port: int) -> None:
    """Raises FetchRefused if any address of a host is not public, OSError if it has none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise FetchRefused(f"{host[:80]}: is no host name") from None
    for *_, socket_address in found:
        address = str(socket_address[0])
        if not _is_public(address):
            raise FetchRefused(f"{host}: is at a private address, {address}; --allow-private permits it")


def _is_public(address: str) -> bool:
    ip = ipaddress.ip_address(address.partition("%")[0])
    if ip.version == 6:
        if ip.ipv4_mapped or ip in _NAT64:
            ip = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        elif ip not in _UNICAST or (ip.sixtofour is not None and not ip.sixtofour.is_global):
            return False
    return ip.is_global and not ip.is_multicast


_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_UNICAST = ipaddress.ip_network("2000::/3")  # the only block that is allocated for global unicast
