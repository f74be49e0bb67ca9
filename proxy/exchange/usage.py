"""Tokens as a provider reported them. One shape for all providers; kinds follow OpenTelemetry GenAI's words.

Rule: `input_tokens` and `output_tokens` are totals: they include the cached, cache-write, reasoning and audio tokens
that the other fields break out. Providers that report them apart (Anthropic, Bedrock) are added up by their readers.
"""

from dataclasses import dataclass


@dataclass(slots=True)
class Usage:
    """What one call used, in tokens unless said otherwise. Not to be changed: `frozen` would cost each call a
    microsecond."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0  # part of input_tokens
    cache_write_tokens: int = 0  # part of input_tokens; all time-to-live classes together
    cache_write_1h_tokens: int = 0  # part of cache_write_tokens: Anthropic prices the one-hour class apart
    reasoning_tokens: int = 0  # part of output_tokens
    input_audio_tokens: int = 0  # part of input_tokens
    output_audio_tokens: int = 0  # part of output_tokens
    web_searches: int = 0  # server-side tool calls that are priced per call
    model: str = ""  # as the response names it; empty if it does not
    service_tier: str = ""  # as the response names it: the price follows this one, not the one asked for
    response_id: str = ""
    estimated: bool = False  # counted from a stream that was cut off
