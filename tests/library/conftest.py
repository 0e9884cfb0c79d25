import os
from pathlib import Path

import pytest

from bl30k_gen.library.load import Limits


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real data that is not part of the project."""
    folder = Path(os.environ.get("BL30K_SHARED", Path(__file__).parents[2].parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no shared data at {folder}")
    return folder


@pytest.fixture
def limits() -> Limits:
    return Limits(max_faces=200_000, max_image_side=2048, max_megapixels=50)
