"""Which provider a host belongs to: the packaged table and the settings, made into dialects once.

Rules: an exact name wins over a pattern, the settings win over the package, and the earlier entry over the later one.
Patterns are tried once for each host that is met; what came of it is remembered, in a bounded memory. A registry is
immutable otherwise, and belongs to one snapshot of the settings.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from config.patterns import HostPattern
from config.providers import load_providers
from config.schema import ProviderHosts, Settings
from proxy.exchange.provider import Provider
from proxy.providers.anthropic import Anthropic
from proxy.providers.azure import Azure
from proxy.providers.bedrock import Bedrock
from proxy.providers.cohere import Cohere
from proxy.providers.compatible import Compatible
from proxy.providers.entry import ProviderEntry
from proxy.providers.gemini import Gemini
from proxy.providers.mistral import Mistral
from proxy.providers.ollama import Ollama
from proxy.providers.openai import OpenAI
from proxy.providers.vertex import Vertex

DIALECTS: Final[Mapping[str, Callable[[ProviderEntry], Provider]]] = MappingProxyType(
    {
        "openai": OpenAI,
        "compatible": Compatible,
        "azure": Azure,
        "mistral": Mistral,
        "anthropic": Anthropic,
        "gemini": Gemini,
        "vertex": Vertex,
        "bedrock": Bedrock,
        "cohere": Cohere,
        "ollama": Ollama,
    }
)

REMEMBERED_HOSTS: Final = 4096  # met hosts, providers or not, whose patterns are not tried again


class Registry:
    """The providers of one snapshot of the settings."""

    def __init__(self, entries: Iterable[ProviderEntry]) -> None:
        """Raises ValueError when an entry's dialect is unknown or one of its hosts is malformed."""
        self._entries: dict[str, ProviderEntry] = {}
        self._providers: dict[str, Provider] = {}
        self._exact: dict[tuple[str, int], Provider] = {}
        self._patterns: list[tuple[HostPattern, Provider]] = []
        self._hosts: dict[str, None] = {}  # in order, each once
        self._met: dict[tuple[str, int], Provider | None] = {}
        for entry in entries:
            self._add(entry)

    @classmethod
    def from_settings(cls, settings: Settings) -> "Registry":
        """The packaged providers and those of the settings, without the disabled ones.

        A provider of the settings that bears a packaged name adds hosts to it. Raises ValueError, naming the setting
        and what is allowed, when a dialect, a disabled name or a host is wrong.
        """
        packaged = {entry.name: entry for entry in load_providers()}
        configured = [_configured(name, hosts, packaged) for name, hosts in settings.providers.items()]
        known = packaged.keys() | settings.providers.keys()
        for name in settings.disabled_providers:
            if name not in known:
                raise ValueError(f"disabled_providers: {name!r} is unknown; allowed: {', '.join(sorted(known))}")
        entries = [*configured, *packaged.values()]
        return cls(entry for entry in entries if entry.name not in settings.disabled_providers)

    def match(self, host: str, port: int) -> Provider | None:
        """The provider that is reached at `host` (a name or an address, without brackets) and `port`, or None."""
        origin = (host, port)
        if (provider := self._exact.get(origin)) is not None:
            return provider
        try:
            return self._met[origin]
        except KeyError:
            return self._remember(origin)

    def hosts(self) -> tuple[str, ...]:
        """Every name, address and pattern, without ports, each once."""
        return tuple(self._hosts)

    def by_name(self, name: str) -> Provider | None:
        """The provider of this name; of several with one name the first, which the settings' come before."""
        return self._providers.get(name)

    def entry(self, name: str) -> ProviderEntry | None:
        """The row behind `by_name(name)`: its price id, for one."""
        return self._entries.get(name)

    def names(self) -> tuple[str, ...]:
        """All names, in order."""
        return tuple(self._providers)

    def _add(self, entry: ProviderEntry) -> None:
        dialect = DIALECTS.get(entry.dialect)
        if dialect is None:
            raise ValueError(f"{entry.name}: unknown dialect {entry.dialect!r}; allowed: {', '.join(DIALECTS)}")
        provider = dialect(entry)
        self._entries.setdefault(entry.name, entry)
        self._providers.setdefault(entry.name, provider)
        for text in entry.hosts:
            try:
                pattern = HostPattern.parse(text)
            except ValueError as exc:
                raise ValueError(f"providers.{entry.name}.hosts: {exc}") from exc
            self._hosts[pattern.host] = None
            if pattern.wildcard is not None:
                self._patterns.append((pattern, provider))
                continue
            for port in pattern.ports:
                self._exact.setdefault((pattern.host, port), provider)

    def _remember(self, origin: tuple[str, int]) -> Provider | None:
        """The slow way: the name's other spellings, then the patterns."""
        host, port = origin[0].lower().removesuffix("."), origin[1]
        found = self._exact.get((host, port))
        if found is None:
            matching = (provider for pattern, provider in self._patterns if pattern.matches(host, port))
            found = next(matching, None)
        if len(self._met) >= REMEMBERED_HOSTS:
            del self._met[next(iter(self._met))]
        self._met[origin] = found
        return found


def _configured(name: str, hosts: ProviderHosts, packaged: Mapping[str, ProviderEntry]) -> ProviderEntry:
    """A provider of the settings as an entry. What it does not say is taken from the packaged provider that its
    dialect names; without a dialect, from the one of its own name, or else it is a server like OpenAI's."""
    if "dialect" not in hosts.model_fields_set:
        base = packaged.get(name) or replace(packaged["openai"], dialect="compatible")
    elif hosts.dialect in packaged:
        base = packaged[hosts.dialect]
    elif hosts.dialect in DIALECTS:
        base = ProviderEntry(name=name, dialect=hosts.dialect)
    else:
        allowed = ", ".join(sorted({*DIALECTS, *packaged}))
        raise ValueError(f"providers.{name}.dialect: unknown dialect {hosts.dialect!r}; allowed: {allowed}")
    return replace(base, name=name, hosts=hosts.hosts, base_path=_base_path(name, hosts, base))


def _base_path(name: str, hosts: ProviderHosts, base: ProviderEntry) -> str:
    """The setting; unset, that of the provider whose name this is. Hosts of one's own have none by default."""
    if "base_path" not in hosts.model_fields_set:
        return base.base_path if name == base.name else ""
    path = hosts.base_path.strip("/")
    return "/" + path if path else ""
