"""The addons for stock mitmdump, loaded by it with -s. BENCH_MODE says which work is done.

hit: answers from memory in the `request` hook. forward: only leads the host to the bench's upstream. stream: the same,
and lets answers through as they come. tunnel: nothing. Rule: no hook beyond what the work needs, as each costs.
"""

import os

from mitmproxy import http

from bench.work import answer, order_of


class Hit:
    """Answers every call from memory."""

    def __init__(self) -> None:
        self._bodies: dict[int, bytes] = {}

    def request(self, flow: http.HTTPFlow) -> None:
        """Answer with as many bytes as the call asks for."""
        size = order_of(flow.request.raw_content or b"").answer_bytes
        if (body := self._bodies.get(size)) is None:
            body = self._bodies[size] = answer(0, size)
        flow.response = http.Response.make(200, body, {"Content-Type": "application/json"})


class Forward:
    """Leads connections to the upstream."""

    def __init__(self, port: int) -> None:
        self._address = ("127.0.0.1", port)

    def http_connect(self, flow: http.HTTPFlow) -> None:
        """Another address for the tunnel; the name that TLS asks for and verifies is still the client's."""
        flow.request.host, flow.request.port = self._address


class Stream(Forward):
    """Does not hold answers back."""

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """Pass the body through as it comes."""
        assert flow.response is not None
        flow.response.stream = True


def _addons() -> list[object]:
    port = int(os.environ["BENCH_UPSTREAM_PORT"])
    match os.environ["BENCH_MODE"]:
        case "hit":
            return [Hit(), Forward(port)]
        case "forward":
            return [Forward(port)]
        case "stream":
            return [Stream(port)]
        case "tunnel":
            return []
        case mode:
            raise ValueError(f"no such mode: {mode}")


addons = _addons()
