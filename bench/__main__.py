"""`python -m bench`: runs the sections and writes the page."""

import argparse
import dataclasses
import signal
import sys
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from bench.failures import BenchFailed
from bench.field import FULL, QUICK, Run, Scale
from bench.kept import Kept, Measured, about
from bench.machine import Machine, look
from bench.processes import LOAD_CORE, pin
from bench.report import Section, page, show
from bench.rivals.choice import NAMES
from bench.sections import SECTIONS

_PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Skinflint beside its peers.")
    parser.add_argument("--only", default="", metavar="SECTION,…", help=f"some of: {', '.join(SECTIONS)}")
    parser.add_argument(
        "--against", default=",".join(NAMES), metavar="NAME,…", help=f"rivals: some of {', '.join(NAMES)}; none: ''"
    )
    parser.add_argument("--quick", action="store_true", help="few and short rounds: does it work at all?")
    parser.add_argument("--rounds", type=int, help="instead of the usual number")
    parser.add_argument(
        "--out", type=Path, help="the page; default: docs/benchmarks.md after a full run, else standard output"
    )
    parser.add_argument(
        "--resume",
        type=Path,
        metavar="DIR",
        help="keep each section in DIR, and take from there what was measured at this commit, scale and versions",
    )
    return parser.parse_args()


def _say(line: str) -> None:
    print(f"  {line}", file=sys.stderr, flush=True)


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)  # unwinds, and so stops everything that was started


def main() -> int:
    """Returns the exit status: 1 when the run failed, 2 for arguments that cannot be followed."""
    arguments = _arguments()
    names = [name for name in arguments.only.split(",") if name] or list(SECTIONS)
    if unknown := [name for name in names if name not in SECTIONS]:
        print(f"no such section: {', '.join(unknown)}; there are {', '.join(SECTIONS)}", file=sys.stderr)
        return 2
    against = [name for name in arguments.against.split(",") if name]
    if unknown := [name for name in against if name not in NAMES]:
        print(f"no such rival: {', '.join(unknown)}; there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    scale = QUICK if arguments.quick else FULL
    if arguments.rounds:
        scale = dataclasses.replace(scale, rounds=arguments.rounds)
    signal.signal(signal.SIGTERM, _terminated)
    machine = look()
    try:
        kept = Kept.of_run(arguments.resume, machine, scale, against)
    except ValueError as error:
        print(f"--resume: {error}", file=sys.stderr)
        return 2
    pin(LOAD_CORE)
    try:
        measured = _measure(names, machine, scale, against, kept)
    except BenchFailed as failure:
        print(f"the run failed: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    sections = [one.section for one in measured]
    text = page(machine, sections, is_quick=arguments.quick, about=about(measured, machine.at))
    is_full = not arguments.only and not arguments.quick and set(against) == set(NAMES)
    if target := arguments.out or (_PAGE if is_full else None):
        _write(target, text, sections)
    else:
        print(text)
    return 0


def _write(target: Path, text: str, sections: Sequence[Section]) -> None:
    """The page, and its pictures beside it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    for picture in [picture for section in sections for picture in section.pictures]:
        target.with_name(picture.file_name).write_text(picture.svg, encoding="utf-8")


def _measure(
    names: Sequence[str], machine: Machine, scale: Scale, against: Collection[str], kept: Kept
) -> list[Measured]:
    """The sections in their order, each told of and kept as soon as it is there."""
    found = {name: one for name in names if (one := kept.find(name)) is not None}
    if len(found) < len(names):
        with Run(scale, _say, against) as run:
            for name in names:
                if name in found:
                    _say(f"{name}: measured {found[name].at}")
                    continue
                print(f"{name} …", file=sys.stderr, flush=True)
                started = time.monotonic()
                section = SECTIONS[name](run)
                one = found[name] = Measured(section, machine.at, time.monotonic() - started, machine.load)
                kept.keep(one)
                print(show(section), file=sys.stderr, flush=True)
                _say(f"{name} took {one.seconds:.0f} s")
    return [found[name] for name in names]


if __name__ == "__main__":
    sys.exit(main())
