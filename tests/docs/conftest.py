"""The chart, for the values in documents."""

from tests.chart.conftest import helm

__all__ = ["helm"]
