"""HTTP libraries for Python, as applications without an SDK use them. See scenarios.py for how it is asked.

aiohttp alone must be told to look at the environment.
"""

import asyncio
import json
import os
import urllib.error
import urllib.request

import aiohttp
import httpx
import httpx2
import requests
from scenarios import fault, raised, serve

URL = "https://api.openai.com/v1/chat/completions"
KEY = {"authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"}


def ask(text: str, **more: object) -> dict[str, object]:
    """A deterministic chat."""
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}], "temperature": 0, **more}


def events(lines: list[str]) -> list[object]:
    """The chunks of a stream."""
    found = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    assert found[-1] == "[DONE]"
    return [json.loads(each) for each in found[:-1]]


def by_requests() -> object:
    with requests.Session() as session:
        whole = session.post(URL, json=ask("requests"), headers=KEY, timeout=20)
        streamed = session.post(URL, json=ask("requests s", stream=True), headers=KEY, timeout=20, stream=True)
        streamed.encoding = "utf-8"
        lines = list(streamed.iter_lines(decode_unicode=True))
        return {"status": whole.status_code, "whole": whole.json(), "events": events(lines)}


def by_httpx() -> object:
    with httpx.Client(timeout=20) as client:
        whole = client.post(URL, json=ask("httpx"), headers=KEY)
        with client.stream("POST", URL, json=ask("httpx s", stream=True), headers=KEY) as streamed:
            lines = list(streamed.iter_lines())
        return {"status": whole.status_code, "whole": whole.json(), "events": events(lines)}


def by_httpx2_async() -> object:
    async def main() -> object:
        async with httpx2.AsyncClient(timeout=20) as client:
            whole = await client.post(URL, json=ask("httpx2"), headers=KEY)
            async with client.stream("POST", URL, json=ask("httpx2 s", stream=True), headers=KEY) as streamed:
                lines = [line async for line in streamed.aiter_lines()]
        return {"status": whole.status_code, "whole": whole.json(), "events": events(lines)}

    return asyncio.run(main())


def by_aiohttp() -> object:
    async def main() -> object:
        async with aiohttp.ClientSession(trust_env=True) as session:
            async with session.post(URL, json=ask("aiohttp"), headers=KEY) as answer:
                status, whole = answer.status, await answer.json()
            async with session.post(URL, json=ask("aiohttp s", stream=True), headers=KEY) as streamed:
                lines = [line.decode().rstrip("\n") async for line in streamed.content]
        return {"status": status, "whole": whole, "events": events(lines)}

    return asyncio.run(main())


def by_urllib() -> object:
    body = json.dumps(ask("urllib")).encode()
    call = urllib.request.Request(URL, body, {**KEY, "content-type": "application/json"})
    with urllib.request.urlopen(call, timeout=20) as answer:
        return {"status": answer.status, "whole": json.load(answer)}


def by_urllib_an_error() -> object:
    body = json.dumps(ask("error")).encode()
    call = urllib.request.Request(URL, body, {**KEY, **fault(status=404), "content-type": "application/json"})
    error = raised(urllib.error.HTTPError, lambda: urllib.request.urlopen(call, timeout=20))
    with error:
        return {"status": error.code, "error": json.load(error)["error"]}


def by_requests_a_chunked_upload() -> object:
    body = json.dumps(ask("chunked", padding="x" * 300_000)).encode()
    pieces = (body[at : at + 10_000] for at in range(0, len(body), 10_000))
    headers = {**KEY, "content-type": "application/json"}
    return requests.post(URL, data=pieces, headers=headers, timeout=20).json()


if __name__ == "__main__":
    serve(globals())
