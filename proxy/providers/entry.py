"""What is known of a provider before its dialect is asked: one row of config/providers.yaml, or of the settings.

Rule: plain values only, so that the loader, the registry and every dialect share it without importing each other. A
dialect is constructed as `Dialect(entry)` and takes its name and its base path from here.
"""

from dataclasses import dataclass
from typing import Literal

type StreamUsage = Literal["ask", "always", "never"]


@dataclass(frozen=True, slots=True)
class ProviderEntry:
    """One provider's row.

    name: stable; stands in metrics, the ledger and settings.
    dialect: a key of the registry's table of dialects.
    hosts: exact names, or patterns with `*`; an optional `:port` at the end.
    base_path: what stands before the dialect's own paths, without a slash at its end; empty for none.
    stream_usage: `ask` when a stream reports usage only on request (`stream_options.include_usage`), `always` when it
        does so unasked, `never` when asking would be an error.
    price_id: the provider's id in genai-prices; empty when it has no prices there.
    """

    name: str
    dialect: str
    hosts: tuple[str, ...] = ()
    base_path: str = ""
    stream_usage: StreamUsage = "ask"
    price_id: str = ""
