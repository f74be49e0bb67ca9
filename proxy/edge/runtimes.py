"""The variables that make each language runtime use the proxy and trust our certificate authority.

Rules: a variable whose file replaces a client's own roots gets the bundle, one whose file is added to them gets our
root alone, unless the user had put other roots there: those are in the bundle. What the user says in the variables
that are lists (NO_PROXY, JAVA_TOOL_OPTIONS, NODE_OPTIONS, PHP_INI_SCAN_DIR) is kept, and options of the user's own
win. Setting them twice gives the same. Pure.

Left out on purpose: ALL_PROXY, which would also lead FTP and SOCKS-aware clients here; and HTTP_PROXY in capitals,
which nobody needs who reads http_proxy, and which a CGI program would take from a request's `Proxy` header.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from urllib.parse import urlsplit

from proxy.edge.trust import TrustFiles

# Credentials and metadata are served to one machine only, by plain HTTP: through a proxy they would be another's.
_NEVER_PROXIED = ("localhost", "127.0.0.1", "::1", "169.254.169.254", "169.254.170.2", "metadata.google.internal")


class Kind(Enum):
    """What a variable is told."""

    PROXY = "the proxy's URL"
    NO_PROXY = "hosts that are reached directly"
    BUNDLE = "a file with all roots, which replaces the client's own"
    ROOT = "a file with our root, which is added to the client's own"
    OPTIONS = "options, added to those that are there"
    SWITCH = "1"


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable: who reads it, and what it is told."""

    name: str
    kind: Kind
    runtimes: str
    note: str = ""


VARIABLES = (
    Variable("HTTPS_PROXY", Kind.PROXY, "curl, Python, Go, Bun, Deno, .NET, rustls, git, gRPC, Node 24"),
    Variable("https_proxy", Kind.PROXY, "wget and others that read lower case only"),
    Variable("http_proxy", Kind.PROXY, "Ruby", "Ruby's Net::HTTP reads no other; plain HTTP of all clients follows"),
    Variable("NO_PROXY", Kind.NO_PROXY, "as HTTPS_PROXY"),
    Variable("no_proxy", Kind.NO_PROXY, "as https_proxy"),
    Variable("SSL_CERT_FILE", Kind.BUNDLE, "OpenSSL: Python (httpx, aiohttp, urllib), Ruby, PHP, .NET; rustls; Go"),
    Variable("REQUESTS_CA_BUNDLE", Kind.BUNDLE, "requests", "it does not read SSL_CERT_FILE"),
    Variable("CURL_CA_BUNDLE", Kind.BUNDLE, "curl, requests"),
    Variable("AWS_CA_BUNDLE", Kind.BUNDLE, "botocore, AWS CLI and SDKs"),
    Variable("HTTPLIB2_CA_CERTS", Kind.BUNDLE, "httplib2, older Google clients"),
    Variable("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", Kind.BUNDLE, "gRPC for C++, Python, Ruby, PHP", "it reads no other"),
    Variable("NIX_SSL_CERT_FILE", Kind.BUNDLE, "programs built by Nix", "they prefer it to SSL_CERT_FILE"),
    Variable("GIT_SSL_CAINFO", Kind.BUNDLE, "git"),
    Variable("PIP_CERT", Kind.BUNDLE, "pip"),
    Variable("CARGO_HTTP_CAINFO", Kind.BUNDLE, "cargo"),
    Variable("NODE_EXTRA_CA_CERTS", Kind.ROOT, "Node, Bun, Electron"),
    Variable("DENO_CERT", Kind.ROOT, "Deno"),
    Variable("NODE_USE_ENV_PROXY", Kind.SWITCH, "Node", "known to 22.21 and 24.5 or newer"),
    Variable("NODE_OPTIONS", Kind.OPTIONS, "Node", "loads what makes older versions use HTTPS_PROXY"),
    Variable("JAVA_TOOL_OPTIONS", Kind.OPTIONS, "Java", "proxy and truststore, for both of its HTTP clients"),
    Variable("PHP_INI_SCAN_DIR", Kind.OPTIONS, "PHP", "a folder with curl.cainfo and openssl.cafile"),
)
_PROXY_ONLY = {"NODE_USE_ENV_PROXY", "NODE_OPTIONS"}
_JAVA_MARK = "-Dskinflint=on"
_JAVA_OPTION = re.compile(r'(?:[^\s"\']|"[^"]*"|\'[^\']*\')+')
_NODE_PRELOAD = re.compile(r'\s*--require=(?:"[^"]*/node_preload\.cjs"|[^\s"]*/node_preload\.cjs)')


