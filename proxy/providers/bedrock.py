"""Amazon Bedrock's runtime: Converse and InvokeModel, and the OpenAI and Anthropic paths beside them.

Rules: the model stands in the path, percent-encoded, as an id or as an ARN. Its region prefix (`us.`, `global.`) is
kept, for a global profile costs less than a regional one. A SigV4 signature differs in each request: only its access
key id says who asks. https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final
from urllib.parse import unquote

import orjson

from proxy.exchange.headers import HeaderList, first
from proxy.exchange.provider import UNKNOWN, CallFacts, ErrorShape, Json, Operation, UsageReader
from proxy.providers.anthropic import Anthropic, describe_messages
from proxy.providers.bedrock_usage import (
    ConverseStream,
    InvokeStream,
    MessagesReader,
    converse_reader,
    invoke_reader,
)
from proxy.providers.blend import Blend, Guest
from proxy.providers.entry import ProviderEntry
from proxy.providers.fields import child, header_credential, items, objects
from proxy.providers.openai import OpenAI
from proxy.providers.sampling import is_deterministic, is_zero

CONVERSE: Final = Operation("converse", answers=True, sampled=True, repeatable=True)
INVOKE: Final = Operation("invoke_model", answers=True, sampled=True, repeatable=True)
EMBEDDINGS: Final = Operation("embeddings", answers=True, repeatable=True)
RERANK: Final = Operation("rerank", answers=True, repeatable=True)
COUNT_TOKENS: Final = Operation("count_tokens", answers=True, repeatable=True)
MODELS: Final = Operation("models", answers=True, repeatable=True, json_request=False)

ACTIONS: Final = {
    "converse": CONVERSE,
    "converse-stream": CONVERSE,
    "invoke": INVOKE,
    "invoke-with-response-stream": INVOKE,
    "count-tokens": COUNT_TOKENS,
    "invoke-with-bidirectional-stream": Operation("realtime", json_request=False),
}
STREAMS: Final = ("/converse-stream", "/invoke-with-response-stream")

# First segment of other paths -> name. Reading them may be repeated.
STATE: Final = {
    "async-invoke": "async_invoke",
    "model-invocation-job": "batches",
    "model-invocation-jobs": "batches",
    "model-customization-jobs": "fine_tuning",
    "custom-models": "fine_tuning",
    "guardrails": "guardrails",
    "provisioned-model-throughput": "endpoints",
}
LISTS: Final = ("foundation-models", "inference-profiles")
GUARDRAIL: Final = Operation("guardrail", repeatable=True)

ERROR_TYPES: Final = {
    400: "ValidationException",
    401: "AccessDeniedException",
    402: "ServiceQuotaExceededException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    429: "ThrottlingException",
    503: "ServiceUnavailableException",
    504: "ModelTimeoutException",
}

EVENT_STREAM: Final = "application/vnd.amazon.eventstream"

_MODEL: Final = re.compile(r"/model/(.+)/([a-z-]+)$")
_GUARDRAIL: Final = re.compile(r"/guardrail/[^/]+/version/[^/]+/apply$")
_SIGNATURE: Final = re.compile(rb"AWS4-[A-Z0-9-]+\s.*?Credential=([^/,\s]+)")


class Bedrock(Blend):
    """The dialect of bedrock-runtime.REGION.amazonaws.com."""

    def __init__(self, entry: ProviderEntry) -> None:
        # Asking for usage would change a body that SigV4 has signed.
        openai = OpenAI(replace(entry, base_path="/openai/v1", stream_usage="never"))
        anthropic = Anthropic(replace(entry, base_path="/anthropic"))
        super().__init__(entry, Guest("/openai/", openai), Guest("/anthropic/", anthropic))

    def own_operation(self, method: str, path: str) -> Operation:
        """By what follows the model, or by the first segment."""
        if method == "POST" and (match := _MODEL.match(path)):
            return _of_model(model_name(match[1]), ACTIONS.get(match[2], UNKNOWN))
        if method == "POST" and _GUARDRAIL.match(path):
            return GUARDRAIL
        family = path.removeprefix("/").partition("/")[0]
        if method == "GET" and family in LISTS:
            return MODELS
        if family in STATE:
            return Operation(STATE[family], repeatable=method == "GET", json_request=False)
        return UNKNOWN

    def own_facts(self, operation: Operation, path: str, body: Json | None) -> CallFacts:
        """The model and streaming from the path, the rest from the body."""
        match = _MODEL.match(path)
        facts = _facts(operation, body) if body is not None else CallFacts()
        return replace(facts, model=model_name(match[1]) if match else "", stream=path.endswith(STREAMS))

    def own_reader(self, operation: Operation, facts: CallFacts, media_type: str) -> UsageReader | None:
        """By operation, and by whether the answer is a binary stream."""
        if media_type == EVENT_STREAM:
            stream = ConverseStream(facts.model) if operation.name == CONVERSE.name else InvokeStream(facts.model)
            return MessagesReader(stream.take, stream.usage)
        return converse_reader(facts.model) if operation.name == CONVERSE.name else invoke_reader(facts.model)

    def credential(self, headers: HeaderList, query: Mapping[str, str]) -> bytes:
        """The access key id of the signature, in the header or in the query; else the bearer API key. The session
        token and the signature change while the caller stays the same."""
        match = _SIGNATURE.match(first(headers, b"authorization") or b"")
        if match is not None:
            return match[1]
        return header_credential(headers) or query.get("X-Amz-Credential", "").partition("/")[0].encode()

    def error(self, status: int, code: str, message: str) -> ErrorShape:
        """`{"message": ...}`, with the type in the member where the SDKs look when no header names it."""
        kind = ERROR_TYPES.get(status) or ("ValidationException" if status < 500 else "InternalServerException")
        return ErrorShape(b"application/json", orjson.dumps({"__type": kind, "message": message}))


def model_name(encoded: str) -> str:
    """A model as a path has it: decoded, and of an ARN what names the model or the profile."""
    name = unquote(encoded)
    return name.rpartition("/")[2] if name.startswith("arn:") else name


def _of_model(model: str, operation: Operation) -> Operation:
    """InvokeModel serves every kind of model: those that embed or rank give the same answer again."""
    if operation is INVOKE and "embed" in model:
        return EMBEDDINGS
    if operation is INVOKE and "rerank" in model:
        return RERANK
    return operation


def _facts(operation: Operation, body: Json) -> CallFacts:
    config = child(body, "inferenceConfig") or child(body, "textGenerationConfig")  # Converse and Nova; Titan
    if operation is CONVERSE:
        return CallFacts(
            deterministic=is_deterministic(config) or is_zero(config.get("topP")),
            has_tools=bool(objects(child(body, "toolConfig"), "tools")),
            messages=len(items(body, "messages")),
        )
    facts = describe_messages(body)  # Anthropic; the names it looks for mean the same at the other makers
    pinned = any(is_deterministic(part) or is_zero(part.get("topP")) for part in (body, config))
    return replace(facts, deterministic=facts.deterministic or pinned or is_zero(body.get("p")))
