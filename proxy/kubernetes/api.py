"""The API server, as a pod speaks to it: its service account's token, the cluster's own authority, JSON.

Rules: the token is read anew for each request, as the kubelet renews it, and stands in no message. Answers and lines of
a watch have limits. A failure is an ApiError, whose status is 0 when there was no answer.
"""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self, cast

import aiohttp
import orjson

from proxy.injector.document import Json, Object

_ANSWER_BYTES: Final = 64 * 1024 * 1024  # a page of pods
_LINE_BYTES: Final = 4 * 1024 * 1024  # one pod; etcd keeps no more than 1.5 MB
_ANSWER_S: Final = 30.0
_SILENCE_S: Final = 30.0  # beyond the time after which the server ends a watch


class ApiError(Exception):
    """The API said no, or nothing. The text is for operators."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"the Kubernetes API answered {status}: {reason}" if status else reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class Place:
    """Where the API is, and how one is known there."""

    url: str
    token_file: Path
    ca_file: Path

    @classmethod
    def of(cls, url: str | None, token_file: Path, ca_file: Path, environ: Mapping[str, str]) -> "Place":
        """What the settings say, and what the cluster tells every pod. Raises ApiError outside of one."""
        if url is None:
            host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT", "443")
            if not host:
                raise ApiError(0, "this is no pod ($KUBERNETES_SERVICE_HOST is not set): say where the API is")
            url = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
        return cls(url.rstrip("/"), token_file, ca_file)


class Api:
    """A session. Use it as a context."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Raises ApiError when the cluster's authority cannot be read."""
        context: ssl.SSLContext | None = None
        if self._place.url.startswith("https://"):
            try:
                context = ssl.create_default_context(cafile=str(self._place.ca_file))
            except OSError as exc:
                raise ApiError(0, f"{self._place.ca_file} cannot be read: {exc.strerror or 'no PEM'}") from exc
        connector = aiohttp.TCPConnector(ssl=context if context is not None else True)
        self._session = aiohttp.ClientSession(connector=connector, trust_env=False)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def ask(
        self, method: str, path: str, body: Object | None = None, *, query: Mapping[str, str] | None = None
    ) -> Object:
        """A request and its answer, an object. Raises ApiError."""
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        try:
            async with asyncio.timeout(_ANSWER_S):
                async with self._request(method, path, body, query or {}, kind) as answer:
                    content = await _whole(answer.content, _ANSWER_BYTES)
        except (aiohttp.ClientError, OSError, TimeoutError) as exc:
            raise ApiError(0, f"the Kubernetes API cannot be reached: {type(exc).__name__}") from exc
        if answer.status >= 300:
            raise ApiError(answer.status, _reason(content))
        return _object(content)

    async def watch(self, path: str, query: Mapping[str, str], within_s: int) -> AsyncGenerator[Object]:
        """The events of a watch, until the server ends it. To be closed. Raises ApiError."""
        asked = {**query, "watch": "1", "allowWatchBookmarks": "true", "timeoutSeconds": str(within_s)}
        try:
            async with asyncio.timeout(within_s + _SILENCE_S):
                async with self._request("GET", path, None, asked, "application/json") as answer:
                    if answer.status >= 300:
                        raise ApiError(answer.status, _reason(await answer.content.read(_LINE_BYTES)))
                    rest = b""
                    async for chunk in answer.content.iter_any():
                        *lines, rest = (rest + chunk).split(b"\n")
                        for line in filter(None, lines):
                            yield _object(line)
                        if len(rest) > _LINE_BYTES:
                            raise ApiError(0, "an event of the Kubernetes API is too long")
        except (aiohttp.ClientError, OSError, TimeoutError) as exc:
            raise ApiError(0, f"the watch broke off: {type(exc).__name__}") from exc

    def _request(
        self, method: str, path: str, body: Object | None, query: Mapping[str, str], kind: str
    ) -> "aiohttp.client._RequestContextManager":
        assert self._session is not None
        try:
            token = self._place.token_file.read_text("utf-8").strip()
        except OSError as exc:
            raise ApiError(0, f"{self._place.token_file} cannot be read: {exc.strerror}") from exc
        return self._session.request(
            method,
            self._place.url + path,
            params=dict(query),
            data=None if body is None else orjson.dumps(body),
            headers={"authorization": f"Bearer {token}", "content-type": kind, "accept": "application/json"},
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=None),
        )


async def _whole(content: aiohttp.StreamReader, limit: int) -> bytes:
    pieces: list[bytes] = []
    async for chunk in content.iter_any():
        pieces.append(chunk)
        limit -= len(chunk)
        if limit < 0:
            raise ApiError(0, "an answer of the Kubernetes API is too long")
    return b"".join(pieces)


def _object(content: bytes) -> Object:
    try:
        value: Json = cast(Json, orjson.loads(content))
    except orjson.JSONDecodeError as exc:
        raise ApiError(0, "the Kubernetes API did not answer in JSON") from exc
    if not isinstance(value, dict):
        raise ApiError(0, "the Kubernetes API did not answer with an object")
    return value


def _reason(content: bytes) -> str:
    """What a Status says."""
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError:
        return "no reason is given"
    message = value.get("message") if isinstance(value, dict) else None
    return message[:300] if isinstance(message, str) and message else "no reason is given"
