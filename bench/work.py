"""What the clients ask and what they must get: one kind of call that looks like an SDK's, with orders for the upstream.

Rules: requests and answers have fixed lengths, so that making one is a join of prepared bytes; every answer names the
number of the request that it belongs to, so that a mixed-up answer is noticed. The orders stand in the `user` member,
where every contestant passes them on unread.
"""

import functools
import re
from dataclasses import dataclass
from typing import Final

HOST: Final = "api.openai.com"
PATH: Final = "/v1/chat/completions"
MODEL: Final = "gpt-4o-mini"
KEY: Final = "sk-bench-0123456789abcdef"
ANSWER_BYTES: Final = 1024

_ORDER: Final = re.compile(rb"bench n=(\d{12}) delay=(\d{4}) events=(\d{5}) interval=(\d{6})(?: size=(\d{6}))?")
_PROMPT_BYTES: Final = 450
_QUESTION: Final = b"Summarise the following note in one sentence and name the people in it. "
_NOTE: Final = b"Lorem ipsum dolor. "
_EVENT: Final = (
    b'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1752103042,'
    b'"model":"gpt-4o-mini-2024-07-18","service_tier":"default","system_fingerprint":"fp_0123456789",'
    b'"choices":[{"index":0,"delta":{"content":"e=%06d at=%020d"},"logprobs":null,"finish_reason":null}]%s}\n\n'
)
_USAGE: Final = b'{"prompt_tokens":93,"completion_tokens":%d,"total_tokens":%d}'
_LAST: Final = (
    b'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1752103042,'
    b'"model":"gpt-4o-mini-2024-07-18","choices":[],"usage":%s}\n\n'
)
DONE: Final = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Order:
    """What the upstream is told to do. `events` 0: a whole answer."""

    number: int = 0
    delay_ms: int = 0
    events: int = 0
    interval_us: int = 0
    wants_usage: bool = False
    answer_bytes: int = ANSWER_BYTES


def order_of(body: bytes) -> Order:
    """The order in a request's body; a plain whole answer when there is none."""
    found = _ORDER.search(body)
    if found is None:
        return Order()
    number, delay_ms, events, interval_us, answer_bytes = map(int, found.groups(default=b"%d" % ANSWER_BYTES))
    return Order(number, delay_ms, events, interval_us, b'"include_usage":true' in body, answer_bytes)


class Requests:
    """Prepared bytes of one kind of call; `make(number)` completes them."""

    def __init__(
        self,
        *,
        delay_ms: int = 0,
        events: int = 0,
        interval_us: int = 0,
        prompt_bytes: int = _PROMPT_BYTES,
        answer_bytes: int = ANSWER_BYTES,
        headers: bytes = b"",
    ) -> None:
        """`headers`: whole lines that a contestant needs besides those of every SDK."""
        self.answer_bytes = answer_bytes
        prompt = _QUESTION + _NOTE * ((prompt_bytes - len(_QUESTION)) // len(_NOTE))
        stream = b',"stream":true' if events else b""
        order = b"bench n=%%012d delay=%04d events=%05d interval=%06d" % (delay_ms, events, interval_us)
        if answer_bytes != ANSWER_BYTES:
            order += b" size=%06d" % answer_bytes
        body = (
            b'{"model":"%s","temperature":0%s,"messages":[{"role":"system","content":"You are terse."},'
            b'{"role":"user","content":"%s"}],"user":"%s"}' % (MODEL.encode(), stream, prompt, order)
        )
        head = (
            b"POST %s HTTP/1.1\r\nHost: %s\r\nAccept: application/json\r\n"
            b"Accept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\nContent-Type: application/json\r\n"
            b"User-Agent: OpenAI/Python 2.9.0\r\nAuthorization: Bearer %s\r\n"
            b"%sContent-Length: %d\r\n\r\n" % (PATH.encode(), HOST.encode(), KEY.encode(), headers, len(body % 0))
        )
        self._template = head.replace(b"%", b"%%") + body

    def make(self, number: int) -> bytes:
        """The bytes of call `number`. Calls of the same number are identical."""
        return self._template % number


_ANSWER: Final = (
    b'{"id":"chatcmpl-%012d","object":"chat.completion","created":1752103042,"model":"gpt-4o-mini-2024-07-18",'
    b'"choices":[{"index":0,"message":{"role":"assistant","content":"%s","refusal":null,"annotations":[]},'
    b'"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":93,"completion_tokens":120,"total_tokens":213,'
    b'"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,'
    b'"audio_tokens":0}},"service_tier":"default","system_fingerprint":"fp_0123456789"}'
)
_WORDS: Final = b"The note says little and says it at length, and it names nobody at all. "


@functools.cache
def _filled(size: int) -> bytes:
    missing = size - len(_ANSWER % (0, b""))
    return _ANSWER.replace(b"%s", (_WORDS * (missing // len(_WORDS) + 1))[:missing])


def answer(number: int, size: int = ANSWER_BYTES) -> bytes:
    """The whole answer to call `number`: `size` bytes of JSON, 1 KB or more."""
    return _filled(size) % number


def event(sequence: int, at_ns: int, *, wants_usage: bool) -> bytes:
    """One streamed event; it carries its number and the moment at which it is sent."""
    return _EVENT % (sequence, at_ns, b',"usage":null' if wants_usage else b"")


def last_events(count: int, *, wants_usage: bool) -> bytes:
    """What ends a stream: the usage if it was asked for, and the end marker."""
    usage = _LAST % (_USAGE % (count, count + 93)) if wants_usage else b""
    return usage + DONE
