"""Every setting of Skinflint, typed, with its unit, default and reason.

Rules: frozen, so that an exchange can keep the snapshot it began with; unknown keys are errors; no setting is read
from the environment here (load.py does that). Sizes are bytes, times are seconds unless the name says otherwise.
"""

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator

from config.caching import Batch, Cache, Collapse, OperationPolicy
from config.gateway import Access, Destinations, ListenerTls
from config.section import MIB, Section

MOST_WORKERS = 256

type Profile = Literal["production", "development", "gateway"]


def split_address(value: str) -> tuple[str, int]:
    """`host:port`, `[v6]:port` or `:port` (loopback) as a pair. Raises ValueError naming the form."""
    host, separator, port = value.rpartition(":")
    if not separator or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise ValueError("must be HOST:PORT, for example 127.0.0.1:8080 or [::1]:8080; port 0 takes a free one")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError("an IPv6 address needs brackets, for example [::1]:8080")
    return host or "127.0.0.1", int(port)


def _number_or_auto(value: object) -> object:
    if value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_WORKERS):
        return value
    raise ValueError(f"must be a whole number from 1 to {MOST_WORKERS}, or auto")


type Workers = Annotated[int | Literal["auto"], BeforeValidator(_number_or_auto)]


class Listener(Section):
    """One address to listen on, and how the destination is found there.

    mode: `regular` (clients use us as their HTTP proxy), `transparent` (the kernel redirected the connection),
    `hosts` (names resolve to us; the destination is the TLS server name), or `reverse:URL` (one fixed origin).
    """

    address: str = "127.0.0.1:8080"
    mode: str = "regular"
    tls: ListenerTls | None = None  # of the listener itself; clients use it as an HTTPS proxy

    @field_validator("mode")
    @classmethod
    def _known_mode(cls, value: str) -> str:
        if value in ("regular", "transparent", "hosts"):
            return value
        if value.startswith(("reverse:http://", "reverse:https://")) and len(value.split("://", 1)[1]) > 0:
            return value
        raise ValueError(
            "allowed: regular, transparent, hosts, reverse:http://HOST[:PORT], reverse:https://HOST[:PORT]"
        )

    @field_validator("address")
    @classmethod
    def _host_and_port(cls, value: str) -> str:
        split_address(value)
        return value

    @property
    def is_loopback(self) -> bool:
        """Only this machine's programs reach it."""
        host, _ = split_address(self.address)
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"


class Admin(Section):
    """The operators' listener: /livez /readyz /metrics /v1/stats."""

    address: str = "127.0.0.1:9190"
    token_file: Path | None = None  # for /v1/cache/…; None: admin.token in the data directory

    @field_validator("address")
    @classmethod
    def _host_and_port(cls, value: str) -> str:
        split_address(value)
        return value


