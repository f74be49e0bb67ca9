"""Python's clients, as an application in a container uses them: nothing here knows of a proxy or of its roots.

Each line of standard input is one wish, as JSON: `{"client": …, "host": …, "prompt": …}` for the same call twice, or
`{"client": …, "url": …}` for whether a server is trusted. Each is answered by one line.
"""
# ruff: noqa: PLC0415 - a client is imported when it is asked for: all of them take seconds

import asyncio
import json
import os
import sys
import traceback
import urllib.request
from collections.abc import Callable, Iterator

type Answer = dict[str, object]

FIELD = "x-skinflint-cache"
KEY = "sk-test"


def chat(prompt: str) -> dict[str, object]:
    """A call whose answer does not vary."""
    return {"model": "gpt-4o-mini", "temperature": 0, "messages": [{"role": "user", "content": prompt}]}


def address(host: str) -> str:
    """Where chats go."""
    return f"https://{host}/v1/chat/completions"


def answer(status: int, cache: str | None, said: object) -> Answer:
    """What a call came back with."""
    return {"status": status, "cache": cache or "", "said": said}


def words(body: dict) -> object:
    """What the model says."""
    return body["choices"][0]["message"]["content"]


def by_openai(host: str, prompt: str) -> Iterator[Answer]:
    from openai import OpenAI

    base = None if host == "api.openai.com" else f"https://{host}/v1"
    with OpenAI(api_key=KEY, max_retries=0, base_url=base) as client:
        for _ in range(2):
            raw = client.chat.completions.with_raw_response.create(**chat(prompt))  # type: ignore[call-overload]
            yield answer(raw.status_code, raw.headers.get(FIELD), raw.parse().choices[0].message.content)


def by_anthropic(_host: str, prompt: str) -> Iterator[Answer]:
    from anthropic import Anthropic

    with Anthropic(api_key=KEY, max_retries=0) as client:
        for _ in range(2):
            raw = client.messages.with_raw_response.create(
                model="claude-sonnet-4-5",
                max_tokens=50,
                messages=[{"role": "user", "content": prompt}],
            )
            yield answer(raw.status_code, raw.headers.get(FIELD), raw.parse().content[0].text)


def by_gemini(_host: str, prompt: str) -> Iterator[Answer]:
    from google import genai

    client = genai.Client(api_key=KEY)
    for _ in range(2):
        made = client.models.generate_content(model="gemini-2.5-flash", contents=prompt, config={"temperature": 0})
        headers = {name.lower(): value for name, value in (made.sdk_http_response.headers or {}).items()}
        yield answer(200, headers.get(FIELD), made.text)


def by_httpx(host: str, prompt: str) -> Iterator[Answer]:
    import httpx

    with httpx.Client(timeout=20, headers={"authorization": f"Bearer {KEY}"}) as client:
        for _ in range(2):
            made = client.post(address(host), json=chat(prompt))
            yield answer(made.status_code, made.headers.get(FIELD), words(made.json()))


def by_requests(host: str, prompt: str) -> Iterator[Answer]:
    import requests

    for _ in range(2):
        made = requests.post(address(host), json=chat(prompt), headers={"authorization": f"Bearer {KEY}"}, timeout=20)
        yield answer(made.status_code, made.headers.get(FIELD), words(made.json()))


def by_urllib3(host: str, prompt: str) -> Iterator[Answer]:
    import urllib3

    with urllib3.PoolManager() as pool:
        for _ in range(2):
            made = pool.request("POST", address(host), json=chat(prompt), headers={"authorization": f"Bearer {KEY}"})
            yield answer(made.status, made.headers.get(FIELD), words(made.json()))


def by_urllib(host: str, prompt: str) -> Iterator[Answer]:
    for _ in range(2):
        fields = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
        call = urllib.request.Request(address(host), json.dumps(chat(prompt)).encode(), fields)
        with urllib.request.urlopen(call, timeout=20) as made:
            yield answer(made.status, made.headers.get(FIELD), words(json.load(made)))


def by_aiohttp(host: str, prompt: str) -> Iterator[Answer]:
    yield from asyncio.run(_aiohttp(host, prompt, trust_env=False))


def by_aiohttp_told(host: str, prompt: str) -> Iterator[Answer]:
    """It was told to look at its environment."""
    yield from asyncio.run(_aiohttp(host, prompt, trust_env=True))


async def _aiohttp(host: str, prompt: str, *, trust_env: bool) -> list[Answer]:
    import aiohttp

    found = []
    async with aiohttp.ClientSession(trust_env=trust_env, headers={"authorization": f"Bearer {KEY}"}) as session:
        for _ in range(2):
            async with session.post(address(host), json=chat(prompt)) as made:
                found.append(answer(made.status, made.headers.get(FIELD), words(await made.json())))
    return found


def trusts_urllib(url: str) -> str:
    return _judged(lambda: urllib.request.urlopen(url, timeout=20))


def trusts_requests(url: str) -> str:
    import requests

    return _judged(lambda: requests.get(url, timeout=20))


def trusts_httpx(url: str) -> str:
    import httpx

    return _judged(lambda: httpx.get(url, timeout=20))


def _judged(call: Callable[[], object]) -> str:
    try:
        call()
    except Exception as exc:
        return f"{type(exc).__name__}: {exc}"
    return "trusted"


def main() -> None:
    """Until standard input ends. What libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        wish = json.loads(line)
        try:
            if "url" in wish:
                value: object = globals()[f"trusts_{wish['client']}"](wish["url"])
            else:
                value = list(globals()[f"by_{wish['client']}"](wish["host"], wish["prompt"]))
            print(json.dumps({"value": value}), file=answers, flush=True)
        except Exception:
            print(json.dumps({"failure": traceback.format_exc()}), file=answers, flush=True)


if __name__ == "__main__":
    main()
