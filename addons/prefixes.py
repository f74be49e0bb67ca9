"""prefixes: looks how much of a prompt its provider may have in its cache already, and what breaks its beginning.

Stands where a call goes upstream, and looks in the turn of the loop after that: while the provider reads the prompt,
and before its answer can have begun. It changes nothing and keeps no text (see proxy.exchange.prompt); what it found
is held against what the provider reports when the call is settled (addons/discount.py). Short prompts are in no
provider's cache, and very long ones would hold others up: both pass by. Each worker looks at its own calls.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from proxy.exchange.chain import Handler
from proxy.exchange.model import Exchange, Response, UpstreamCall
from proxy.exchange.prefixes import LONG_WINDOW_S, WINDOW_S, PrefixMemory, prompt_of
from proxy.exchange.prompt import is_marked, parts_of
from proxy.exchange.provider import Json

SHORTEST_BYTES: Final = 3_072  # no provider caches fewer than 1,024 tokens; a token has about four bytes
# Their answers follow from a prompt; those that only some providers cache are among them.
_PROMPTED: Final = frozenset(
    {"chat", "responses", "messages", "completions", "generate_content", "converse", "invoke_model"}
)
_ASKED_FOR: Final = frozenset({"messages", "converse", "invoke_model"})  # nothing is cached here without a mark
_ONE_HOUR: Final = (b'"ttl":"1h"', b'"ttl": "1h"', b'"prompt_cache_retention"')


class Prefixes:
    """The stage."""

    name = "prefixes"

    def __init__(self, limit_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`limit_bytes`: longer request bodies are not looked at; 0: none is."""
        self._limit = limit_bytes
        self._clock = clock
        self._memory = PrefixMemory()

    def concerns(self, exchange: Exchange) -> bool:
        """See proxy.exchange.chain.Choosy."""
        body = exchange.request.body
        return (
            isinstance(body, bytes)
            and SHORTEST_BYTES <= len(body) <= self._limit
            and exchange.operation.name in _PROMPTED
            and exchange.json is not None
            and not exchange.facts.stateful  # the provider knows more of its prompt than stands here
        )

    def handle(self, exchange: Exchange, call_next: Handler) -> Awaitable[Response]:
        call, asked, body = exchange.call, exchange.json, exchange.request.body
        if call is not None and asked is not None and isinstance(body, bytes) and self.concerns(exchange):
            asyncio.get_running_loop().call_soon(self._look, exchange, call, asked, body)
        return call_next(exchange)

    def _look(self, exchange: Exchange, call: UpstreamCall, asked: Json, body: bytes) -> None:
        marked = is_marked(body)
        try:
            parts = parts_of(asked, is_marked=marked)
        except TypeError:
            return
        provider = exchange.provider.name if exchange.provider is not None else ""
        operation = exchange.operation.name
        group = (exchange.credential, provider, exchange.facts.model, operation)
        lasts_s = LONG_WINDOW_S if any(each in body for each in _ONE_HOUR) else WINDOW_S
        prompt = prompt_of(parts, lasts_s=lasts_s)
        finding = self._memory.find(group, prompt, self._clock())
        finding.is_unmarked = operation in _ASKED_FOR and not marked
        call.prefix = finding

        def ended() -> None:
            if 200 <= call.status < 300:
                self._memory.keep(group, prompt, self._clock())

        call.when_ended(ended)
