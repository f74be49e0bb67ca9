"""Stages of third parties, found by the entry point group `skinflint.addons`.

Each entry names a callable without arguments that returns a Stage. One that cannot be loaded is said once and left
out: an extension never keeps the proxy from starting.
"""

from importlib import metadata

import structlog

from proxy.exchange.chain import Stage

log = structlog.get_logger(__name__)

GROUP = "skinflint.addons"


def extra_stages() -> tuple[Stage, ...]:
    """The installed ones, in the order of their names."""
    stages: list[Stage] = []
    for entry in sorted(metadata.entry_points(group=GROUP), key=lambda found: found.name):
        try:
            stages.append(entry.load()())
        except Exception as failure:  # noqa: BLE001 - whatever foreign code raises at import
            log.error("addon_not_loaded", addon=entry.name, error=type(failure).__name__)
    return tuple(stages)
