import pytest

from bl30k_gen.library.load import Limits


@pytest.fixture
def limits() -> Limits:
    return Limits(max_faces=200_000, max_image_side=2048, max_megapixels=50)
