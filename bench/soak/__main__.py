"""`python -m bench.soak`: runs the soak, says how it goes, and exits with 1 when something leaked or went wrong."""

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import NoReturn

from bench.failures import BenchFailed
from bench.soak.report import Outcome, show
from bench.soak.run import Plan, soak
from bench.soak.samples import Tolerance
from bench.soak.scene import scene
from proxy.demo.process import SimulatorFailed

_TOLERANCE_MIB = 12.0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description="Mixed and broken load, for long.")
    default = float(os.environ.get("SOAK_MINUTES") or 30)
    parser.add_argument("--minutes", type=float, default=default, help="of load; default: $SOAK_MINUTES, or 30")
    parser.add_argument("--warm-up", type=float, metavar="MINUTES", help="default: a quarter of it, at least 10 s")
    parser.add_argument("--looks", type=int, default=6, help="how often the load stops for a look")
    parser.add_argument("--clients", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1, help="of what the clients do")
    parser.add_argument(
        "--memory-mib", type=float, default=_TOLERANCE_MIB, help="how much more resident memory there may be at the end"
    )
    parser.add_argument("--json", action="store_true", help="the outcome as JSON on standard output")
    return parser.parse_args()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


async def _run(arguments: argparse.Namespace, directory: Path) -> Outcome:
    warm_up = arguments.warm_up if arguments.warm_up is not None else max(arguments.minutes / 4, 1 / 6)
    plan = Plan(
        warm_up_s=warm_up * 60,
        load_s=arguments.minutes * 60,
        looks=max(1, arguments.looks),
        clients=arguments.clients,
        seed=arguments.seed,
    )
    with scene(directory) as running:
        return await soak(running, plan, Tolerance(resident_mib=arguments.memory_mib), _say)


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)  # unwinds, and so stops everything that was started


def main() -> int:
    """Returns the exit status."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, _terminated)
    with tempfile.TemporaryDirectory(prefix="skinflint-soak-") as directory:
        try:
            outcome = asyncio.run(_run(arguments, Path(directory)))
        except (BenchFailed, SimulatorFailed) as failure:
            print(f"the soak could not be run: {failure}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 130
    print(json.dumps({**asdict(outcome), "passed": outcome.passed}) if arguments.json else show(outcome))
    return 0 if outcome.passed else 1


if __name__ == "__main__":
    sys.exit(main())
