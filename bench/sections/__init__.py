"""The sections of the benchmark, in the order of the report."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from bench.field import Run
from bench.report import Section
from bench.sections import (
    connections,
    forwards,
    generator,
    growth,
    handshakes,
    hits,
    latency,
    memory,
    mix,
    start,
    streams,
    tiers,
    tunnel,
    workers,
)

SECTIONS: Final[Mapping[str, Callable[[Run], Section]]] = MappingProxyType(
    {
        "hits": hits.run,
        "forwards": forwards.run,
        "mix": mix.run,
        "latency": latency.run,
        "streams": streams.run,
        "start": start.run,
        "memory": memory.run,
        "connections": connections.run,
        "generator": generator.run,
        "handshakes": handshakes.run,
        "tunnel": tunnel.run,
        "workers": workers.run,
        "growth": growth.run,
        "tiers": tiers.run,
    }
)
