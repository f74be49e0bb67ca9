"""`python -m bench.budget`: counts, and compares with the record, stores, or shows where the instructions go."""

import argparse
import signal
import sys
from types import FrameType
from typing import NoReturn

from bench.budget import record
from bench.budget.callgrind import is_there
from bench.budget.counts import NAMES, working
from bench.budget.profile import hottest_c, hottest_python
from bench.failures import BenchFailed

_HOTTEST = 25


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.budget", description="Instructions a call, counted.")
    parser.add_argument("--write", action="store_true", help="store the counts as the new budget")
    parser.add_argument("--only", default="", metavar="NAME,…", help=f"some of: {', '.join(NAMES)}")
    parser.add_argument("--profile", choices=NAMES, help="show the hottest functions instead")
    return parser.parse_args()


def _say(line: str) -> None:
    print(f"  {line}", file=sys.stderr, flush=True)


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)  # unwinds, and so stops everything that was started


def _counts(names: list[str]) -> dict[str, int]:
    counts = {}
    with working(names, _say) as work:
        for name in names:
            one = work.count(name)
            counts[name] = one.median
            _say(f"{name}: {one.median:,} (rounds: {', '.join(f'{each:,}' for each in one.rounds)}; {one.spread:.2%})")
    return counts


def _compare(counts: dict[str, int], kept: record.Record) -> int:
    lines = record.compare(kept, counts)
    print(f"{'':10}{'counted':>14}{'budget':>14}{'change':>9}")
    for line in lines:
        print(f"{line.name:10}{line.counted:>14,}{line.budget:>14,}{line.change:>+9.1%}  {line.verdict}".rstrip())
    failed = [line for line in lines if line.verdict]
    if failed:
        print(
            f"\nBeyond ±{record.TOLERANCE:.0%}. `python -m bench.budget --profile {failed[0].name}` shows where the "
            "instructions go; `python -m bench.budget --write` stores the new counts, to be committed with the change."
        )
    return 1 if failed else 0


def main() -> int:
    """Returns the exit status: 1 beyond the tolerance or when the run failed, 2 for a count that does not exist."""
    arguments = _arguments()
    wanted = [name for name in arguments.only.split(",") if name] or NAMES
    if unknown := [name for name in wanted if name not in NAMES]:
        print(f"no such count: {', '.join(unknown)}; there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    if not is_there():
        print("skipped: valgrind is not installed")
        return 0
    signal.signal(signal.SIGTERM, _terminated)
    try:
        return _run(arguments, [name for name in NAMES if name in wanted])
    except BenchFailed as failure:
        print(f"the run failed: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _run(arguments: argparse.Namespace, names: list[str]) -> int:
    if arguments.profile:
        print(hottest_c(arguments.profile, _say, _HOTTEST) + "\n", flush=True)
        print(hottest_python(arguments.profile, _say, _HOTTEST))
        return 0
    if arguments.write and names == list(NAMES):
        record.store(record.here(_counts(names)))
        print(f"stored in {record.PATH}")
        return 0
    kept = record.load()
    if reasons := record.differences(kept, record.here({})):
        print("skipped: the counts would not be comparable\n  " + "\n  ".join(reasons))
        return 1 if arguments.write else 0
    counts = _counts(names)
    if arguments.write:
        record.store(record.here({**kept.counts, **counts}))
        print(f"stored in {record.PATH}")
        return 0
    return _compare(counts, kept)


if __name__ == "__main__":
    sys.exit(main())
