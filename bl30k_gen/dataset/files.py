"""Atomic writing of files, their digests, and the encoding of RGB frames."""

import contextlib
import errno
import hashlib
import io
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bl30k_gen.dataset.images import FRAME, IMAGE_ERRORS, TurnedFrame, open_frame, to_srgb
from bl30k_gen.errors import DiskFull, FatalError, UserError
from bl30k_gen.remote import Place, RemotePath

_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
_NO_FOLDER = {errno.ENOTDIR, errno.EEXIST}


def write_atomically(path: str | Place, data: bytes | str, parents: bool = True) -> None:
    """Write a file that appears complete or not at all, also after a crash; text is stored as UTF-8.

    Args:
        parents: create missing folders.

    Raises:
        FileNotFoundError: the folder is missing, and ``parents`` is False.
        DiskFull: the disk (or quota) is full; no temporary file is left.
        UserError: the folder may not be written.
    """
    if isinstance(data, str):
        data = data.encode()
    if isinstance(path, RemotePath):
        path.write_bytes(data)
        return
    path = Path(path)
    with clear_disk_errors(path):
        if parents:
            path.parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_name(path)
        try:
            with open(temporary, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write_json(path: str | Place, value: Any) -> None:
    """Write ``value`` as indented JSON; see ``write_atomically``."""
    write_atomically(path, json.dumps(value, indent=1) + "\n")


def user_cache() -> Path:
    """Folder for cached data that cannot lie beside the files that it describes."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bl30k"


def make_folder(folder: Path, root: Path) -> None:
    """Create a folder and its parents below ``root``, which must exist.

    Raises:
        FatalError: ``root`` does not exist (any more). It is not created: it may have been moved.
    """
    missing = [folder] if folder != root else []
    while missing and missing[-1].parent != root:
        missing.append(missing[-1].parent)
    try:
        for path in reversed(missing):
            path.mkdir(exist_ok=True)
    except FileNotFoundError:
        raise gone(root) from None


def gone(root: Path) -> FatalError:
    """The error for a dataset whose folder has disappeared."""
    return FatalError(f"{root} is not there any more", "if it was moved, give its new place to continue")


def temporary_name(path: Path) -> Path:
    """A hidden path beside ``path`` that no other writer uses; readers skip hidden files."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")


def replace(source: Path, target: Path) -> None:
    """Rename a file or folder within a file system, durably: the new name survives a power cut."""
    rename(source, target)
    for folder in {target.parent, source.parent}:
        sync(folder)


def rename(source: Path, target: Path) -> None:
    """Rename as ``os.replace``; accept a rename that a network file system did but reported as failed.

    Raises:
        OSError: it was not done.
    """
    try:
        os.replace(source, target)
    except OSError as error:
        if error.errno == errno.ENOENT or is_there(source) or not is_there(target):
            raise


def is_there(path: Path) -> bool:
    """Whether a file, folder or link exists. Raises OSError where the file system cannot tell."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def sync(path: Path) -> None:
    """Write the contents of a file, or the names in a folder, to the disk (``fsync``)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        sync_descriptor(descriptor)
    finally:
        os.close(descriptor)


def sync_descriptor(descriptor: int) -> None:
    """As ``sync``, of an open file."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # not supported by some network file systems
            raise


@contextlib.contextmanager
def clear_disk_errors(path: str | Path) -> Iterator[None]:
    """Turn errors of writing ``path`` that the user can fix into a UserError that names it or its folder."""
    try:
        yield
    except OSError as error:
        folder = Path(path).parent
        if error.errno in _FULL:
            raise DiskFull(
                f"no space left in {folder} for {Path(path).name}",
                "free some space (or quota) there and run the same command again; what is finished is kept",
            ) from error
        if error.errno in _FORBIDDEN:
            raise UserError(f"{folder} may not be written", "fix its permissions or choose another") from error
        if error.errno in _NO_FOLDER:
            raise UserError(f"{folder} cannot be a folder", "a file is in its way; choose another name") from error
        if error.errno == errno.EISDIR:
            raise UserError(f"{path} is a folder", "give a file's name") from error
        if error.filename is None:  # the error of an open file names none
            error.filename = str(path)
        raise


def sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_bytes(data: bytes) -> str:
    """Hexadecimal SHA-256."""
    return hashlib.sha256(data).hexdigest()


def encode_jpeg(rgb: np.ndarray, quality: int, subsampling: str) -> bytes:
    """JPEG bytes of an (H, W, 3) uint8 sRGB image; equal pixels give equal bytes.

    Args:
        quality: 1 to 100.
        subsampling: of the chroma: "4:4:4", "4:2:2" or "4:2:0".

    Raises:
        ValueError: wrong shape or type.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise ValueError(f"an RGB frame is (H, W, 3) uint8, not {rgb.shape} {rgb.dtype}")
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=quality, subsampling=subsampling)
    return buffer.getvalue()


def decode_rgb(data: bytes, source: str | Place, rendered: bool = False) -> np.ndarray:
    """(H, W, 3) uint8 sRGB pixels of an encoded JPEG, PNG or WebP frame, as stored.

    Args:
        source: name of the frame in error messages.
        rendered: the frame is of a dataset of this project, which ``generate.py verify`` can check.

    Raises:
        UserError: naming ``source``: the bytes are damaged, or an EXIF tag says that the image has to be turned.
    """
    try:
        with open_frame(data) as image:
            return np.asarray(to_srgb(image, FRAME))
    except TurnedFrame as error:
        raise UserError(f"{source} {error}", error.remedy) from None
    except IMAGE_ERRORS as error:
        raise UserError(
            f"{source} is damaged ({error})",
            "restore it; `generate.py verify` lists all such" if rendered else "replace it by an undamaged copy",
        ) from None
