"""LiteLLM: one interface, three providers' own protocols."""

import asyncio

import litellm
from scenarios import TRIP, fault, raised, serve

loop = asyncio.Runner()  # one for all: connections are kept, and belong to their loop
litellm.suppress_debug_info = True
MODELS = ("openai/gpt-4o-mini", "anthropic/claude-sonnet-4-5", "gemini/gemini-2.5-flash")


def ask(model: str, text: str) -> dict[str, object]:
    """The arguments of a deterministic call."""
    return {"model": model, "messages": [{"role": "user", "content": text}], "temperature": 0}


def seen(answer: object) -> object:
    """What every provider's answer has."""
    choice = answer.choices[0]
    usage = answer.usage
    return {
        "model": answer.model,
        "text": choice.message.content,
        "finish": choice.finish_reason,
        "tokens": [usage.prompt_tokens, usage.completion_tokens],
    }


def completion() -> object:
    return [seen(litellm.completion(**ask(model, "completion"))) for model in MODELS]


def stream() -> object:
    streams = (litellm.completion(**ask(model, "stream"), stream=True) for model in MODELS)
    return [[chunk.choices[0].delta.content for chunk in chunks] for chunks in streams]


def acompletion() -> object:
    async def main() -> object:
        calls = (litellm.acompletion(**ask(model, "async")) for model in MODELS)
        whole = [seen(answer) for answer in await asyncio.gather(*calls)]
        pieces = []
        for model in MODELS:
            chunks = await litellm.acompletion(**ask(model, "async stream"), stream=True)
            pieces.append([chunk.choices[0].delta.content async for chunk in chunks])
        return {"whole": whole, "pieces": pieces}

    return loop.run(main())


def tools() -> object:
    offered = [{"type": "function", "function": {"name": "plan_trip", "description": "Plans", "parameters": TRIP}}]
    answers = [
        litellm.completion(**ask(model, "use the tool"), tools=offered, tool_choice="required") for model in MODELS
    ]
    return [answer.choices[0].message.tool_calls[0].function.arguments for answer in answers]


def embedding() -> object:
    names = ("openai/text-embedding-3-small", "gemini/gemini-embedding-001")
    answers = [litellm.embedding(model=name, input=["one", "two"]) for name in names]
    return [[row["embedding"] for row in answer.data] for answer in answers]


def unknown_model() -> object:
    kinds = []
    for model in MODELS:
        arguments = {**ask(model, "none"), "model": f"{model.partition('/')[0]}/no-such-model", "max_retries": 0}
        exc = raised(litellm.NotFoundError, lambda arguments=arguments: litellm.completion(**arguments))
        kinds.append([type(exc).__name__, exc.status_code])
    return kinds


def rate_limit() -> object:
    arguments = {**ask(MODELS[0], "limit"), "extra_headers": fault(status=429, retry_after="7"), "max_retries": 0}
    exc = raised(litellm.RateLimitError, lambda: litellm.completion(**arguments))
    return [type(exc).__name__, exc.status_code]


if __name__ == "__main__":
    serve(globals())
