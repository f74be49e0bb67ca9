"""The operations of OpenAI-shaped APIs, by method and path. Tables only; no dialect decides anything here.

Rules: paths stand below the base path and have no slash at either end. What creates, changes, lists or deletes state at
the provider has a known name and is never answered here; reading it may be repeated, changing it may not.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from proxy.exchange.provider import UNKNOWN, Operation

CHAT: Final = Operation("chat", answers=True, sampled=True, repeatable=True)
RESPONSES: Final = Operation("responses", answers=True, sampled=True, repeatable=True)
COMPLETIONS: Final = Operation("completions", answers=True, sampled=True, repeatable=True)
IMAGES: Final = Operation("images", answers=True, sampled=True, repeatable=True)
IMAGE_UPLOADS: Final = Operation("images", answers=True, sampled=True, repeatable=True, json_request=False)
AUDIO: Final = Operation("audio", answers=True, sampled=True, repeatable=True, json_request=False)
SPEECH: Final = Operation("speech", answers=True, sampled=True, repeatable=True)
EMBEDDINGS: Final = Operation("embeddings", answers=True, repeatable=True)
MODERATIONS: Final = Operation("moderations", answers=True, repeatable=True)
COUNT_TOKENS: Final = Operation("count_tokens", answers=True, repeatable=True)
MODELS: Final = Operation("models", answers=True, repeatable=True, json_request=False)

OPENAI_POSTS: Final[Mapping[str, Operation]] = MappingProxyType(
    {
        "chat/completions": CHAT,
        "responses": RESPONSES,
        "responses/input_tokens": COUNT_TOKENS,
        "completions": COMPLETIONS,
        "embeddings": EMBEDDINGS,
        "moderations": MODERATIONS,
        "images/generations": IMAGES,
        "images/edits": IMAGE_UPLOADS,
        "images/variations": IMAGE_UPLOADS,
        "audio/transcriptions": AUDIO,
        "audio/translations": AUDIO,
        "audio/speech": SPEECH,
    }
)

# First segment of the path -> name. Anything below it that is not in a table of answers is state.
OPENAI_STATE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "chat": "stored_chat",
        "responses": "stored_responses",
        "models": "models",
        "files": "files",
        "uploads": "uploads",
        "batches": "batches",
        "fine_tuning": "fine_tuning",
        "assistants": "assistants",
        "threads": "threads",
        "vector_stores": "vector_stores",
        "evals": "evals",
        "containers": "containers",
        "conversations": "conversations",
        "videos": "videos",
        "skills": "skills",
        "chatkit": "chatkit",
        "audio": "voices",
        "realtime": "realtime",
        "organization": "organization",
    }
)

_SAFE: Final = ("GET", "HEAD")


class PathTable:
    """The operations below a base path. Built once for each provider; looking up costs two dictionary accesses."""

    def __init__(self, posts: Mapping[str, Operation], state: Mapping[str, str]) -> None:
        self._posts = dict(posts)
        self._reads = {key: Operation(name, repeatable=True, json_request=False) for key, name in state.items()}
        self._changes = {key: Operation(name, json_request=False) for key, name in state.items()}

    def look_up(self, method: str, path: str) -> Operation:
        """The operation of `path`; UNKNOWN when no table has it."""
        if method == "POST" and (operation := self._posts.get(path)) is not None:
            return operation
        family = path.partition("/")[0]
        if method == "GET" and family == "models":
            return MODELS
        return (self._reads if method in _SAFE else self._changes).get(family, UNKNOWN)
