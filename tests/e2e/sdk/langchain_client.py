"""LangChain's OpenAI package: chats, streams, batches, structured output, embeddings."""

import asyncio

from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel
from scenarios import serve

loop = asyncio.Runner()  # one for all: connections are kept, and belong to their loop
chat_model = ChatOpenAI(model="gpt-4o-mini", temperature=0)


class Trip(BaseModel):
    """Plans a trip."""

    city: str
    days: int


def seen(message: object) -> object:
    """A message: its text, its identifier and what it used."""
    return {
        "text": message.content,
        "response_id": message.response_metadata.get("id"),
        "usage": message.usage_metadata,
    }


def invoke() -> object:
    return seen(chat_model.invoke("invoke"))


def stream() -> object:
    return [chunk.content for chunk in chat_model.stream("stream")]


def asynchronous() -> object:
    async def main() -> object:
        whole = seen(await chat_model.ainvoke("ainvoke"))
        return {"whole": whole, "chunks": [chunk.content async for chunk in chat_model.astream("astream")]}

    return loop.run(main())


def batch() -> object:
    return [seen(message) for message in chat_model.batch([f"batch {n}" for n in range(6)])]


def structured() -> object:
    return chat_model.with_structured_output(Trip).invoke("structured").model_dump()


def tools() -> object:
    message = chat_model.bind_tools([Trip], tool_choice="any").invoke("use the tool")
    return [[call["name"], call["args"]] for call in message.tool_calls]


def embeddings() -> object:
    vectors = OpenAIEmbeddings(model="text-embedding-3-small", dimensions=64, check_embedding_ctx_length=False)
    return [*vectors.embed_documents(["one", "two"]), vectors.embed_query("one")]


if __name__ == "__main__":
    serve(globals())
