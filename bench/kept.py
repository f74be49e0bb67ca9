"""Sections that are kept as files, so that a run that breaks off need not measure again what it had already.

Rules: a section is taken from its file only if it was measured under the same conditions: commit, machine, versions,
scale and rivals. With changes that are not committed, nothing is kept or taken: nobody could say what was measured.
"""

import dataclasses
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import TypeAdapter, ValidationError

from bench.field import Scale
from bench.machine import Machine
from bench.report import Section


@dataclass(frozen=True, slots=True)
class Measured:
    """A section, and when and how long it was measured."""

    section: Section
    at: str
    seconds: float
    load: str  # the load average before that run
    conditions: str = ""


_FORMAT = TypeAdapter(Measured)


class Kept:
    """The files of one directory; none at all when it is None."""

    def __init__(self, directory: Path | None, conditions: str) -> None:
        self._directory = directory
        self._conditions = conditions

    @classmethod
    def of_run(cls, directory: Path | None, machine: Machine, scale: Scale, against: Collection[str]) -> Self:
        """Raises ValueError when the code that is measured has changes that are in no commit."""
        if directory is not None and not machine.is_committed:
            raise ValueError("there are changes that are in no commit: what is measured could not be told apart")
        fixed = {key: value for key, value in dataclasses.asdict(machine).items() if key not in ("at", "load")}
        told = {"machine": fixed, "scale": dataclasses.asdict(scale), "against": sorted(against)}
        return cls(directory, json.dumps(told, sort_keys=True))

    def find(self, name: str) -> Measured | None:
        """A section that was measured under these conditions."""
        if self._directory is None:
            return None
        try:
            found = _FORMAT.validate_json((self._directory / f"{name}.json").read_bytes())
        except (FileNotFoundError, ValidationError):
            return None
        return found if found.conditions == self._conditions else None

    def keep(self, measured: Measured) -> None:
        """Write it down, whole or not at all."""
        if self._directory is None:
            return
        self._directory.mkdir(parents=True, exist_ok=True)
        path = self._directory / f"{measured.section.name}.json"
        part = path.with_suffix(".part")
        part.write_bytes(_FORMAT.dump_json(dataclasses.replace(measured, conditions=self._conditions)))
        part.replace(path)


def about(measured: Sequence[Measured], at: str) -> list[tuple[str, str]]:
    """For the page: how long the sections took, and which of them are not from the run that began `at`."""
    minutes = ", ".join([f"{one.section.name} {one.seconds / 60:.1f}" for one in measured])
    lines = [("Minutes", f"{sum(one.seconds for one in measured) / 60:.0f}: {minutes}")]
    if earlier := [one for one in measured if one.at != at]:
        told = "; ".join([f"{one.section.name}: {one.at}, load average {one.load}" for one in earlier])
        lines.append(("Put together from several calls", f"measured before, at the same commit and versions: {told}"))
    return lines
