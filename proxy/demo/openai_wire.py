"""OpenAI's API and those that copy it: which path is which operation, the answer's fields, models and errors.

Rules: compatible servers differ in what stands before the path and in small ways that `Flavour` names; the operation is
found at the path's end. A call needs a credential; the model `no-such-model` exists nowhere.
"""

import re
from collections.abc import Callable
from typing import Final

from proxy.demo.asks import Answer, Ask, as_text, whole
from proxy.demo.openai_chat import DATED, Flavour, chat, completions
from proxy.demo.openai_media import batches, embeddings, files, images, moderations, speech, transcription
from proxy.demo.openai_responses import responses, stored_response
from proxy.exchange.headers import HeaderList, joined
from proxy.exchange.provider import Json

MISSING_MODEL: Final = "no-such-model"
OPENAI: Final = Flavour()
COMPATIBLE: Final = Flavour(details=False, service_tier="")
FLAVOURS: Final = {
    "mistral": Flavour(usage_on_finish=True, details=False, service_tier=""),
    "deepseek": Flavour(usage_on_finish=True, details=False, service_tier=""),
    "groq": Flavour(groq=True, details=False, service_tier="on_demand"),
    "openrouter": Flavour(comment=b": OPENROUTER PROCESSING\n\n", details=False, service_tier=""),
}
_PLAIN: Final[dict[str, Callable[[Ask, HeaderList], Answer]]] = {
    "responses": responses,
    "embeddings": embeddings,
    "images/generations": images,
    "images/edits": images,
    "audio/speech": speech,
    "audio/transcriptions": transcription,
    "audio/translations": transcription,
    "moderations": moderations,
}
_OPERATION: Final = re.compile(
    r"/(?P<name>chat/completions|completions|responses|embeddings|images/generations|images/edits|audio/speech"
    r"|audio/transcriptions|audio/translations|moderations|models|files|batches)(?P<rest>/[^?]*)?$"
)
_ERRORS: Final = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
}


def answer(ask: Ask, flavour: Flavour = OPENAI) -> Answer:
    """Any call to an OpenAI-shaped API."""
    if not (ask.header(b"authorization") or ask.header(b"api-key")):
        return error(ask, 401, "You didn't provide an API key.")
    if ask.json.get("model") == MISSING_MODEL or f"/{MISSING_MODEL}" in ask.path:
        return error(ask, 404, f"The model `{MISSING_MODEL}` does not exist or you do not have access to it.")
    found = _OPERATION.search(ask.path)
    if not found:
        return error(ask, 404, f"Invalid URL ({ask.call.method} {ask.path})")
    return _operate(ask, found["name"], found["rest"] or "", flavour)


def _operate(ask: Ask, name: str, rest: str, flavour: Flavour) -> Answer:
    headers = _fields(ask)
    match name:
        case "chat/completions" if not rest:
            return chat(ask, flavour, headers) if "messages" in ask.json else _lacking(ask, "messages")
        case "completions" if not rest:
            return completions(ask, flavour, headers) if "prompt" in ask.json else _lacking(ask, "prompt")
        case "models":
            return _models(ask, rest.strip("/"), headers)
        case "files":
            return files(ask, headers)
        case "batches":
            return batches(ask, headers)
        case "responses" if rest:
            return stored_response(ask, headers)
    if rest or ask.call.method != "POST":
        return error(ask, 404, f"Invalid URL ({ask.call.method} {ask.path})")
    return _PLAIN[name](ask, headers)


def _lacking(ask: Ask, name: str) -> Answer:
    return error(ask, 400, f"Missing required parameter: '{name}'.")


def error(ask: Ask, status: int, message: str) -> Answer:
    """OpenAI's error shape."""
    kind, code = _ERRORS.get(status, ("server_error" if status >= 500 else "invalid_request_error", None))
    body = {"error": {"message": message, "type": kind, "param": None, "code": code}}
    return whole(body, status=status, headers=[(b"x-request-id", ask.unique("req_", 32).encode())])


def _fields(ask: Ask) -> HeaderList:
    headers = [
        (b"x-request-id", ask.unique("req_", 32).encode()),
        (b"openai-organization", b"org-simulated"),
        (b"openai-processing-ms", b"12"),
        (b"openai-version", b"2020-10-01"),
        (b"x-ratelimit-limit-requests", b"10000"),
        (b"x-ratelimit-remaining-requests", b"9999"),
        (b"x-ratelimit-reset-requests", b"6ms"),
    ]
    if b"__cf_bm=" not in joined(ask.call.headers, b"cookie"):
        # The content delivery network's mark, different for each client that has none yet. Many SDKs send it back.
        mark = ask.unique("", 32).encode()
        headers.append((b"set-cookie", b"__cf_bm=%s; path=/; domain=.api.openai.com; HttpOnly; Secure" % mark))
    return headers


def _models(ask: Ask, name: str, headers: HeaderList) -> Answer:
    if name:
        return whole(_model(name), headers=headers)
    listed = [_model(each) for each in (*DATED, "text-embedding-3-small", "text-embedding-3-large")]
    return whole({"object": "list", "data": listed}, headers=headers)


def _model(name: str) -> Json:
    return {"id": name, "object": "model", "created": 1_721_172_741, "owned_by": "system"}


def compatible(name: str) -> Callable[[Ask], Answer]:
    """The answer function of a server that copies OpenAI's API, by its name in FLAVOURS."""
    flavour = FLAVOURS.get(name, COMPATIBLE)

    def answer_as(ask: Ask) -> Answer:
        return answer(ask, flavour)

    return answer_as


def azure(ask: Ask) -> Answer:
    """Azure OpenAI: the deployment in the path names the model; `api-version` is required on those paths."""
    deployment = re.search(r"/openai/deployments/([^/]+)/", ask.path)
    if deployment and "api-version=" not in ask.call.query:
        return error(ask, 404, "Resource not found")
    if deployment and not as_text(ask.json.get("model")):
        ask.json["model"] = deployment[1]
    return answer(ask)
