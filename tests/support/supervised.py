"""A supervisor on the tiny recipe, for tests of faults."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bl30k_gen.config import Config, load_config
from bl30k_gen.dataset.layout import Layout
from bl30k_gen.library.catalogue.catalogue import open_catalogue
from bl30k_gen.render import dataset
from bl30k_gen.render.child import Event
from bl30k_gen.render.supervisor import Execution, Supervisor


def config_from(flags: list[str]) -> Config:
    named = dict(zip(flags[::2], flags[1::2], strict=True))
    overrides = [value for flag, value in zip(flags[::2], flags[1::2], strict=True) if flag == "--set"]
    return load_config(named["--config"], overrides)


@pytest.fixture(scope="session")
def config(tiny) -> Config:
    return config_from(tiny)


@pytest.fixture
def supervise(config) -> Callable[..., Supervisor]:
    def make(out: Path, on_event: Callable[[Event], None] = lambda event: None, workers: int = 1) -> Supervisor:
        layout = Layout(out)
        catalogue = open_catalogue(config.assets)
        dataset.open_for_writing(layout, config, catalogue)
        describe = dataset.sampler(config, catalogue)
        return Supervisor(config, layout, describe, Execution("cpu", 1, workers), on_event)

    return make


@pytest.fixture
def content() -> Callable[[Path], dict[str, bytes]]:
    """The files of a video: ``{path: bytes}`` of frames, masks and metadata."""

    def read(root: Path) -> dict[str, bytes]:
        folders = ("JPEGImages", "Annotations", "Metadata")
        files = (path for folder in folders for path in sorted((root / folder).rglob("*")) if path.is_file())
        return {str(path.relative_to(root)): path.read_bytes() for path in files}

    return read
