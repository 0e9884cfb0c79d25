"""Files on other machines, by URL: ``s3://``, ``gs://``, ``hf://``, ``https://``, ``memory://``; through fsspec.

``place`` turns a text into a local or a remote path. Both have the same methods for code that reads datasets. Files
are opened by ``inputs.open_regular`` or, for ranges of bytes, by ``RemotePath.read``.
"""

import contextlib
import logging
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeVar
from urllib.parse import urlsplit
from urllib.request import url2pathname

from bl30k_gen.errors import UserError, printable

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

log = logging.getLogger(__name__)

Result = TypeVar("Result")

EXTRA = "pip install 'bl30k[cloud]'"
_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.:-]+://")  # two characters at least: a Windows drive has one letter
_HTTP = ("http", "https")
_WRITABLE = ("s3", "s3a", "gs", "gcs", "hf", "memory")  # stores where an object appears when its upload is complete
_PAUSES = (0.3, 2.0)  # seconds before reading is tried again after a temporary failure
_TEMPORARY_STATUS = (408, 429, 500, 502, 503, 504)
_TEMPORARY = (  # names of exceptions of aiohttp, fsspec and botocore: the packages may not be installed
    *("ClientPayloadError", "ServerDisconnectedError", "ClientOSError", "ClientConnectorError"),
    *("ClientConnectorDNSError", "ConnectionResetError", "ConnectionClosedError", "TimeoutError", "FSTimeoutError"),
    *("ServerTimeoutError", "SocketTimeoutError", "ConnectionTimeoutError", "ReadTimeoutError"),
)
_CONNECT_TIMEOUT, _READ_TIMEOUT = 15, 60  # seconds: to connect, and until the next bytes
_BLOCK = 4 << 20  # bytes of one request when a file is read sequentially
_CREDENTIALS = {
    "s3": "set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; for a public bucket FSSPEC_S3_ANON=true",
    "gs": "run `gcloud auth application-default login`; for a public bucket set FSSPEC_GS_TOKEN=anon",
    "hf": "run `hf auth login`, or set HF_TOKEN",
}
_NO_NETWORK = "check the URL, the network and, where one is set, the endpoint; then run the same command again"
_DENIED = re.compile(r"credential|forbidden|access.?denied|unauthori[sz]ed|\b40[13]\b", re.IGNORECASE)


class Entry(NamedTuple):
    """A file or folder in a listing."""

    is_folder: bool
    size: int | None  # bytes; None where the server does not say


class Stat(NamedTuple):
    st_size: int