def describe() -> Sequence[Variable]:
    """Every variable, for tables."""
    return VARIABLES


def variables(
    proxy_url: str | None, trust: TrustFiles, *, no_proxy: Iterable[str], existing: Mapping[str, str]
) -> dict[str, str]:
    """What to set. With `proxy_url` None (clients reach us by name or redirect) only what makes them trust us.

    `no_proxy` names hosts to reach directly, besides loopback, metadata services and what `existing` excepts.
    """
    direct = exceptions(no_proxy, existing)
    chosen: dict[str, str] = {}
    for variable in VARIABLES:
        if proxy_url is None and (variable.kind in (Kind.PROXY, Kind.NO_PROXY) or variable.name in _PROXY_ONLY):
            continue
        chosen[variable.name] = _value(variable, proxy_url, trust, direct, existing)
    return chosen


def exceptions(no_proxy: Iterable[str], existing: Mapping[str, str]) -> list[str]:
    """The hosts to reach directly, each once: the user's own first, then ours."""
    users = [existing.get(name, "") for name in ("NO_PROXY", "no_proxy")]
    named = [entry for text in users for entry in re.split(r"[\s,]+", text) if entry]
    cluster = existing.get("KUBERNETES_SERVICE_HOST")  # the cluster's own API: no provider, and it pins its authority
    return list(dict.fromkeys([*named, *no_proxy, *_NEVER_PROXIED, *([cluster] if cluster else [])]))


def _value(
    variable: Variable, proxy_url: str | None, trust: TrustFiles, direct: Sequence[str], existing: Mapping[str, str]
) -> str:
    before = existing.get(variable.name, "")
    match variable.kind:
        case Kind.PROXY:
            return proxy_url or ""
        case Kind.NO_PROXY:
            return ",".join(direct)
        case Kind.BUNDLE:
            return str(trust.bundle)
        case Kind.ROOT:
            return str(trust.ca if before in ("", str(trust.ca)) else trust.bundle)
        case Kind.SWITCH:
            return "1"
        case Kind.OPTIONS:
            return _options(variable.name, before, proxy_url, trust, direct)


def _options(name: str, before: str, proxy_url: str | None, trust: TrustFiles, direct: Sequence[str]) -> str:
    match name:
        case "JAVA_TOOL_OPTIONS":
            return java_options(before, proxy_url, trust, direct)
        case "NODE_OPTIONS":
            # Node takes quotes and backslash escapes here, as a shell would.
            path = re.sub(r'(["\\])', r"\\\1", str(trust.node_preload))
            return f'{_NODE_PRELOAD.sub("", before)} --require="{path}"'.strip()
        case _:
            folder = str(trust.php_folder)
            # An empty part stands for the folder that PHP was built with.
            return before if folder in before.split(":") else f"{before}:{folder}"


def java_options(before: str, proxy_url: str | None, trust: TrustFiles, direct: Sequence[str]) -> str:
    """JVM options after those in `before`; ours of an earlier time are replaced.

    Who has a truststore of their own keeps it, and then gets no proxy either: it would be refused there.
    """
    options: list[str] = _JAVA_OPTION.findall(before)
    if _JAVA_MARK in options:
        options = options[: options.index(_JAVA_MARK)]
    taken = {option.partition("=")[0].strip("\"'") for option in options}
    if "-Djavax.net.ssl.trustStore" in taken:
        return " ".join(options)
    ours = [
        f"-Djavax.net.ssl.trustStore={trust.truststore}",
        f"-Djavax.net.ssl.trustStorePassword={trust.truststore_password}",
        "-Djavax.net.ssl.trustStoreType=PKCS12",
    ]
    if proxy_url is not None and "-Dhttps.proxyHost" not in taken:
        address = urlsplit(proxy_url)
        hosts = "|".join(dict.fromkeys(_java_pattern(entry) for entry in direct))
        ours += [f"-Dhttps.proxyHost={address.hostname}", f"-Dhttps.proxyPort={address.port or 80}"]
        ours += [f"-Dhttp.nonProxyHosts={hosts}"] if "-Dhttp.nonProxyHosts" not in taken else []
    return " ".join([*options, _JAVA_MARK, *map(_java_quoted, ours)])


def _java_pattern(entry: str) -> str:
    """An exception in Java's words: `*` for what is below a domain, brackets around IPv6."""
    if entry.startswith("."):
        return "*" + entry
    return f"[{entry}]" if ":" in entry and not entry.startswith("[") and entry.count(":") > 1 else entry


def _java_quoted(option: str) -> str:
    """The JVM splits at white space, and takes either quote."""
    return f'"{option}"' if re.search(r"\s", option) else option
