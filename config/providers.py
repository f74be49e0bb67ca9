"""The packaged table of providers, config/providers.yaml, as typed rows.

Rules: this is package data and not a user's file, so a mistake in it is a bug: any unknown or missing member raises
ValueError with the provider's name. Which dialects exist is the registry's business, not decided here.
"""

from importlib.resources import files

import yaml
from pydantic import Field, TypeAdapter, ValidationError

from config.section import Section
from proxy.providers.entry import ProviderEntry, StreamUsage


class _Row(Section):
    """One provider as the file has it."""

    dialect: str
    hosts: tuple[str, ...]
    base_path: str = Field(default="", pattern=r"^(/[^/]+)*$")
    stream_usage: StreamUsage
    price_id: str = ""


def parse_providers(text: str) -> tuple[ProviderEntry, ...]:
    """The rows of such a file, in its order. Raises ValueError when it is malformed."""
    try:
        rows = TypeAdapter(dict[str, _Row]).validate_python(yaml.safe_load(text))
    except (ValidationError, yaml.YAMLError) as exc:
        raise ValueError(f"the table of providers is malformed: {exc}") from exc
    return tuple(ProviderEntry(name=name, **dict(row)) for name, row in rows.items())


def load_providers() -> tuple[ProviderEntry, ...]:
    """The packaged providers, in the file's order."""
    return parse_providers(files("config").joinpath("providers.yaml").read_text(encoding="utf-8"))
