# ruff: noqa: PLC0415, PT017  # each function imports the SDK it is about; pytest is not there to raise
"""Calls the simulator with the providers' own SDKs, and has their own models check every answer.

A plain script for the interpreter that has the SDKs: `python sdk_calls.py http://127.0.0.1:PORT NAME…`. Prints nothing
when all is well; an AssertionError or an SDK's own error otherwise. Imports nothing of Skinflint.
"""

import asyncio
import base64
import sys

TOOL = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}, "required": ["city"]}
ASK = [{"role": "user", "content": "Say something."}]


def openai_chat(base: str) -> None:
    from openai import OpenAI
    from openai.types.chat import ChatCompletion, ChatCompletionChunk

    with OpenAI(base_url=f"{base}/@api.openai.com/v1", api_key="fake", max_retries=0) as client:
        raw = client.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=ASK, n=2)
        whole = ChatCompletion.model_validate_json(raw.text)
        assert len(whole.choices) == 2
        assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
        chunks = list(
            client.chat.completions.create(
                model="gpt-4o-mini", messages=ASK, stream=True, stream_options={"include_usage": True}
            )
        )
        for chunk in chunks:
            ChatCompletionChunk.model_validate(chunk.to_dict())
        assert chunks[0].choices[0].delta.role == "assistant"
        assert chunks[-2].choices[0].finish_reason == "stop"
        assert chunks[-1].choices == []
        assert chunks[-1].usage.completion_tokens == len(chunks) - 3
        plain = list(client.chat.completions.create(model="gpt-4o-mini", messages=ASK, stream=True))
        assert all(chunk.usage is None for chunk in plain)
        tools = [{"type": "function", "function": {"name": "weather", "parameters": TOOL}}]
        called = client.chat.completions.create(model="gpt-4o-mini", messages=ASK, tools=tools, tool_choice="required")
        assert called.choices[0].message.tool_calls[0].function.name == "weather"
        with client.chat.completions.stream(
            model="gpt-4o-mini", messages=ASK, tools=tools, tool_choice="required"
        ) as stream:
            final = stream.get_final_completion()
        assert (
            final.choices[0].message.tool_calls[0].function.arguments
            == called.choices[0].message.tool_calls[0].function.arguments
            or final.choices[0].finish_reason == "tool_calls"
        )
        old = client.completions.create(model="gpt-3.5-turbo-instruct", prompt="Once", max_tokens=5)
        assert old.usage.completion_tokens == 5
        assert old.choices[0].finish_reason == "length"


def openai_parsed(base: str) -> None:
    from openai import OpenAI
    from pydantic import BaseModel

    class Trip(BaseModel):
        city: str
        days: int
        tags: list[str]

    with OpenAI(base_url=f"{base}/@api.openai.com/v1", api_key="fake", max_retries=0) as client:
        chat = client.chat.completions.parse(model="gpt-4o-mini", messages=ASK, response_format=Trip)
        assert chat.choices[0].message.parsed.days > 0
        answer = client.responses.parse(model="gpt-4o-mini", input="A trip", text_format=Trip)
        assert answer.output_parsed.city


def openai_responses(base: str) -> None:
    from openai import OpenAI
    from openai.types.responses import Response

    with OpenAI(base_url=f"{base}/@api.openai.com/v1", api_key="fake", max_retries=0) as client:
        raw = client.responses.with_raw_response.create(model="gpt-4o-mini", input="Hello")
        whole = Response.model_validate_json(raw.text)
        assert len(whole.output_text) > 20
        events = list(client.responses.create(model="gpt-4o-mini", input="Hello", stream=True))
        assert [event.sequence_number for event in events] == list(range(len(events)))
        said = "".join(event.delta for event in events if event.type == "response.output_text.delta")
        assert events[-1].type == "response.completed"
        assert events[-1].response.output_text == said
        for event in events:
            type(event).model_validate(event.to_dict())
        with client.responses.stream(model="gpt-4o-mini", input="Hello") as stream:
            assert stream.get_final_response().usage.output_tokens > 0
        tool = {"type": "function", "name": "weather", "parameters": TOOL, "strict": False}
        called = client.responses.create(
            model="gpt-4o-mini", input="Hello", tools=[tool], tool_choice="required", stream=True
        )
        assert list(called)[-1].response.output[0].name == "weather"


