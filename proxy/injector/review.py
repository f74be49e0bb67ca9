"""AdmissionReview, version v1: the request as the API server writes it, and its answer. Pure.

Rules: what is no review of version v1 raises BadReviewError, which tells what is wrong and nothing of the content. A
review of something else than a new pod is allowed as it is: the webhook's rules asked for too much, that is all.
"""

import base64
from dataclasses import dataclass
from typing import Final, Literal, assert_never

import orjson

from proxy.injector.document import MalformedError, Object, section, text
from proxy.injector.patch import Decision, Injected, Plan, Refused, Skipped, inject

API_VERSION: Final = "admission.k8s.io/v1"
KIND: Final = "AdmissionReview"

type Outcome = Literal["injected", "unchanged", "skipped", "refused"]


class BadReviewError(ValueError):
    """The body is no review."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back, and what may be logged of it."""

    body: bytes
    outcome: Outcome
    namespace: str
    name: str


def review(body: bytes, plan: Plan) -> Answer:
    """Answer one review. Raises BadReviewError."""
    try:
        request = _request(body)
        uid, namespace = text(request, "uid"), text(request, "namespace")
        if not uid:
            raise BadReviewError("request.uid is missing")
        if not _is_new_pod(request):
            return Answer(_response(uid, Skipped("not a new pod")), "skipped", namespace, text(request, "name"))
        pod = section(request, "object")
    except MalformedError as exc:
        raise BadReviewError(f"the review is malformed: {exc}") from exc
    decision = inject(pod, namespace, plan)
    return Answer(_response(uid, decision), _outcome(decision), namespace, _name(request, pod))


def _request(body: bytes) -> Object:
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BadReviewError("the body is not JSON") from None
    if not isinstance(told, dict):
        raise BadReviewError("the body is not an object")
    if told.get("apiVersion") != API_VERSION or told.get("kind") != KIND:
        raise BadReviewError(f"the body must be an {KIND} of {API_VERSION}")
    if not isinstance(told.get("request"), dict):
        raise BadReviewError("request is missing")
    return section(told, "request")


def _is_new_pod(request: Object) -> bool:
    resource = section(request, "resource")
    is_pod = text(resource, "resource") == "pods" and not text(resource, "group") and not text(request, "subResource")
    return is_pod and text(request, "operation") == "CREATE"


def _name(request: Object, pod: Object) -> str:
    """The pod's name, or the beginning of one that the API server will make."""
    try:
        metadata = section(pod, "metadata")
        return text(request, "name") or text(metadata, "name") or text(metadata, "generateName")
    except MalformedError:
        return ""


def _outcome(decision: Decision) -> Outcome:
    match decision:
        case Injected():
            return "injected" if decision.operations else "unchanged"
        case Skipped():
            return "skipped"
        case Refused():
            return "refused"
        case _:
            assert_never(decision)


def _response(uid: str, decision: Decision) -> bytes:
    response: dict[str, object] = {"uid": uid, "allowed": not isinstance(decision, Refused)}
    match decision:
        case Injected():
            if decision.operations:
                response["patchType"] = "JSONPatch"
                response["patch"] = base64.b64encode(orjson.dumps(decision.operations)).decode()
            if decision.warnings:
                response["warnings"] = decision.warnings
        case Refused():
            response["status"] = {"code": 403, "reason": "Forbidden", "message": f"skinflint: {decision.message}"}
        case Skipped():
            pass
        case _:
            assert_never(decision)
    return orjson.dumps({"apiVersion": API_VERSION, "kind": KIND, "response": response})