@dataclass(frozen=True)
class RemotePath:
    """A URL with the methods of ``pathlib.Path``. Printed, it has no user, password or query.

    Methods raise UserError where the network, the server or the credentials fail, or a package is missing.
    """

    url: str

    def __post_init__(self) -> None:
        if "::" in self.url:
            raise UserError(f"{self} is a chain of URLs", "give a plain one")
        base, query = self._parts
        object.__setattr__(self, "url", base.rstrip("/") + query)

    @property
    def scheme(self) -> str:
        return self.url.partition("://")[0].lower()

    @property
    def _parts(self) -> tuple[str, str]:
        """The URL up to its query, and the query (which may hold signatures and tokens) with its question mark."""
        base, mark, query = self.url.partition("?") if self.scheme in _HTTP else (self.url, "", "")
        return base, mark + query

    def __str__(self) -> str:
        base, query = self._parts
        scheme, _, rest = base.partition("://")
        host, slash, path = rest.partition("/")
        return printable(f"{scheme}://{host.rpartition('@')[2]}{slash}{path}{'?...' if query else ''}")

    def __truediv__(self, name: object) -> "RemotePath":
        base, query = self._parts
        return RemotePath(f"{base}/{name}{query}")

    @property
    def name(self) -> str:
        return self._parts[0].partition("://")[2].rpartition("/")[2]

    @property
    def suffix(self) -> str:
        return Path(self.name).suffix

    @property
    def stem(self) -> str:
        return Path(self.name).stem

    @property
    def parent(self) -> "RemotePath":
        base, query = self._parts
        scheme, _, rest = base.partition("://")
        return RemotePath(f"{scheme}://{rest.rpartition('/')[0] or rest}{query}")

    @property
    def parents(self) -> list["RemotePath"]:
        """The folders above, the nearest first."""
        found, path = [], self
        while (above := path.parent) != path:
            found.append(above)
            path = above
        return found

    def with_name(self, name: str) -> "RemotePath":
        return self.parent / name

    def resolve(self) -> "RemotePath":
        return self

    def is_file(self) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return bool(self._try(lambda fs, path: fs.info(path)["type"] == "file"))
        return False

    def is_dir(self) -> bool:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return bool(self._try(lambda fs, path: fs.isdir(path)))
        return False

    def exists(self) -> bool:
        return self.is_file() or self.is_dir()

    def stat(self) -> Stat:
        """Its size. Raises FileNotFoundError."""
        size = self._try(lambda fs, path: fs.info(path)["size"])
        if size is None:
            raise UserError(f"{self}: its server does not say how large it is", "download it first")
        return Stat(int(size))

    def listing(self) -> dict[str, Entry]:
        """Entries of a folder by name; empty where it does not exist, or its server lists no files."""

        def entries(fs: "AbstractFileSystem", path: str) -> dict[str, Entry]:
            return {
                name: Entry(row["type"] == "directory", row.get("size"))
                for row in fs.ls(path, detail=True)
                if (name := _base_name(row["name"], self.scheme)) and row["name"].rstrip("/") != path.rstrip("/")
            }

        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return self._try(entries)
        return {}

    def iterdir(self) -> Iterator["RemotePath"]:
        return (self / name for name in self.listing())

    def open(self) -> BinaryIO:
        """Open for reading, seekable, with read-ahead. Raises FileNotFoundError."""
        file = self._try(lambda fs, path: fs.open(path, "rb", block_size=_BLOCK, cache_type="readahead"))
        return _Guarded(file, self)  # type: ignore[return-value]

    def read(self, offset: int, size: int) -> bytes:
        """A range of bytes, fewer at the end of the file. Raises FileNotFoundError."""
        if size == 0:
            return b""
        data: bytes = self._try(lambda fs, path: fs.cat_file(path, start=offset, end=offset + size))
        if len(data) > size:
            raise _no_ranges(self)
        return data

    def write_bytes(self, data: bytes) -> None:
        """Write an object, which appears whole. Raises UserError as ``require_writable``."""
        self.require_writable()
        with _clear_errors(self, "written"):
            fs, path = self._opened()
            fs.pipe_file(path, data)

    def upload(self, file: Path) -> None:
        """Write the contents of a local file, as ``write_bytes``."""
        self.require_writable()
        with _clear_errors(self, "written"):
            fs, path = self._opened()
            fs.put_file(str(file), path)

    def require_writable(self) -> None:
        """Raises UserError where URLs of this kind are read-only, or would show a partly written object."""
        if self.scheme not in _WRITABLE:
            others = ", ".join(f"{scheme}://" for scheme in _WRITABLE)
            raise UserError(f"{self} cannot be written", f"give a folder, or one of {others}")

    def _try(self, call: "Callable[[AbstractFileSystem, str], Result]") -> Result:
        """The result of a call that only reads, given the file system and the path there."""
        return _retried(self, lambda: call(*self._opened()))

    def _opened(self) -> "tuple[AbstractFileSystem, str]":
        """The file system, which fsspec keeps for this process, and the path there."""
        from fsspec.core import url_to_fs

        if self.scheme in ("gs", "gcs"):  # gcsfs logs a traceback for each try; the error of the last is raised
            logging.getLogger("gcsfs").setLevel(logging.CRITICAL)
        fs, path = url_to_fs(self.url, **_options(self.scheme))
        return fs, path


Place = Path | RemotePath


def is_url(path: object) -> bool:
    return isinstance(path, RemotePath) or _URL.match(str(path)) is not None


def place(path: "str | Place") -> Place:
    """The local or remote path that a user gives as text. Raises UserError for a chain of URLs."""
    if isinstance(path, (Path, RemotePath)):
        return path
    if path.lower().startswith("file://"):
        return Path(url2pathname(urlsplit(path).path))
    return RemotePath(path) if is_url(path) else Path(path)


def local(path: "str | Place", what: str) -> Path:
    """``path``, if it is on this machine. Raises UserError for a URL, which the command ``what`` cannot use."""
    location = place(path)
    if isinstance(location, RemotePath):
        raise UserError(f"{what} cannot use {location}", "give a folder on this machine: download the dataset first")
    return location


class RemoteRanges:
    """Reads ranges of one remote file, with read-ahead for sequential reads.

    A sampler's random reads fetch exactly what is asked for. `verify` and `pack` go from file to file: there each
    request fetches twice as much as the one before, up to ``MAX_AHEAD``.
    """

    FIRST_AHEAD, MAX_AHEAD = 256 << 10, 16 << 20  # bytes of the first and of the largest sequential request
    NEAR = 8 << 10  # maximum bytes between two reads that count as sequential: headers between members of a shard

    def __init__(self, path: RemotePath):
        self._path = path
        self._begin, self._data = 0, b""  # offset and bytes of the last request
        self._end = -1  # end of the last range that was asked for
        self._ahead = 0

    def read(self, offset: int, size: int) -> bytes:
        follows = 0 <= offset - self._end <= self.NEAR
        self._end = offset + size
        begin, data = self._begin, self._data  # local: another thread may replace both
        if not begin <= offset <= offset + size <= begin + len(data):
            self._ahead = min(self.MAX_AHEAD, 2 * self._ahead or self.FIRST_AHEAD) if follows else 0
            begin, data = offset, self._path.read(offset, max(size, self._ahead))
            self._begin, self._data = begin, data
        return data[offset - begin : offset - begin + size]

    def close(self) -> None:
        self._data = b""