def openai_rest(base: str) -> None:
    from openai import AuthenticationError, AzureOpenAI, NotFoundError, OpenAI, RateLimitError

    with OpenAI(base_url=f"{base}/@api.openai.com/v1", api_key="fake", max_retries=0) as client:
        coded = client.embeddings.create(model="text-embedding-3-small", input=["one", "two"], dimensions=64)
        floats = client.embeddings.create(
            model="text-embedding-3-small", input="one", dimensions=64, encoding_format="float"
        )
        near = zip(coded.data[0].embedding, floats.data[0].embedding, strict=True)
        assert all(abs(a - b) < 1e-6 for a, b in near)
        assert len(client.embeddings.create(model="text-embedding-3-small", input=[1, 2, 3]).data) == 1
        picture = client.images.generate(model="gpt-image-1", prompt="A boat")
        assert base64.b64decode(picture.data[0].b64_json).startswith(b"\x89PNG")
        assert client.audio.speech.create(model="tts-1", voice="alloy", input="Hi").read()
        heard = client.audio.transcriptions.create(model="whisper-1", file=("a.wav", b"RIFF" + bytes(200)))
        assert heard.text
        assert client.moderations.create(input="flagged text").results[0].flagged
        assert any(model.id == "gpt-4o-mini" for model in client.models.list())
        assert client.models.retrieve("gpt-4o").id == "gpt-4o"
        sent = client.files.create(file=("in.jsonl", b"{}\n"), purpose="batch")
        batch = client.batches.create(input_file_id=sent.id, endpoint="/v1/chat/completions", completion_window="24h")
        assert client.batches.retrieve(batch.id).id == batch.id
        assert client.files.delete(sent.id).deleted
        for error, model, headers in (
            (NotFoundError, "no-such-model", {}),
            (RateLimitError, "gpt-4o", {"x-sim-faults": '{"status": 429, "retry_after": "1"}'}),
        ):
            try:
                client.chat.completions.create(model=model, messages=ASK, extra_headers=headers)
            except error as exc:
                assert exc.type
            else:
                raise AssertionError(f"{error.__name__} was not raised")
        try:
            client.models.list(extra_headers={"authorization": ""})
        except AuthenticationError as exc:
            assert exc.code == "invalid_api_key"
    with AzureOpenAI(
        azure_endpoint=f"{base}/@team.openai.azure.com", api_key="fake", api_version="2024-10-21"
    ) as azure:
        assert azure.chat.completions.create(model="gpt-4o-mini", messages=ASK).model.startswith("gpt-4o-mini")


def openai_async(base: str) -> None:
    from openai import AsyncOpenAI

    async def main() -> None:
        async with AsyncOpenAI(base_url=f"{base}/@api.openai.com/v1", api_key="fake") as client:
            answers = await asyncio.gather(
                *(client.chat.completions.create(model="gpt-4o-mini", messages=ASK) for _ in range(20))
            )
            assert len({answer.id for answer in answers}) == 20
            stream = await client.chat.completions.create(model="gpt-4o-mini", messages=ASK, stream=True)
            assert len([chunk async for chunk in stream]) > 10

    asyncio.run(main())


def anthropic(base: str) -> None:
    from anthropic import Anthropic, NotFoundError
    from anthropic.types import Message

    with Anthropic(base_url=f"{base}/@api.anthropic.com", api_key="fake", max_retries=0) as client:
        raw = client.messages.with_raw_response.create(model="claude-sonnet-4-5", max_tokens=100, messages=ASK)
        whole = Message.model_validate_json(raw.text())
        assert whole.stop_reason == "end_turn"
        events = list(client.messages.create(model="claude-sonnet-4-5", max_tokens=100, messages=ASK, stream=True))
        assert [event.type for event in events][-2:] == ["message_delta", "message_stop"]
        for event in events:
            type(event).model_validate(event.to_dict())
        with client.messages.stream(model="claude-sonnet-4-5", max_tokens=100, messages=ASK) as stream:
            said = "".join(stream.text_stream)
            assert stream.get_final_message().content[0].text == said
        tools = [{"name": "weather", "input_schema": TOOL}]
        with client.messages.stream(
            model="claude-sonnet-4-5", max_tokens=100, messages=ASK, tools=tools, tool_choice={"type": "any"}
        ) as stream:
            called = stream.get_final_message()
        assert called.content[0].input["city"]
        assert called.stop_reason == "tool_use"
        system = [{"type": "text", "text": "Long rules. " * 200, "cache_control": {"type": "ephemeral"}}]
        first, second = (
            client.messages.create(model="claude-sonnet-4-5", max_tokens=9, messages=ASK, system=system).usage
            for _ in range(2)
        )
        assert first.cache_creation_input_tokens == second.cache_read_input_tokens > 0
        assert first.cache_read_input_tokens == second.cache_creation_input_tokens == 0
        assert client.messages.count_tokens(model="claude-sonnet-4-5", messages=ASK).input_tokens > 0
        assert len(client.models.list().data) > 1
        try:
            client.messages.create(model="no-such-model", max_tokens=9, messages=ASK)
        except NotFoundError as exc:
            assert exc.body["error"]["type"] == "not_found_error"


