"""The image, built once for all its tests."""

from collections.abc import Iterator

import pytest

from tests.image.building import Image, build, lacking, release


@pytest.fixture(scope="session")
def image() -> Iterator[Image]:
    """Mounted, for as long as tests run."""
    if lack := lacking():
        pytest.skip(lack)
    try:
        yield build()
    finally:
        release()
