"""Questions that workers ask one another: one line in, one answer out, over a Unix socket of mode 0600 each.

Rules: what is asked is answered at once, from memory. Who asks has a deadline, and takes silence for an answer: a
worker may be dead, starting, or busy.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

type Answer = Callable[[], Awaitable[bytes]]

_LONGEST_LINE: Final = 64
_LONGEST_ANSWER: Final = 64 * 1024 * 1024
_SILENCE_S: Final = 5.0  # what a peer may take to say what it wants


def socket_of(directory: Path, index: int) -> Path:
    """Where a worker is asked."""
    return directory / f"state.{index}"


class Inquiries:
    """Answers the others' questions."""

    def __init__(self, path: Path, answers: Mapping[bytes, Answer]) -> None:
        self._path = path
        self._answers = answers
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen, in the place of a predecessor. Raises OSError."""
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        self._server = await asyncio.start_unix_server(self._answer, self._path, limit=_LONGEST_LINE)
        self._path.chmod(0o600)  # until here the directory's own mode kept others away

    async def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_SILENCE_S):
                question = (await reader.readline()).strip()
                if question in self._answers:
                    writer.write(await self._answers[question]())
                    await writer.drain()
        except (OSError, TimeoutError, ValueError):
            return  # a peer that is gone, or no peer
        finally:
            writer.close()


async def ask(path: Path, question: bytes, deadline_s: float) -> bytes | None:
    """A worker's answer; None when there was none in time."""
    try:
        async with asyncio.timeout(deadline_s):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                writer.write(question + b"\n")
                return await _all(reader)
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return None


async def _all(reader: asyncio.StreamReader) -> bytes | None:
    answer = bytearray()
    while piece := await reader.read(65_536):
        answer += piece
        if len(answer) > _LONGEST_ANSWER:
            return None
    return bytes(answer) or None
