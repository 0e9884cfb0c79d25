import pytest

from bl30k_gen.config import Limits
from bl30k_gen.library.fetch.download import Client, Politeness
from tests.support.web import FAST, Server


@pytest.fixture
def limits() -> Limits:
    return Limits(max_faces=200_000, max_image_side=2048, max_megapixels=50)


@pytest.fixture
def server():
    running = Server()
    yield running
    running.close()


@pytest.fixture
def client():
    with Client(Politeness(**FAST, allow_private=True)) as client:
        yield client
