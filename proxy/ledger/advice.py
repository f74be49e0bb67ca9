"""One line of advice for each cause of input tokens that a provider could have served from its prompt cache."""

from typing import Final

from proxy.ledger.figures import PrefixLoss
from proxy.ledger.wording import count

_PARTS: Final = {
    "tools": "the list of tools",
    "parameters": "a parameter that stands before the messages",
    "system": "the system prompt",
    "first_message": "the first message",
    "message": "an earlier message",
}
_ADVICE: Final = {
    "tools": "send the same tools in the same order each time",
    "parameters": "keep response_format, tool_choice and thinking the same from call to call",
    "system": "move what changes (a time, a name, an id) to its end, or into the last message",
    "first_message": "put what stays the same (documents, examples) first, and the question last",
    "message": "append to the conversation; drop or rewrite old turns seldom, and many at once",
    "unmarked": "mark the end of what stays the same: cache_control (Anthropic), cachePoint (Bedrock)",
    "expired": "ask for a longer time to live, where the provider has one",
    "unserved": "nothing changed in it: a key that routes alike calls together may help (OpenAI: prompt_cache_key)",
}
_CAUSES: Final = {
    "unmarked": "nothing in it is marked to be cached",
    "expired": "the last call that began so was more than five minutes ago",
    "unserved": "the provider did not serve it though it was sent before",
}


def cause(loss: PrefixLoss) -> str:
    """What is to be seen in the calls."""
    if (part := _PARTS.get(loss.broken_by)) is None:
        return _CAUSES.get(loss.broken_by, loss.broken_by)
    if not loss.broken_of:
        return f"{part} differs"
    return f"{part} differs at about character {count(loss.broken_at)} of {count(loss.broken_of)}"


def advice(loss: PrefixLoss) -> str:
    """What to do about it; empty for a cause of a newer version."""
    return _ADVICE.get(loss.broken_by, "")
