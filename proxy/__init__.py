"""Skinflint's engine. Start reading at app.py."""

from functools import cache
from importlib import metadata

from proxy.standins import keep_out

keep_out()  # here, since nothing of the engine is imported before this


@cache
def version() -> str:
    """The installed version."""
    return metadata.version("skinflint")
