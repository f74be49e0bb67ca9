"""OpenAI's Python SDK: responses, and everything else that applications use every day."""

import asyncio

import openai
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel
from scenarios import TRIP, digest, serve

MODEL = "gpt-4o-mini"
TOOLS = [{"type": "function", "function": {"name": "plan_trip", "parameters": TRIP}}]

sync = OpenAI()


class Trip(BaseModel):
    """A structured answer."""

    city: str
    days: int


def ask(text: str) -> dict[str, object]:
    """The arguments of a deterministic chat."""
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], "temperature": 0}


def responses() -> object:
    return sync.responses.create(model=MODEL, input="responses", temperature=0, store=False).to_dict()


def responses_stream() -> object:
    stream = sync.responses.create(model=MODEL, input="stream", temperature=0, store=False, stream=True)
    return [event.to_dict() for event in stream]


def responses_helper() -> object:
    with sync.responses.stream(model=MODEL, input="helper", temperature=0, store=False) as stream:
        events = [event.type for event in stream]
        return {"events": events, "final": stream.get_final_response().to_dict()}


def responses_tools() -> object:
    tool = {"type": "function", "name": "plan_trip", "parameters": TRIP, "strict": False}
    answer = sync.responses.create(
        model=MODEL, input="x", tools=[tool], tool_choice="required", temperature=0, store=False
    )
    return answer.to_dict()


def responses_parse() -> object:
    answer = sync.responses.parse(model=MODEL, input="A trip", text_format=Trip, temperature=0, store=False)
    return {"id": answer.id, "parsed": answer.output_parsed.model_dump()}


def responses_async() -> object:
    async def main() -> object:
        async with AsyncOpenAI() as client:
            stream = await client.responses.create(model=MODEL, input="async", temperature=0, store=False, stream=True)
            return [event.to_dict() async for event in stream]

    return asyncio.run(main())


def responses_stored() -> object:
    kept = sync.responses.create(model=MODEL, input="keep this", temperature=0)
    next_one = sync.responses.create(model=MODEL, input="go on", previous_response_id=kept.id, temperature=0)
    found = sync.responses.retrieve(kept.id)
    sync.responses.delete(kept.id)
    return {"is_found": found.id == kept.id, "is_chained": next_one.previous_response_id == kept.id}


def embeddings() -> object:
    several = sync.embeddings.create(model="text-embedding-3-small", input=["one", "two"], dimensions=64)
    floats = sync.embeddings.create(model="text-embedding-3-small", input="one", dimensions=64, encoding_format="float")
    tokens = sync.embeddings.create(model="text-embedding-3-small", input=[1, 2, 3], dimensions=8)
    return [answer.to_dict() for answer in (several, floats, tokens)]


def images() -> object:
    answer = sync.images.generate(model="gpt-image-1", prompt="A boat", n=2)
    return {"b64_json": [image.b64_json for image in answer.data], "usage": answer.usage.to_dict()}


def speech() -> object:
    arguments = {"model": "tts-1", "voice": "alloy", "input": "Hello"}
    with sync.audio.speech.with_streaming_response.create(**arguments) as response:
        streamed = b"".join(response.iter_bytes())
    return [digest(sync.audio.speech.create(**arguments).read()), digest(streamed)]


def transcription() -> object:
    recording = ("a.wav", b"RIFF" + bytes(200_000), "audio/wav")
    return sync.audio.transcriptions.create(model="whisper-1", file=recording, temperature=0).to_dict()


def moderations() -> object:
    return sync.moderations.create(model="omni-moderation-latest", input=["flagged", "fine"]).to_dict()


def models() -> object:
    return {"all": [model.id for model in sync.models.list()], "one": sync.models.retrieve("gpt-4o").to_dict()}


def files() -> object:
    sent = sync.files.create(file=("in.jsonl", b'{"custom_id": "1"}\n' * 50_000), purpose="batch")
    content = sync.files.content(sent.id).read()
    listed = [file.id for file in sync.files.list()]
    return {"id": sent.id, "content": digest(content), "listed": listed, "gone": sync.files.delete(sent.id).deleted}


def batches() -> object:
    made = sync.batches.create(input_file_id="file-1", endpoint="/v1/chat/completions", completion_window="24h")
    found = sync.batches.retrieve(made.id)
    cancelled = sync.batches.cancel(made.id)
    return {"id": made.id, "statuses": [made.status, found.status], "is_same": made.id == found.id == cancelled.id}


def azure() -> object:
    with openai.AzureOpenAI(
        azure_endpoint="https://team.openai.azure.com", api_key="fake", api_version="2024-10-21"
    ) as client:
        whole = client.chat.completions.create(**ask("azure")).to_dict()
        return [whole, [chunk.to_dict() for chunk in client.chat.completions.create(**ask("azure s"), stream=True)]]


def compatible_server() -> object:
    with OpenAI(base_url="https://api.groq.com/openai/v1") as client:
        return client.chat.completions.create(**ask("groq")).to_dict()


if __name__ == "__main__":
    serve(globals())
