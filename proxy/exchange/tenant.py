"""Whose a client is, where many share one proxy: the tenant, and what else its calls are labelled with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

LABEL: Final = "tenant"


@dataclass(frozen=True, slots=True)
class Tenant:
    """One tenant, as one client of it is known. `labels` go over those that the client chose; `name` is one of them."""

    name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    proof: str = field(
        default="", compare=False, repr=False
    )  # what the token is known by that it came with, if one did

    @classmethod
    def named(cls, name: str, labels: Mapping[str, str] | None = None, proof: str = "") -> "Tenant":
        """A tenant with its label, and others."""
        return cls(name, {**(labels or {}), LABEL: name}, proof)

    @property
    def said(self) -> str:
        """All of it, in a form that only an equal one has."""
        return repr((self.name, sorted(self.labels.items()))) if self.labels else ""


NOBODY: Final = Tenant()  # without access rules