def gemini(base: str) -> None:
    from google import genai
    from google.genai import errors, types

    options = types.HttpOptions(base_url=f"{base}/@generativelanguage.googleapis.com")
    client = genai.Client(api_key="fake", http_options=options)
    whole = client.models.generate_content(model="gemini-2.5-flash", contents="Hello")
    assert len(whole.text) > 20
    assert whole.usage_metadata.candidates_token_count > 0
    chunks = list(client.models.generate_content_stream(model="gemini-2.5-flash", contents="Hello"))
    assert [bool(chunk.candidates[0].finish_reason) for chunk in chunks][-2:] == [False, True]
    assert chunks[-1].usage_metadata.candidates_token_count == len(chunks)
    vectors = client.models.embed_content(model="gemini-embedding-001", contents=["one", "two"])
    assert len(vectors.embeddings) == 2
    assert client.models.count_tokens(model="gemini-2.5-flash", contents="Hello").total_tokens > 0
    assert any("flash" in model.name for model in client.models.list())
    declared = types.FunctionDeclaration(name="weather", parameters_json_schema=TOOL)
    config = types.GenerateContentConfig(tools=[types.Tool(function_declarations=[declared])])
    called = client.models.generate_content(model="gemini-2.5-flash", contents="use the tool", config=config)
    assert called.function_calls[0].args["city"]
    try:
        client.models.generate_content(model="no-such-model", contents="Hello")
    except errors.ClientError as exc:
        assert exc.status == "NOT_FOUND"
    client.close()


def litellm(base: str) -> None:
    import litellm as lite

    lite.suppress_debug_info = True
    for model, host in (
        ("openai/gpt-4o-mini", "api.openai.com/v1"),
        ("mistral/mistral-small-latest", "api.mistral.ai/v1"),
        ("groq/qwen/qwen3-32b", "api.groq.com/openai/v1"),
        ("deepseek/deepseek-chat", "api.deepseek.com"),
        ("openrouter/openai/gpt-4o-mini", "openrouter.ai/api/v1"),
        ("together_ai/Qwen/Qwen2.5-7B-Instruct-Turbo", "api.together.ai/v1"),
        ("xai/grok-3", "api.x.ai/v1"),
        ("fireworks_ai/qwen3-8b", "api.fireworks.ai/inference/v1"),
        ("anthropic/claude-sonnet-4-5", "api.anthropic.com"),
        ("cohere_chat/command-a-03-2025", "api.cohere.com/v2/chat"),
        ("ollama_chat/qwen3", "ollama"),
    ):
        address = f"{base}/@{host}"
        whole = lite.completion(model=model, messages=ASK, api_base=address, api_key="fake")
        assert whole.choices[0].message.content, model
        assert whole.usage.completion_tokens > 0, model
        if model.startswith("cohere"):
            continue  # this SDK reads Cohere's streams only when they lack their `event:` lines
        said = lite.completion(model=model, messages=ASK, api_base=address, api_key="fake", stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in said), model


def langchain(base: str) -> None:
    from langchain_openai import ChatOpenAI, OpenAIEmbeddings

    address = f"{base}/@api.openai.com/v1"
    chat = ChatOpenAI(model="gpt-4o-mini", api_key="fake", base_url=address)
    assert chat.invoke("Hello").usage_metadata["output_tokens"] > 0
    assert len(list(chat.stream("Hello"))) > 10
    vectors = OpenAIEmbeddings(
        model="text-embedding-3-small", api_key="fake", base_url=address, check_embedding_ctx_length=False
    )
    assert vectors.embed_query("hello") != vectors.embed_query("world")


CALLS = {
    call.__name__: call
    for call in (
        openai_chat,
        openai_parsed,
        openai_responses,
        openai_rest,
        openai_async,
        anthropic,
        gemini,
        litellm,
        langchain,
    )
}

if __name__ == "__main__":
    for name in sys.argv[2:] or CALLS:
        CALLS[name](sys.argv[1])