class Log(Section):
    """Structured logs on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"  # auto: console on a terminal, else JSON


class ProviderHosts(Section):
    """An OpenAI-compatible or otherwise known dialect on hosts of your own."""

    dialect: str = "openai"  # a name from config/providers.yaml
    hosts: tuple[str, ...]  # exact names, or wildcards such as *.example.com; host:port for a port of its own
    base_path: str = ""  # what stands before the dialect's own paths, for example /llm/v1


class Upstream(Section):
    """The side towards the providers."""

    connect_timeout_s: Annotated[float, Field(gt=0)] = 10.0
    first_byte_timeout_s: Annotated[float, Field(gt=0)] = 600.0  # reasoning models think for minutes before a byte
    idle_timeout_s: Annotated[float, Field(gt=0)] = 300.0  # between two pieces of a body
    total_timeout_s: Annotated[float, Field(gt=0)] = 3600.0
    keepalive_s: Annotated[float, Field(gt=0)] = 60.0  # idle connections; load balancers cut at 60-75 s
    http2: bool = True
    streams_per_connection: Annotated[int, Field(ge=1)] = 90  # below the 100 that most servers allow
    max_connections: Annotated[int, Field(ge=1)] = 1024  # per origin; an HTTP/1.1 origin needs one for each stream
    max_origins: Annotated[int, Field(ge=1)] = 256  # pools kept; the longest unused is closed first
    proxy: str | None = None  # corporate proxy: http://[user:password@]host:port
    no_proxy: str | None = None  # comma-separated hosts that are reached without it
    resolve: dict[str, str] = {}  # origin host -> ip:port to reach it at; TLS still verifies the name
    extra_ca: tuple[Path, ...] = ()  # PEM files, trusted besides the system's roots
    retries: Annotated[int, Field(ge=0, le=5)] = 2  # after a failure before the first byte
    retry_budget: Annotated[float, Field(ge=0, le=1)] = 0.2  # retries at most this share of recent calls
    compress_requests: dict[str, Literal["zstd", "gzip"]] = {}  # origin host -> coding it is known to accept
    compress_min_saving: Annotated[float, Field(ge=0, lt=1)] = 0.1


class Limits(Section):
    """What one client may make us hold."""

    max_head_bytes: Annotated[int, Field(ge=1024)] = 65_536
    max_request_bytes: Annotated[int, Field(ge=1024)] = (
        8 * MIB
    )  # a million tokens is roughly 4 MB; past this, relay only
    max_answer_bytes: Annotated[int, Field(ge=1024)] = 16 * MIB  # kept for the cache or for a late follower
    max_concurrent_streams: Annotated[int, Field(ge=1)] = 256  # HTTP/2 streams of one client
    max_connections: Annotated[int, Field(ge=1)] = 10_000
    client_idle_s: Annotated[float, Field(gt=0)] = 600.0  # keep-alive between requests
    client_head_s: Annotated[float, Field(gt=0)] = 30.0  # TLS handshake, and from a head's first byte to its last
    # A client that is quick enough never notices; one that is not costs its origin a connection, and nothing else.
    client_silence_s: Annotated[float, Field(gt=0)] = 0.3
    dead_peer_s: Annotated[float, Field(ge=2)] = 60.0  # client, or origin of a relay, that vanished without closing
    label_values: Annotated[int, Field(ge=10)] = 200  # distinct values of one metrics label; more become `other`


class Route(Section):
    """Settings for the calls that match. The first route that matches wins; absent criteria match all."""

    provider: str | None = None
    operation: str | None = None
    model: str | None = None  # a wildcard pattern such as gpt-4*
    host: str | None = None
    label: dict[str, str] = {}
    policy: OperationPolicy = OperationPolicy()


class Compression(Section):
    """Codings towards clients and origins."""

    ask_upstream: bool = True  # ask for what saves most, and undo it for clients that cannot
    clients: Literal["remote", "all", "none"] = (
        "remote"  # whom plain answers are compressed for; loopback is faster plain
    )
    min_bytes: Annotated[int, Field(ge=0)] = 1024  # below this a coding saves no packet


class Cost(Section):
    """Metering."""

    prices: Path | None = None  # overrides, besides config/prices.yaml
    ask_usage: bool = True  # add include_usage to streams that would not report, and hide the added event
    # Looking at a prompt takes about 1.5 ms a megabyte; half of one is some 130,000 tokens. 0: none is looked at.
    prompt_cache_max_bytes: Annotated[int, Field(ge=0)] = MIB // 2


class Ledger(Section):
    """The record of every call."""

    enabled: bool = True
    url: str | None = None  # SQLAlchemy URL; default: sqlite in the data directory
    batch_rows: Annotated[int, Field(ge=1)] = 500
    flush_s: Annotated[float, Field(gt=0)] = 1.0
    queue_rows: Annotated[int, Field(ge=100)] = 100_000  # about 100 MB; beyond it rows are counted as lost, and said
    keep_days: Annotated[int, Field(ge=1)] = 90


class Attribution(Section):
    """Where the labels of a call come from. None of it needs the application's help."""

    labels: dict[str, str] = {}  # fixed: {app: billing, team: search}
    headers: dict[str, str] = {"x-skinflint-label-app": "app"}  # request field -> label; stripped before upstream
    metric_labels: tuple[str, ...] | None = None  # of `labels`, on every sample of /metrics; None: all of them
    # Labels that differ from call to call, on the metrics of calls besides. Each of their values makes series.
    call_metric_labels: Annotated[tuple[str, ...], Field(max_length=8)] = ()

    @property
    def on_samples(self) -> dict[str, str]:
        """What stands on every sample of /metrics. What differs by call is not the process's own."""
        chosen = self.labels if self.metric_labels is None else self.metric_labels
        return {
            name: value
            for name, value in self.labels.items()
            if value and name in chosen and name not in self.call_metric_labels
        }


class Passthrough(Section):
    """What is tunnelled although it is a provider."""

    hosts: tuple[str, ...] = ()
    learn_pins: bool = True  # clients whose TLS rejects our certificate
    learn_ttl_s: Annotated[float, Field(gt=0)] = 3600.0


class Drain(Section):
    """Stopping: linger, then end what is there. Both together stay below the grace that the process is given."""

    linger_s: Annotated[float, Field(ge=0)] = 0.0  # /readyz says 503 and clients still come: balancers learn it late
    timeout_s: Annotated[float, Field(ge=0)] = 25.0  # Kubernetes kills after 30; closing takes up to 5 s more
    idle_s: Annotated[float, Field(ge=0)] = 1.0  # a call may be on its way on a connection that has none


class Settings(Section):
    """The whole snapshot."""

    profile: Profile = "production"
    data_dir: Path = Path("~/.local/share/skinflint")
    ca_dir: Path | None = None  # an authority made elsewhere: read, never written; None: our own, in data_dir
    trust_dir: Path | None = None  # the public files that make clients trust us; None: ca in the data directory
    workers: Workers = 1  # processes; auto: as many as there are processors to use
    listeners: tuple[Listener, ...] = (Listener(),)
    admin: Admin = Admin()
    log: Log = Log()
    destinations: Destinations = Destinations()
    access: Access = Access()
    providers: dict[str, ProviderHosts] = {}
    disabled_providers: tuple[str, ...] = ()
    upstream: Upstream = Upstream()
    limits: Limits = Limits()
    cache: Cache = Cache()
    collapse: Collapse = Collapse()
    batch: Batch = Batch()
    compression: Compression = Compression()
    routes: tuple[Route, ...] = ()
    cost: Cost = Cost()
    ledger: Ledger = Ledger()
    attribution: Attribution = Attribution()
    passthrough: Passthrough = Passthrough()
    on_disconnect: Literal["cancel", "drain"] = "cancel"
    drain: Drain = Drain()

    @property
    def shared_listeners(self) -> list[Listener]:
        """Those that other machines' programs reach and name any destination to."""
        return [each for each in self.listeners if each.mode == "regular" and not each.is_loopback]
