"""The provider: the simulator, with the answers of answers.py. Run as `python -m bench.reliability.provider`."""

import argparse
import asyncio
import os
import signal
from pathlib import Path
from typing import Final

import orjson
import uvloop

from bench.reliability.answers import question_of
from proxy.demo.asks import JSON_TYPE, SSE_TYPE, Answer, Call
from proxy.demo.certificates import make_certificates
from proxy.demo.coding import decode
from proxy.demo.faults import Options
from proxy.demo.simulator import Simulator
from proxy.exchange.headers import text

_EVENT_S: Final = 0.004


def answered(call: Call) -> Answer | None:
    """What a call gets; None for what the simulator knows better."""
    if call.path != "/v1/chat/completions":
        return None
    body = decode(call.body, text(call.headers, b"content-encoding"))
    credential = text(call.headers, b"authorization").removeprefix("Bearer ")
    question = question_of(credential, body)
    kind = SSE_TYPE if question.is_streamed else JSON_TYPE
    return Answer(question.pieces, 200, [(b"content-type", kind)], streamed=question.is_streamed)


async def _serve(directory: Path) -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    certificates = await asyncio.to_thread(make_certificates, directory)
    options = Options(interval_s=_EVENT_S, compress=False, keep_calls=1)
    async with Simulator(certificates, options) as simulator:
        simulator.script(answered)
        part = directory / "ready.part"
        part.write_bytes(orjson.dumps({"port": simulator.port, "pid": os.getpid()}))
        part.replace(directory / "ready.json")
        await stopped.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.reliability.provider")
    parser.add_argument("directory", type=Path)
    uvloop.run(_serve(parser.parse_args().directory))
