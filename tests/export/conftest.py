"""A synthetic dataset, its export, and readers from other packages."""

import importlib
from pathlib import Path

import numpy as np
import pytest

from bl30k_gen.dataset import layout, masks
from bl30k_gen.dataset.reader import VideoStore, open_dataset
from bl30k_gen.export.base import format_of
from bl30k_gen.export.run import ExportSummary, export
from tests.support.synthetic import make_dataset, synthetic_config


@pytest.fixture(scope="session")
def places(tmp_path_factory) -> layout.Layout:
    """Three videos: a00000 and a00001 (train), a00002 (val). Not to be changed.

    Object 2 is hidden in frame 3 of a00000 and appears in frame 2 of a00001.
    """
    made = make_dataset(tmp_path_factory.mktemp("exported"), synthetic_config())
    for name, frame in (("a00000", 3), ("a00001", 0), ("a00001", 1)):
        path = made.mask(name, frame)
        ids = masks.read_mask(path).ids
        path.write_bytes(masks.encode_mask(np.where(ids == 2, 0, ids).astype(np.uint8)))
    return made


@pytest.fixture(scope="session")
def store(places) -> VideoStore:
    return open_dataset(places.root)


@pytest.fixture
def exported(store, tmp_path):
    """``exported(format, key=value ...) -> folder``: the dataset in that format."""

    def make(name: str, *options: str) -> Path:
        run(store, name, tmp_path / name, *options)
        return tmp_path / name

    return make


def run(store: VideoStore, name: str, out: Path, *options: str, **arguments) -> ExportSummary:
    return export(store, format_of(name, options), out, **arguments)


@pytest.fixture
def published():
    """``published(module)``: a published reader that conflicts with the pinned packages."""

    def load(module: str):
        try:
            return importlib.import_module(module)
        except ImportError as error:
            pytest.skip(f"published reader absent: {module} ({error})")

    return load
