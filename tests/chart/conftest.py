"""The chart, loaded once, and each case of the matrix rendered once."""

from collections.abc import Iterator

import pytest

from tests.chart.helm import Helm, Rendered
from tests.chart.matrix import ALL


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Helm]:
    """Renders the chart."""
    made = Helm(tmp_path_factory.mktemp("helm"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def renderings(helm: Helm) -> dict[str, Rendered]:
    """The matrix, rendered."""
    return {name: helm.render(values) for name, values in ALL.items()}


@pytest.fixture(params=sorted(ALL))
def case(request: pytest.FixtureRequest, renderings: dict[str, Rendered]) -> Rendered:
    """Each case of the matrix."""
    return renderings[request.param]
