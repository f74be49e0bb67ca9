"""Clients that say nothing, since it may be their origin that speaks first: SSH, mail and the like on TLS's port.

Rules: after `limits.client_silence_s` without a word the origin is opened and listened to, if a tunnel would be led
there too, by the same checks, once for each client. That decides nothing yet. What the client says first is chosen
about as ever: a tunnel to that origin goes on with this connection, anything else closes it. What the origin says
first, or that it ends, is relayed, for no origin of HTTP or TLS does so. While origin and client are both connected,
how long they are silent is their affair. An origin that cannot be opened is no news to a client: it may yet name one
that can be.
"""

from functools import partial
from typing import TYPE_CHECKING

from mitmproxy.proxy.context import Context

from proxy.edge.decide import Going, Tunnel, may_speak_first
from proxy.edge.handover import GatedReader
from proxy.edge.prelude import Prelude
from proxy.edge.takeover import relay
from proxy.exchange.tenant import Tenant

if TYPE_CHECKING:
    from proxy.edge.select import Select


class Silence:
    """All clients that have not said anything, where it may be for their origin to begin."""

    def __init__(self, select: "Select") -> None:
        self._select = select
        self._preludes: dict[str, Prelude] = {}  # by client: no more than there are connections

    def watch(self, context: Context, gate: GatedReader, going: Going) -> None:
        """This client's, from now on."""
        if may_speak_first(going, self._select):
            within_s = self._select.bridge.settings.limits.client_silence_s
            gate.expect_words(within_s, partial(self._listen, context, gate, going))

    def _listen(self, context: Context, gate: GatedReader, going: Going) -> None:
        select, bridge = self._select, self._select.bridge
        if not select.has(context):
            return
        if not isinstance(select.admit(context), Tenant) or not bridge.reach.may_reach(going.host, going.port):
            return
        dead_peer_s = bridge.settings.limits.dead_peer_s
        prelude = Prelude(
            going.host,
            going.port,
            on_open=partial(gate.wait_on, dead_peer_s),
            on_word=partial(self._relay, context, gate, going),
        )
        self._preludes[context.client.id] = prelude
        prelude.start(bridge.pool.dialer, bridge.tasks, dead_peer_s)

    def _relay(self, context: Context, gate: GatedReader, going: Going) -> None:
        if gate.is_silent:  # else it has just spoken, and is chosen about
            relay(self._select, context, Tunnel(going.host, going.port, "origin_speaks_first"))

    def end(self, client_id: str) -> Prelude | None:
        """This client is silent no more, or gone."""
        return self._preludes.pop(client_id, None)
