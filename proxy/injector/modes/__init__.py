"""How calls come to the sidecar, one file a mode; `choose` finds it.

hosts     the pod's hosts file says that providers are here. The default: no capability, no proxy variables.
env       clients are told of a proxy by their variables. For clusters that forbid the sysctl which `hosts` needs.
redirect  the kernel leads connections here. For wildcards and clients with resolvers of their own; needs NET_ADMIN.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol, assert_never

from config.injector import InjectorSettings
from proxy.injector.document import Draft, Object
from proxy.injector.modes.env import EnvMode
from proxy.injector.modes.hosts import HostsMode
from proxy.injector.modes.redirect import RedirectMode
from proxy.injector.wishes import Wishes


class Interception(Protocol):
    """What a mode decides."""

    @property
    def listen(self) -> list[str]:
        """Arguments of `skinflint run`."""
        ...

    @property
    def proxy_url(self) -> str | None:
        """What clients are told; None when nobody has to tell them."""
        ...

    def refusals(self, pod: Object) -> Iterator[str]:
        """Why this pod cannot be served so."""
        ...

    def before(self) -> list[Object]:
        """Init containers that go before the sidecar."""
        ...

    def change(self, draft: Draft) -> list[str]:
        """Make the mode's own changes to the pod; returns warnings."""
        ...


def choose(wishes: Wishes, settings: InjectorSettings, known_hosts: Sequence[str]) -> Interception:
    """The mode of one pod. `known_hosts`: exact names of the providers."""
    match wishes.mode:
        case "hosts":
            return HostsMode(tuple(dict.fromkeys([*known_hosts, *wishes.hosts])), settings.ipv6)
        case "env":
            return EnvMode(settings.ports.proxy)
        case "redirect":
            return RedirectMode(
                settings.redirect_image or settings.image,
                settings.image_pull_policy,
                settings.ports.redirect,
                settings.ipv6,
                tuple(dict.fromkeys(wishes.exclude_cidrs)),
            )
        case _:
            assert_never(wishes.mode)
