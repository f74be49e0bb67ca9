"""OpenAI's Python SDK: embeddings of arrays that overlap."""

import asyncio

from openai import AsyncOpenAI, OpenAI
from scenarios import serve

MODEL = "text-embedding-3-small"

sync = OpenAI()


def ask(names: list[str], **more: object) -> object:
    """One call, with what the SDK makes of its answer."""
    return sync.embeddings.create(model=MODEL, input=names, dimensions=16, **more).to_dict()


def overlapping() -> object:
    return [ask(["red", "green"]), ask(["green", "blue", 'rot \u00e9\n"', "red"]), ask(["blue", "red"])]


def overlapping_floats() -> object:
    asked = (["one", "two"], ["two", "three"])
    return [ask(each, encoding_format="float") for each in asked]


def overlapping_tokens() -> object:
    asked = ([[1, 2], [3]], [[3], [4, 5, 6], [1, 2]])
    return [sync.embeddings.create(model=MODEL, input=each, dimensions=16).to_dict() for each in asked]


def at_once() -> object:
    """Twenty of one text each, and some that overlap, all at the same time."""

    async def run() -> object:
        async with AsyncOpenAI() as client:
            asked = [[f"text {number}"] for number in range(20)] + [["text 1", "text 30"], ["text 30", "text 2"]]
            calls = [client.embeddings.create(model=MODEL, input=each, dimensions=16) for each in asked]
            return [answer.to_dict() for answer in await asyncio.gather(*calls)]

    return asyncio.run(run())


if __name__ == "__main__":
    serve(globals())
