"""`python -m bench.reliability`: makes every trouble, writes the page, and exits with 1 when one was not passed."""

import argparse
import asyncio
import json
import signal
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

from bench.failures import BenchFailed
from bench.machine import look
from bench.reliability.place import Place, enter
from bench.reliability.report import page
from bench.reliability.run import Plan, Seen, play
from bench.reliability.scenes import SCENES, provider, redis_lacking
from bench.reliability.trouble import Skipped

_PAGE: Final = Path(__file__).parents[2] / "docs" / "reliability.md"
_FULL: Final = Plan(before_s=3.0, trouble_s=4.0, after_s=3.0, recover_s=30.0, clients=12, seed=1)
_SHORT: Final = Plan(before_s=0.5, trouble_s=1.5, after_s=0.5, recover_s=30.0, clients=6, seed=1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.reliability", description="Outages, under load.")
    parser.add_argument("--short", action="store_true", help="a second or two of each: shows that it works, no more")
    parser.add_argument("--only", default="", metavar="NAMES", help="of troubles, with commas between")
    parser.add_argument("--scenes", default=",".join(SCENES), help=f"default: {','.join(SCENES)}")
    parser.add_argument("--out", type=Path, help="default: docs/reliability.md, of a run of everything")
    parser.add_argument("--json", action="store_true", help="the outcomes as JSON on standard output, and no page")
    return parser.parse_args()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


async def _run(arguments: argparse.Namespace, plan: Plan, place: Place, directory: Path) -> list[Seen]:
    only = frozenset(name for name in arguments.only.split(",") if name)
    seen = []
    with provider(directory / "provider") as upstream:
        for name in arguments.scenes.split(","):
            if name != "disk" and redis_lacking():
                seen.append(Seen(Skipped(name, redis_lacking()), None))
                continue
            with SCENES[name](directory / name, upstream, place, plan.trouble_s) as scene:
                seen += await play(scene, plan, only, _say)
    return seen


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)  # unwinds, and so stops everything that was started


def main() -> int:
    """Returns the exit status."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, _terminated)
    plan = _SHORT if arguments.short else _FULL
    machine = look()
    place = enter()
    with tempfile.TemporaryDirectory(prefix="skinflint-reliability-") as directory:
        try:
            seen = asyncio.run(_run(arguments, plan, place, Path(directory)))
        except (BenchFailed, AssertionError) as failure:
            print(f"the run failed: {failure}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 130
    outcomes = [each.outcome for each in seen if each.outcome is not None]
    if arguments.json:
        skipped = [asdict(each.trouble) for each in seen if isinstance(each.trouble, Skipped)]
        told = [{**asdict(outcome), "passed": outcome.passed} for outcome in outcomes]
        print(json.dumps({"outcomes": told, "skipped": skipped}))
    else:
        text = page(machine, plan, seen)
        is_full = not (arguments.only or arguments.short) and arguments.scenes == ",".join(SCENES)
        if target := arguments.out or (_PAGE if is_full else None):
            target.write_text(text, encoding="utf-8")
        else:
            print(text)
    return 0 if all(outcome.passed for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
