"""Which clients come to the sidecar in each mode, and by which variable each of them trusts it. Data and pure rules.

All of it was tried: mode hosts and mode redirect catch every one of these, as long as it asks the pod's resolver, or
the kernel; mode env those that read the variables of proxies. Who brings roots of its own is passed through once it has
refused ours.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from config.injector import Mode


@dataclass(frozen=True, slots=True)
class Client:
    """A kind of client. `trusts_by`: the variables without which it does not trust us; none: the system's store alone.
    `proxied_by`: the variable that leads it here in mode env; none: nothing does, and `unless` says what else would."""

    name: str
    family: str
    trusts_by: tuple[str, ...]
    proxied_by: str = "HTTPS_PROXY"
    unless: str = ""

    def way(self, mode: Mode) -> str:
        """Why it does not come here; empty if it does."""
        if mode != "env" or self.proxied_by:
            return ""
        return f"reads no variable of a proxy{', unless ' + self.unless if self.unless else ''}"

    def needs(self, mode: Mode) -> tuple[str, ...]:
        """The variables that it has to have."""
        return (*((self.proxied_by,) if mode == "env" and self.proxied_by else ()), *self.trusts_by)


CLIENTS: Final = (
    Client("httpx, openai, anthropic", "python", ("SSL_CERT_FILE",)),
    Client("requests", "python", ("REQUESTS_CA_BUNDLE",)),
    Client("botocore", "python", ("AWS_CA_BUNDLE",)),
    Client("aiohttp", "python", ("SSL_CERT_FILE",), "", "the session has trust_env=True"),
    Client("urllib3 alone", "python", ("SSL_CERT_FILE",), "", "it is given a ProxyManager"),
    Client("grpcio", "python", ("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",)),
    Client("fetch, https, openai, axios", "node", ("NODE_EXTRA_CA_CERTS",), "NODE_OPTIONS"),
    Client("Bun", "bun", ("NODE_EXTRA_CA_CERTS",)),
    Client("Deno", "deno", ("DENO_CERT",)),
    Client("Java", "java", ("JAVA_TOOL_OPTIONS",), "JAVA_TOOL_OPTIONS"),
    Client("Go", "go", ("SSL_CERT_FILE",)),
    Client(".NET", "dotnet", ("SSL_CERT_FILE",)),
    Client("Net::HTTP", "ruby", ("SSL_CERT_FILE",), "http_proxy"),
    Client("curl", "php", ("PHP_INI_SCAN_DIR",)),
    Client("streams", "php", ("PHP_INI_SCAN_DIR",), "", "the stream's context names the proxy"),
    Client("reqwest, rustls", "rust", ("SSL_CERT_FILE",)),
    Client("curl", "curl", ("SSL_CERT_FILE",)),
    Client("wget, GnuTLS", "gnutls", ()),
)

# What no variable, and no mode, changes.
OWN_ROOTS: Final = (
    "clients with roots of their own (primp, some browsers' engines) refuse us, and are then passed through"
)
BYPASSES: Final[dict[Mode, str]] = {
    "hosts": "not caught: clients with a resolver of their own, and names that are not in the pod's hosts file "
    "(wildcards: resources of Azure, regions of Bedrock)",
    "env": "not caught: clients that read no variable of a proxy",
    "redirect": "not caught: the user 1337, the networks of exclude-cidrs, and other ports than 443; QUIC is refused",
}

# Words of an image's name or of a command, and whose they are.
_HINTS: Final = {
    "python": ("python", "python3", "uvicorn", "gunicorn", "celery", "uv", "pytorch", "jupyter", "django", "fastapi"),
    "node": ("node", "nodejs", "npm", "npx", "yarn", "pnpm", "nextjs"),
    "bun": ("bun",),
    "deno": ("deno",),
    "java": ("java", "openjdk", "jdk", "jre", "temurin", "corretto", "zulu", "tomcat", "spring", "jetty"),
    "go": ("golang", "go"),
    "dotnet": ("dotnet", "aspnet"),
    "ruby": ("ruby", "rails", "bundle", "puma", "jruby"),
    "php": ("php", "php-fpm", "laravel", "wordpress"),
    "rust": ("rust", "cargo"),
    "curl": ("curl",),
    "gnutls": ("wget",),
}
_WORDS: Final = re.compile(r"[a-z]+3?")


def families(image: str, command: Sequence[str]) -> tuple[str, ...]:
    """The runtimes that a container's image and command give away; often none, for a name is all there is."""
    name = image.rpartition("@")[0] or image
    words = set(_WORDS.findall(name.rpartition("/")[2].lower()))
    words |= {word for part in command[:3] for word in _WORDS.findall(part.rpartition("/")[2].lower())[:1]}
    return tuple(family for family, hints in _HINTS.items() if words.intersection(hints))


def clients_of(found: Sequence[str]) -> Iterator[Client]:
    """Those of these runtimes."""
    return (client for client in CLIENTS if client.family in found)
