"""Skinflint's engine. Start reading at app.py."""

from functools import cache
from importlib import metadata


@cache
def version() -> str:
    """The installed version."""
    return metadata.version("skinflint")
