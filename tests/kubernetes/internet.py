"""What a pod finds outside: the simulated providers on port 443, and a DNS server that knows where they are.

Names of both families, of IPv4 alone and of IPv6 alone are providers', so that a test chooses a family by the name.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from proxy.demo.certificates import Certificates
from proxy.demo.dialects import HOSTS
from proxy.demo.faults import Options
from tests.kubernetes.network import EXCEPTED_4, EXCEPTED_6, INTERNET_4, INTERNET_6, METADATA
from tests.support.background import LoopThread, Providers, providers
from tests.support.dns import dns
from tests.support.netns import Namespace

BOTH = "api.openai.com"
IPV4_ALONE = "eu.api.openai.com"
IPV6_ALONE = "us.api.openai.com"
WEBSITE = "www.example.test"  # no provider
FOREIGN = "bank.example.test"
BELOW = "below.api.openai.com"
_RECORDS = {
    **dict.fromkeys([*HOSTS, WEBSITE], f"{INTERNET_4} {INTERNET_6}"),
    IPV4_ALONE: INTERNET_4,
    IPV6_ALONE: INTERNET_6,
    FOREIGN: INTERNET_4,
    BELOW: INTERNET_4,
}


@dataclass(frozen=True, slots=True)
class Internet:
    """The providers, and an event loop beside them for more servers."""

    provider: Providers
    thread: LoopThread


@contextlib.contextmanager
def internet(where: Namespace, authority: Certificates) -> Iterator[Internet]:
    """Serve until the block is left."""
    thread = LoopThread("internet", where.file)
    listen = (INTERNET_4, INTERNET_6, EXCEPTED_4, EXCEPTED_6, METADATA)
    try:
        with (
            thread.within(dns(_RECORDS, INTERNET_4)),
            thread.within(dns(_RECORDS, INTERNET_6)),
            providers(authority, Options(events=8), where.file, port=443, listen=listen) as provider,
        ):
            yield Internet(provider, thread)
    finally:
        thread.close()
