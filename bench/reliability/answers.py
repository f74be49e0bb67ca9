"""Questions, and the one right answer to each: it follows from who asks and what.

Rules: pure. A prompt names how long its answer is. Another credential's answer differs in every part, so that one that
went astray is seen at once, and so is a part of one.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Final

import orjson

_SIZE: Final = re.compile(r"size=(\d+)$")
_EVENTS: Final = 24


@dataclass(frozen=True, slots=True)
class Question:
    """What somebody asks."""

    credential: str
    prompt: str
    is_streamed: bool

    @property
    def body(self) -> bytes:
        """The request. It asks for the usage itself, so that nothing is added to it on its way."""
        asked: dict[str, object] = {
            "model": "gpt-4o-mini",
            "temperature": 0,
            "messages": [{"role": "user", "content": self.prompt}],
        }
        if self.is_streamed:
            asked |= {"stream": True, "stream_options": {"include_usage": True}}
        return orjson.dumps(asked)

    @property
    def answer(self) -> bytes:
        """Every byte of the right answer."""
        return b"".join(self.pieces)

    @property
    def pieces(self) -> list[bytes]:
        """The answer as the provider sends it."""
        text = self._text()
        if not self.is_streamed:
            message = {"role": "assistant", "content": text}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            whole = {"id": self._id(), "object": "chat.completion", "created": 0, "model": "gpt-4o-mini"}
            return [orjson.dumps({**whole, "choices": [choice], "usage": _usage(text)})]
        step = max(1, len(text) // _EVENTS)
        parts = [text[at : at + step] for at in range(0, len(text), step)]
        events = [self._event([{"index": 0, "delta": {"content": part}, "finish_reason": None}]) for part in parts]
        events.append(self._event([{"index": 0, "delta": {}, "finish_reason": "stop"}]))
        events.append(self._event([], _usage(text)))
        return [*events, b"data: [DONE]\n\n"]

    def _event(self, choices: list[dict[str, object]], usage: dict[str, int] | None = None) -> bytes:
        whole = {"id": self._id(), "object": "chat.completion.chunk", "created": 0, "model": "gpt-4o-mini"}
        return b"data: %s\n\n" % orjson.dumps({**whole, "choices": choices, "usage": usage})

    def _id(self) -> str:
        return f"chatcmpl-{self._digest(0)[:24]}"

    def _text(self) -> str:
        found = _SIZE.search(self.prompt)
        size = int(found[1]) if found else 100
        return "".join([self._digest(number + 1) for number in range(size // 64 + 1)])[:size]

    def _digest(self, number: int) -> str:
        return hashlib.sha256(f"{self.credential}\n{self.prompt}\n{number}".encode()).hexdigest()


def _usage(text: str) -> dict[str, int]:
    return {"prompt_tokens": 20, "completion_tokens": len(text) // 4, "total_tokens": 20 + len(text) // 4}


def question_of(credential: str, body: bytes) -> Question:
    """What a request asks. Raises ValueError or KeyError for one that is none of ours."""
    asked = orjson.loads(body)
    return Question(credential, str(asked["messages"][0]["content"]), bool(asked.get("stream")))
