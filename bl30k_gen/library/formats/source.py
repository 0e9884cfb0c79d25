"""Read the files of an asset: only inside its folder, never through a link, and up to a limit of bytes."""

import contextlib
import errno
import hashlib
import os
import stat
from pathlib import Path, PureWindowsPath

from bl30k_gen.errors import printable
from bl30k_gen.library.asset import AssetRefused

MESH = "models/model_normalized.obj"
"""Path of the mesh in a model's folder of ShapeNetCore.v2."""

MAX_REMARKS = 20
OF_THE_FILE = {
    errno.EACCES,
    errno.EINVAL,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.ENXIO,
    errno.EPERM,
}
"""Errors of opening a file that every machine has."""


def model_folder(path: Path) -> Path | None:
    """The ``<synset>/<model>`` folder of a mesh in ShapeNet's layout; None for other meshes."""
    return path.parents[1] if path.as_posix().endswith("/" + MESH) else None


class Source:
    """The file of an asset and the files that it refers to, with the digest of all bytes read."""

    def __init__(self, path: str, max_bytes: int):
        """Read the main file. Raises AssetRefused if it is missing, too large or no regular file."""
        self._begin(path)
        self.data = self._read(self._main, self._main.name, max_bytes)

    @classmethod
    def unread(cls, path: str, data: bytes = b"") -> "Source":
        """A source whose own file is not read; ``data`` may be its beginning. For reading the files it refers to."""
        source = cls.__new__(cls)
        source._begin(path)
        source.data = data
        return source

    def refuse(self, reason: str) -> AssetRefused:
        """Make the exception to raise; the reason becomes one printable line."""
        return AssetRefused(f"{printable(self.name)}: {_one_line(reason)}")

    def remark(self, text: str) -> None:
        """Note content that is not rendered, or rendered differently; the text becomes one printable line."""
        if len(self.remarks) < MAX_REMARKS:
            self.remarks[_one_line(text)] = None

    def exists(self, name: str, base: str = "") -> bool:
        """Whether a file that the asset refers to exists. Raises AssetRefused as ``read`` does."""
        return os.path.exists(self._locate(name, base))

    def read(self, name: str, max_bytes: int, base: str = "") -> bytes:
        """Read a file that the asset refers to.

        Args:
            name: relative to the folder of the asset's file, and ``base`` in it.

        Raises:
            AssetRefused: the name is absolute, leads out of the asset's folder or through a link, or the file is
                missing, too large or no regular file.
        """
        return self._read(self._locate(name, base), name, max_bytes)

    def sha256(self) -> str:
        """Digest of all files read so far, in order."""
        return self._digest.hexdigest()

    def _begin(self, path: str) -> None:
        self.name = path
        self._main = Path(path)
        self._digest = hashlib.sha256()
        self.remarks: dict[str, None] = {}
        if not path.isprintable() and any("\udc80" <= c <= "\udcff" for c in path):
            raise self.refuse("has a name that is not UTF-8, which no list of assets can hold")

    def _locate(self, name: str, base: str) -> Path:
        if not name or "\0" in name or "://" in name or PureWindowsPath(name).anchor:
            raise self.refuse(f"refers to {name!r}, which is no relative file name")
        root = (model_folder(self._main.absolute()) or self._main.absolute().parent).resolve()
        start = self._main.absolute().parent.resolve()
        path = Path(os.path.normpath(start / base / name.replace("\\", "/")))
        if not path.is_relative_to(root):
            raise self.refuse(f"refers to {name!r}, which is outside its folder")
        try:
            if path.resolve() != path:
                raise self.refuse(f"refers to {name!r}, which is a link or behind one")
        except (OSError, RuntimeError):
            raise self.refuse(f"refers to {name!r}, which cannot be opened") from None
        return path

    def _read(self, path: Path, name: str, max_bytes: int) -> bytes:
        try:
            with open(path, "rb", opener=without_waiting) as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode):
                    raise self.refuse(f"{name} is no regular file")
                if status.st_size > max_bytes:
                    raise self.refuse(f"{name} has {status.st_size} bytes, more than the {max_bytes} allowed")
                data = file.read()
        except FileNotFoundError:
            raise self.refuse("does not exist" if path == self._main else _missing(name, path)) from None
        except ValueError as error:
            raise self.refuse(f"{name} cannot be read ({error})") from None
        except OSError as error:
            if error.errno not in OF_THE_FILE:
                raise  # this machine's: on another one the same video would be another
            raise self.refuse(f"{name} cannot be read ({error.strerror})") from None
        if path != self._main:  # without it, so that the digest of a single file is that of sha256sum
            self._digest.update(len(data).to_bytes(8, "little"))
        self._digest.update(data)
        return data


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:300]


def _missing(name: str, path: Path) -> str:
    """Message about a missing file; names a file whose name differs only in case."""
    with contextlib.suppress(OSError):
        for other in sorted(os.listdir(path.parent)):
            if other.casefold() == path.name.casefold():
                return f"{name} is missing; there is {other}"
    return f"{name} is missing"


def without_waiting(path: str, flags: int) -> int:
    """An opener for ``open`` that does not block on a named pipe."""
    return os.open(path, flags | os.O_NONBLOCK)
