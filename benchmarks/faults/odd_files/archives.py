"""Corruptions of tar and HDF5 shards, PyTorch weights and NumPy archives."""

import io
import json
import os
import pickle
import random
import tarfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.faults.odd_files.registry import ESCAPE, HDF5, NPZ, TAR, WEIGHTS, corruption
from benchmarks.faults.odd_files.values import with_odd_value


@corruption((TAR,), "either", variants=8)
def odd_tar_members(path: Path, rng: random.Random) -> None:
    members = []
    with tarfile.open(path) as archive:
        for member in archive.getmembers():
            members.append((member, archive.extractfile(member).read() if member.isfile() else b""))  # type: ignore[union-attr]
    kind = rng.choice(["parent", "absolute", "link", "hard", "device", "pipe", "twice", "name", "large", "escape"])
    odd = tarfile.TarInfo("JPEGImages/a00001/00008.jpg")
    types = {"link": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE, "device": tarfile.CHRTYPE, "pipe": tarfile.FIFOTYPE}
    odd.type, odd.linkname = types.get(kind, tarfile.REGTYPE), "/etc/passwd"
    names = {"parent": "JPEGImages/../../evil/00000.jpg", "absolute": "/tmp/evil.jpg", "twice": members[-1][0].name}
    names |= {"escape": f"JPEGImages/{ESCAPE}/00000.jpg", "name": f"Metadata/{'x' * 300}.json", "large": "x" * 5000}
    odd.name = names.get(kind, odd.name)
    with tarfile.open(path, "w") as archive:
        for member, data in [*members, (odd, b"")]:
            archive.addfile(member, io.BytesIO(data))


@corruption((TAR,), "invalid")
def gzip_compressed(path: Path, rng: random.Random) -> None:
    data = path.read_bytes()
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("x")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))


@corruption((TAR,), "either")
def huge_tar_member(path: Path, rng: random.Random) -> None:
    member = tarfile.TarInfo("JPEGImages/a00000/00000.jpg")
    member.size = 1 << 60
    path.write_bytes(member.tobuf(tarfile.GNU_FORMAT) + path.read_bytes())


@corruption((HDF5,), "either", variants=5)
def odd_hdf5_groups(path: Path, rng: random.Random) -> None:
    import h5py

    with h5py.File(path, "a") as file:
        kind = rng.choice(["soft", "loop", "external", "type", "shape", "nested", "name", "empty"])
        frames = file["JPEGImages/a00001"]
        if kind == "soft":
            frames["00008.jpg"] = h5py.SoftLink("/nowhere")
        elif kind == "loop":
            frames["loop"] = h5py.SoftLink("/JPEGImages")
        elif kind == "external":
            frames["00008.jpg"] = h5py.ExternalLink("/etc/passwd", "/x")
        elif kind in ("type", "shape"):
            del frames["00003.jpg"]
            frames["00003.jpg"] = np.zeros(4) if kind == "type" else np.zeros((4, 4, 4), np.uint8)
        elif kind == "nested":
            for _ in range(1000):
                frames = frames.create_group("n")
        else:
            file.create_group(f"JPEGImages/{ESCAPE if kind == 'name' else 'a00009'}")


@corruption((WEIGHTS,), "invalid", variants=6)
def odd_weights(path: Path, rng: random.Random) -> None:
    import torch

    nan = torch.load(path, map_location="cpu", weights_only=True)
    for value in nan.get("weights", nan.get("network", nan)).values():
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            value.fill_(float("nan"))
    choices: list[Any] = [nan, {}, [], torch.zeros(3), {"a": torch.zeros(3)}, "text", {"format": ESCAPE}, 3]
    choices += [{f"{ESCAPE}{n}": torch.zeros(1) for n in range(3)}, {1: torch.zeros(2)}, {"network": {"a": 1}}]
    torch.save(rng.choice(choices), path)


class _MakesAFolder:
    """Unpickling it creates the folder ``evil``, which the campaign looks for."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("evil",)


@corruption((WEIGHTS, NPZ), "invalid")
def malicious_pickle(path: Path, rng: random.Random) -> None:
    path.write_bytes(pickle.dumps(_MakesAFolder()))


@corruption((WEIGHTS, NPZ), "invalid")
def malicious_pickle_in_an_archive(path: Path, rng: random.Random) -> None:
    import torch

    if path.suffix == ".npz":
        np.savez(path, about=np.array([_MakesAFolder()], dtype=object))
    else:
        torch.save({"network": _MakesAFolder()}, path)


@corruption((NPZ,), "invalid", variants=3)
def odd_arrays(path: Path, rng: random.Random) -> None:
    arrays: list[dict[str, Any]] = [{}, {"about": np.zeros(3)}, {"about": np.frombuffer(b"{}", np.uint8)}]
    arrays += [{"about": np.frombuffer(b"[" * 99_999, np.uint8)}, {ESCAPE: np.zeros(1)}]
    np.savez(path, **rng.choice(arrays))


@corruption((NPZ,), "either", variants=6)
def odd_value_in_an_archive(path: Path, rng: random.Random) -> None:
    with np.load(path) as file:
        arrays = dict(file)
    about = json.loads(arrays["about"].tobytes())
    arrays["about"] = np.frombuffer(json.dumps(with_odd_value(about, rng)).encode(), np.uint8)
    np.savez(path, **arrays)
