"""Prices that override or complete the bundled ones: config/prices.yaml, and over it the user's own file.

Rules: a file maps a provider's price id to a list of entries. The first entry whose model pattern matches and whose
`from` date has come decides; the user's entries stand before the shipped ones. Prices are decimal USD, never floats.
Mistakes are told like those in the settings: the file and line, the key, and what is allowed there.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field, ValidationError, model_validator

from config.errors import Problem, SettingsError
from config.layers import Layer
from config.places import KeyPath, dotted
from config.section import Section
from config.yaml_file import read_yaml

SHIPPED = Path(__file__).with_name("prices.yaml")

type Usd = Annotated[Decimal, Field(ge=0, allow_inf_nan=False, max_digits=18, decimal_places=12)]
type Multiplier = Annotated[Decimal, Field(gt=0, le=100, allow_inf_nan=False, decimal_places=6)]


class PriceEntry(Section):
    """Prices of the models that match, tokens in USD per million. What is left out follows the bundled list."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, populate_by_name=True)

    model: str  # a pattern with * and ?, compared without case
    since: date | None = Field(default=None, alias="from")  # UTC; the entry does not exist before
    input: Usd | None = None
    output: Usd | None = None
    cache_read: Usd | None = None
    cache_write: Usd | None = None
    cache_write_1h: Usd | None = None
    reasoning: Usd | None = None
    input_audio: Usd | None = None
    output_audio: Usd | None = None
    per_request: Usd | None = None  # USD for each call
    per_search: Usd | None = None  # USD for each search the provider ran
    tiers: dict[str, Multiplier] = Field(
        default_factory=dict
    )  # service tier, as the response names it -> factor on the token prices
    batch: Multiplier | None = None  # the same for the batch tier
    free: bool = False

    @model_validator(mode="after")
    def _says_something(self) -> "PriceEntry":
        if not self.model:
            raise ValueError("model must not be empty; * matches every model")
        if self.free and self.prices:
            raise ValueError("free excludes prices: leave one of them out")
        if not (self.free or self.prices or self.tiers or self.batch):
            raise ValueError("names no price: give input and output, per_request, tiers, batch, or free: true")
        return self

    @property
    def prices(self) -> dict[str, Decimal]:
        """The prices this entry names, by kind."""
        return {kind: value for kind in KINDS if (value := getattr(self, kind)) is not None}

    def applies(self, model: str, on: date) -> bool:
        """Does this entry speak of `model` (in lower case) on that day?"""
        return fnmatchcase(model, self.model.lower()) and (self.since is None or self.since <= on)


TOKEN_KINDS = (
    "input",
    "output",
    "cache_read",
    "cache_write",
    "cache_write_1h",
    "reasoning",
    "input_audio",
    "output_audio",
)
KINDS = (*TOKEN_KINDS, "per_request", "per_search")


@dataclass(frozen=True, slots=True)
class PriceOverrides:
    """All entries by price id, the most important first, and a digest that names this state of them."""

    entries: Mapping[str, tuple[PriceEntry, ...]]
    digest: str

    def find(self, price_id: str, model: str, on: date) -> PriceEntry | None:
        """The entry that decides, or None."""
        name = model.lower()
        return next((entry for entry in self.entries.get(price_id, ()) if entry.applies(name, on)), None)


def load_prices(own: Path | None = None, shipped: Path = SHIPPED) -> PriceOverrides:
    """The shipped entries with the user's before them. Raises SettingsError, which tells all mistakes at once."""
    digest = hashlib.sha256()
    entries: dict[str, tuple[PriceEntry, ...]] = {}
    problems: list[Problem] = []
    for path in (own, shipped):
        if path is None:
            continue
        text = _read(path)
        digest.update(text.encode())
        for price_id, found in _parse(text, str(path), problems).items():
            entries[price_id] = entries.get(price_id, ()) + found
    if problems:
        raise SettingsError(*problems)
    return PriceOverrides(entries, digest.hexdigest()[:8])


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8"
        raise SettingsError(Problem(str(path), "cost.prices", f"the price file cannot be read: {reason}")) from exc


def _parse(text: str, name: str, problems: list[Problem]) -> dict[str, tuple[PriceEntry, ...]]:
    layer = read_yaml(text, name, problems)
    found: dict[str, tuple[PriceEntry, ...]] = {}
    for price_id, value in layer.tree.items():
        if not isinstance(value, list):
            where = layer.source_of((price_id,)) or name
            problems.append(Problem(where, price_id, "must be a list of entries, each with a model"))
            continue
        entries: list[PriceEntry] = []
        for index, entry in enumerate(value):
            try:
                entries.append(PriceEntry.model_validate(entry))
            except ValidationError as exc:
                problems.extend(_problems((price_id, index), exc, layer, name))
        found[price_id] = tuple(entries)
    return found


def _problems(at: KeyPath, error: ValidationError, layer: Layer, name: str) -> Iterator[Problem]:
    for detail in error.errors(include_url=False, include_input=False):
        path = (*at, *detail["loc"])
        message = detail["msg"].removeprefix("Value error, ")
        if detail["type"] == "extra_forbidden":
            allowed = ", ".join(field.alias or key for key, field in PriceEntry.model_fields.items())
            message = f"is not a key of a price entry; allowed: {allowed}"
        elif detail["type"] == "missing":
            message = "is required"
        yield Problem(layer.source_of(path) or name, dotted(path), message)