class _Guarded:
    """An open remote file whose errors are UserErrors of one line."""

    def __init__(self, file: Any, path: RemotePath):
        self._file, self._path = file, path

    def read(self, size: int = -1) -> bytes:
        data: bytes = _retried(self._path, lambda: self._file.read(size))
        return data

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        with _clear_errors(self._path):
            return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> "_Guarded":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _base_name(name: str, scheme: str) -> str:
    """The last part of a listed name; a web server's loses its query and keeps its escapes, as requests need them."""
    bare = name.partition("?")[0] if scheme in _HTTP else name
    return bare.rstrip("/").rpartition("/")[2]


def _options(scheme: str) -> dict[str, Any]:
    """Options of a file system: our timeouts, where the user's configuration of fsspec sets none."""
    from fsspec.config import conf

    if scheme in ("s3", "s3a"):
        limits = {"connect_timeout": _CONNECT_TIMEOUT, "read_timeout": _READ_TIMEOUT, "retries": {"max_attempts": 2}}
        return {"config_kwargs": limits | conf.get(scheme, {}).get("config_kwargs", {})}
    if scheme in _HTTP and "client_kwargs" not in conf.get(scheme, {}):
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT, sock_read=_READ_TIMEOUT)
        return {"client_kwargs": {"timeout": timeout}}
    return {}


class _Temporary(UserError):
    """A server's failure that may be gone a moment later."""


def _retried(path: RemotePath, call: Callable[[], Result]) -> Result:
    """The result of a call that only reads; it is repeated after temporary failures."""
    for pause in _PAUSES:
        try:
            with _clear_errors(path):
                return call()
        except _Temporary as failure:
            log.warning("%s: tried again", failure.what)
            time.sleep(pause)
    with _clear_errors(path):
        return call()


@contextlib.contextmanager
def _clear_errors(path: RemotePath, what: str = "read") -> Iterator[None]:
    """Turn the exceptions of fsspec's packages into a UserError; FileNotFoundError and NotADirectoryError pass."""
    try:
        yield
    except (NotADirectoryError, UserError):
        raise
    except FileNotFoundError as error:
        cause = error.__cause__  # fsspec also raises it for a web server that does not answer
        if path.scheme not in _HTTP or cause is None or getattr(cause, "status", 0) == 404:
            raise
        raise _failure(path, what, cause) from None
    except ImportError as error:
        raise UserError(f"{path} needs a package that is not installed ({_message(error)})", EXTRA) from None
    except Exception as error:  # a dozen packages raise it, without a common base class
        raise _failure(path, what, error) from None


def _failure(path: RemotePath, what: str, error: BaseException) -> UserError:
    message = _message(error)
    if isinstance(error, ValueError) and "Protocol not known" in message:
        known = "known are s3://, gs://, hf://, https://, memory:// and fsspec's others"
        return UserError(f"{path} is of an unknown kind", known)
    if isinstance(error, ValueError) and re.search("range requests|seek", message):
        return _no_ranges(path)
    if isinstance(error, PermissionError) or _DENIED.search(f"{type(error).__name__} {message}"):
        scheme = {"s3a": "s3", "gcs": "gs"}.get(path.scheme, path.scheme)
        remedy = _CREDENTIALS.get(scheme, "check the URL, and who may read it")
        return UserError(f"{path} may not be {what} ({message})", remedy)
    temporary = getattr(error, "status", None) in _TEMPORARY_STATUS or type(error).__name__ in _TEMPORARY
    return (_Temporary if temporary else UserError)(f"{path} cannot be {what} ({message})", _NO_NETWORK)


def _no_ranges(path: RemotePath) -> UserError:
    return UserError(f"{path}: its server gives whole files, not ranges of them", "download it first")


def _message(error: BaseException) -> str:
    """The text of an exception in one line, without the URL's user, password and query, which may be secret."""
    text = re.sub(r", url=.*?(?=\)?$)", "", " ".join(str(error).split()))  # aiohttp's; the path is named already
    text = re.sub(r"(\w://)[^/\s'\"]*@", r"\1", re.sub(r"(\w://[^\s'\"?]*)\?[^\s'\"]*", r"\1?...", text))
    return printable(text[:300] or type(error).__name__)
