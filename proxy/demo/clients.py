"""The demo's applications: three SDKs, as anybody would write with them. Run by an interpreter that has the SDKs.

Rules: nothing of Skinflint is imported and nothing here knows that it exists: no base URL, no proxy, no certificate.
What the applications do is reported as JSON lines on standard output; everything else goes to standard error. Needs
OPENAI_API_KEY, ANTHROPIC_API_KEY and GEMINI_API_KEY, whatever they say. Ends with status 3 when an SDK is missing.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

MISSING_SDK = 3
OPENAI_MODEL = "gpt-4.1"
ANTHROPIC_MODEL = "claude-sonnet-4-6"
GEMINI_MODEL = "gemini-2.5-pro"
RULES = (
    "You answer questions of our customers about their orders. Be brief, be kind, and never invent an order. "
    "If a customer is angry, say first that you understand; if you do not know, say so and offer a person. "
) * 12
QUESTIONS = (
    "Where is my order?",
    "How do I return a lamp that arrived broken?",
    "Can I still change the address?",
    "Which of your desks fits into a room of nine square metres?",
    "Do you ship to islands?",
    "I was charged twice. What now?",
    "What does the warranty cover?",
    "May I pay in instalments?",
)


def say(**fields: object) -> None:
    """Report one line."""
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


try:
    import anthropic  # type: ignore[import-not-found, unused-ignore]
    import openai  # type: ignore[import-not-found, unused-ignore]
    from google import genai  # type: ignore[import-not-found, import-untyped, unused-ignore]
except ImportError as exc:
    say(event="missing", module=exc.name or str(exc))
    sys.exit(MISSING_SDK)


@dataclass(frozen=True)
class Deed:
    """One call that an application makes."""

    sdk: str
    kind: str
    text: str


class Applications:
    """The three SDKs with their usual clients. Gemini's is used from threads, as most of its users do."""

    def __init__(self) -> None:
        self._openai = openai.AsyncOpenAI()
        self._anthropic = anthropic.AsyncAnthropic()
        self._gemini = genai.Client()
        self._threads = ThreadPoolExecutor(64)
        self._deeds: dict[tuple[str, str], Callable[[str], Awaitable[object]]] = {
            ("openai", "chat"): self._openai_chat,
            ("openai", "stream"): self._openai_stream,
            ("openai", "embedding"): self._openai_embedding,
            ("anthropic", "chat"): self._anthropic_chat,
            ("anthropic", "stream"): self._anthropic_stream,
            ("gemini", "chat"): self._gemini_chat,
            ("gemini", "stream"): self._gemini_stream,
            ("gemini", "embedding"): self._gemini_embedding,
        }

    async def do(self, deed: Deed) -> None:
        """Make one call and report how long it took. Raises what the SDK raises."""
        started = time.perf_counter()
        said = await self._deeds[deed.sdk, deed.kind](deed.text)
        if not said:
            raise RuntimeError(f"{deed.sdk} gave an empty {deed.kind}")
        say(event="call", sdk=deed.sdk, kind=deed.kind, seconds=time.perf_counter() - started)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._openai.close()
        await self._anthropic.close()
        self._gemini.close()
        self._threads.shutdown()

    async def _openai_chat(self, text: str) -> object:
        messages = [{"role": "system", "content": RULES}, {"role": "user", "content": text}]
        answer = await self._openai.chat.completions.create(model=OPENAI_MODEL, messages=messages)
        return answer.choices[0].message.content

    async def _openai_stream(self, text: str) -> object:
        messages = [{"role": "system", "content": RULES}, {"role": "user", "content": text}]
        stream = await self._openai.chat.completions.create(model=OPENAI_MODEL, messages=messages, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    async def _openai_embedding(self, text: str) -> object:
        answer = await self._openai.embeddings.create(model="text-embedding-3-small", input=text)
        return answer.data[0].embedding

    async def _anthropic_chat(self, text: str) -> object:
        messages = [{"role": "user", "content": text}]
        answer = await self._anthropic.messages.create(
            model=ANTHROPIC_MODEL, max_tokens=400, system=RULES, messages=messages
        )
        return answer.content[0].text

    async def _anthropic_stream(self, text: str) -> object:
        messages = [{"role": "user", "content": text}]
        async with self._anthropic.messages.stream(
            model=ANTHROPIC_MODEL, max_tokens=400, system=RULES, messages=messages
        ) as stream:
            return await stream.get_final_text()

    async def _gemini_chat(self, text: str) -> object:
        def ask() -> object:
            return self._gemini.models.generate_content(model=GEMINI_MODEL, contents=RULES + text).text

        return await asyncio.get_running_loop().run_in_executor(self._threads, ask)

    async def _gemini_stream(self, text: str) -> object:
        def ask() -> object:
            chunks = self._gemini.models.generate_content_stream(model=GEMINI_MODEL, contents=RULES + text)
            return "".join(chunk.text or "" for chunk in chunks)

        return await asyncio.get_running_loop().run_in_executor(self._threads, ask)

    async def _gemini_embedding(self, text: str) -> object:
        def ask() -> object:
            return self._gemini.models.embed_content(model="gemini-embedding-001", contents=text).embeddings

        return await asyncio.get_running_loop().run_in_executor(self._threads, ask)


@dataclass(frozen=True)
class Phase:
    """Calls that belong together.

    role: `first` (none of them was made before), `again` (all were), `rush` (one call by many at the same time).
    at_once: how many are under way together.
    """

    title: str
    deeds: list[Deed]
    at_once: int
    role: str


def phases() -> list[Phase]:
    """All that the applications do, in order."""
    sdks = ("openai", "anthropic", "gemini")
    chats = [Deed(sdk, "chat", question) for question in QUESTIONS for sdk in sdks]
    streams = [Deed(sdk, "stream", f"In a few words: {question}") for question in QUESTIONS[:3] for sdk in sdks]
    vectors = [Deed(sdk, "embedding", question) for question in QUESTIONS for sdk in ("openai", "gemini")]
    rush = [Deed(sdk, "chat", "What is on sale today?") for sdk in sdks for _ in range(50)]
    stream_rush = [Deed(sdk, "stream", "Tell me about today's sale.") for sdk in sdks for _ in range(20)]
    return [
        Phase("Different questions", chats, at_once=8, role="first"),
        Phase("The same questions, three times over", chats * 3, at_once=1, role="again"),
        Phase("Different streams", streams, at_once=9, role="first"),
        Phase("The same streams, twice more", streams * 2, at_once=1, role="again"),
        Phase("Embeddings", vectors, at_once=8, role="first"),
        Phase("The same embeddings again", vectors, at_once=1, role="again"),
        Phase("50 users with one question, at once, three SDKs", rush, at_once=150, role="rush"),
        Phase("20 users with one stream, at once, three SDKs", stream_rush, at_once=60, role="rush"),
    ]


async def perform(applications: Applications, deeds: Iterable[Deed], at_once: int) -> None:
    """Make these calls, `at_once` of them at a time."""
    turn = asyncio.Semaphore(at_once)

    async def one(deed: Deed) -> None:
        async with turn:
            await applications.do(deed)

    async with asyncio.TaskGroup() as group:
        for deed in deeds:
            group.create_task(one(deed))


async def main() -> None:
    """Everything, reported."""
    plan = phases()
    say(event="plan", calls=sum(len(phase.deeds) for phase in plan))
    applications = Applications()
    try:
        for phase in plan:
            say(event="phase", title=phase.title, calls=len(phase.deeds), role=phase.role)
            started = time.perf_counter()
            await perform(applications, phase.deeds, phase.at_once)
            say(event="phase_end", title=phase.title, seconds=time.perf_counter() - started)
    finally:
        await applications.aclose()
    say(event="end")


if __name__ == "__main__":
    asyncio.run(main())
