"""OpenAI's Python SDK with its default retries, while the proxy beside it is not there, comes, and is restarted."""

import itertools
import time

from openai import APIConnectionError, OpenAI
from scenarios import raised, serve

ENOUGH_S = 4.0

numbers = itertools.count()
client = OpenAI()


def ask() -> str:
    """One call, which nobody has made before; the answer's beginning."""
    prompt = f"restarts {next(numbers)} {time.time()}"
    answer = client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": prompt}])
    return answer.object


def one() -> object:
    return ask()


def refused() -> object:
    began = time.monotonic()
    failure = raised(APIConnectionError, ask)
    return {"error": type(failure).__name__, "gave_up_after_s": time.monotonic() - began}


def for_a_while() -> object:
    """Call after call; what failed, and the longest that one took."""
    calls, failures, longest_s = 0, [], 0.0
    over_at = time.monotonic() + ENOUGH_S
    while time.monotonic() < over_at:
        began = time.monotonic()
        try:
            ask()
        except APIConnectionError as failure:
            failures.append(repr(failure.__cause__))
        calls, longest_s = calls + 1, max(longest_s, time.monotonic() - began)
    return {"calls": calls, "failures": failures, "longest_s": longest_s}


if __name__ == "__main__":
    serve(globals())
