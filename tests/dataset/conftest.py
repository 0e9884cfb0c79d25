"""Synthetic datasets (``tests/support/synthetic.py``)."""

import functools
import os
import shutil
import subprocess

import pytest

from bl30k_gen.dataset import layout
from tests.support.synthetic import make_dataset, make_sharded, stage, synthetic_config


@pytest.fixture(scope="session")
def config():
    return synthetic_config()


@pytest.fixture(scope="session")
def pristine(tmp_path_factory, config) -> layout.Layout:
    return make_dataset(tmp_path_factory.mktemp("pristine"), config)


@pytest.fixture(scope="session")
def sharded(tmp_path_factory):
    """``sharded(kind) -> folder``: the same three videos, rendered into a shard. Not to be changed."""

    @functools.cache
    def make(kind):
        config = synthetic_config(f"runtime.store={kind}")
        return make_sharded(tmp_path_factory.mktemp(kind), config, ["a00000", "a00001", "a00002"]).root

    return make


@pytest.fixture
def dataset(tmp_path, pristine) -> layout.Layout:
    """Three published videos, to be changed at will: a00000 and a00001 (train), a00002 (val)."""
    return layout.Layout(shutil.copytree(pristine.root, tmp_path / "data"))


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("this system does not let us mount a tmpfs")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.fixture
def staged(config):
    """``staged(places, index) -> metadata``: a video that waits to be published."""
    return lambda places, index: stage(places, config, index)
