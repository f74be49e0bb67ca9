"""What follows from what the doctor saw: pure functions from a snapshot to findings.

Rules: a failure means that nothing here is intercepted, or that clients break; a warning, that some are not; a note
is worth knowing. Each says in one line how to mend it. No finding quotes a credential that a proxy's URL may carry.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from ipaddress import ip_address
from urllib.parse import urlsplit

from proxy.cli.machine import Program, Snapshot
from proxy.cli.options import env_command
from proxy.cli.sharing import advice
from proxy.edge.ca import RENEW_BEFORE
from proxy.edge.runtimes import VARIABLES, Kind

_NEW_AUTHORITY = "restart skinflint, which makes a new one; then install that"
_PROVIDED_AUTHORITY = "put a new one into ca_dir (skinflint ca make); until then what it does not permit is tunnelled"
_WANTED_DESCRIPTORS = 4096  # two for each connection, with room for a few thousand clients


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    NOTE = "note"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked."""

    subject: str
    level: Level
    message: str
    fix: str = ""


def check(seen: Snapshot) -> list[Finding]:
    """Every finding, in the order in which they should be mended."""
    clients = (way_to_us, exceptions, trust_variables, programs)
    checks: tuple[Callable[[Snapshot], Iterator[Finding]], ...] = (
        running,
        authority,
        *((shared,) if seen.sharing is not None else clients),  # a shared proxy's clients are elsewhere
        descriptors,
    )
    return [finding for each in checks for finding in each(seen)]


def running(seen: Snapshot) -> Iterator[Finding]:
    """Is there a proxy, and does it answer?"""
    if seen.proxy is None:
        yield Finding("proxy", Level.FAIL, f"none is running with {seen.data_dir}", "skinflint run")
        return
    yield Finding("proxy", Level.OK, f"version {seen.proxy.version} runs as process {seen.proxy.pid}")
    for endpoint in seen.endpoints:
        if endpoint.answers:
            yield Finding("listener", Level.OK, f"{endpoint.address} ({endpoint.mode}) answers")
        else:
            fix = "look at the proxy's log, and for a firewall on loopback"
            yield Finding("listener", Level.FAIL, f"{endpoint.address} ({endpoint.mode}) takes no connection", fix)


def authority(seen: Snapshot) -> Iterator[Finding]:
    """Can the certificate authority sign, and can clients find it?"""
    ca = seen.authority
    if ca is None:
        yield Finding("authority", Level.FAIL, "there is no certificate authority yet", "skinflint ca path")
        return
    if ca.problem or ca.begins is None or ca.ends is None:
        message, _, fix = ca.problem.partition("; run: ")
        yield Finding("authority", Level.FAIL, message, fix or "do what the message says, then start skinflint again")
        return
    if seen.now < ca.begins:
        message = f"this clock says {seen.now:%Y-%m-%d %H:%M} UTC, when the certificate was not yet valid"
        yield Finding("clock", Level.FAIL, message, "set the clock, for example by NTP")
    if ca.ends - seen.now < RENEW_BEFORE:
        fix = _NEW_AUTHORITY if ca.is_ours else _PROVIDED_AUTHORITY
        yield Finding("authority", Level.WARN, f"it ends on {ca.ends:%Y-%m-%d}", fix)
    elif ca.lacking:
        fix = _NEW_AUTHORITY if ca.is_ours else _PROVIDED_AUTHORITY
        yield Finding("authority", Level.WARN, f"it may not sign for {', '.join(ca.lacking)}", fix)
    else:
        yield Finding("authority", Level.OK, f"valid until {ca.ends:%Y-%m-%d}")
    if not ca.is_in_bundle:
        yield Finding("trust files", Level.FAIL, f"{seen.trust.bundle} lacks our root", "restart skinflint")
    elif ca.bundle_roots < 2:
        fix = "install ca-certificates, then restart skinflint"
        yield Finding("trust files", Level.WARN, f"{seen.trust.bundle} has our root alone: other hosts will fail", fix)
    elif not ca.has_truststore:
        yield Finding("trust files", Level.WARN, f"{seen.trust.truststore} is missing", "restart skinflint")
    else:
        yield Finding("trust files", Level.OK, f"{seen.trust.bundle} has our root and {ca.bundle_roots - 1} others")


def shared(seen: Snapshot) -> Iterator[Finding]:
    """Who may use a proxy that the network reaches, and for what?"""
    if seen.sharing is not None:
        for is_good, message, fix in advice(seen.sharing):
            yield Finding("gateway", Level.OK if is_good else Level.NOTE, message, fix)


def way_to_us(seen: Snapshot) -> Iterator[Finding]:
    """Does anything lead clients here: variables, names or the firewall?"""
    named = {
        host: seen.hosts_file[host]
        for host in seen.provider_hosts
        if host in seen.hosts_file and _is_loopback(seen.hosts_file[host])
    }
    if named:
        if "hosts" in seen.modes:
            yield Finding("way", Level.OK, f"/etc/hosts leads {len(named)} provider hosts here")
        else:
            fix = "add a listener in hosts mode on port 443, or remove the lines"
            yield Finding(
                "way", Level.FAIL, f"/etc/hosts leads {_some(named)} to loopback; no listener expects it", fix
            )
    if "transparent" in seen.modes:
        yield _redirect(seen)
    elif seen.redirects:
        yield Finding("way", Level.NOTE, "the firewall redirects port 443, though no listener is transparent")
    if "regular" in seen.modes:
        yield from _variables_that_lead_here(seen, is_needed=not named and not seen.redirects)


def _redirect(seen: Snapshot) -> Finding:
    if seen.redirects is None:
        return Finding("way", Level.NOTE, "the firewall's rules cannot be read", "run the doctor as root to check them")
    if seen.redirects:
        return Finding("way", Level.OK, "the firewall redirects port 443")
    return Finding("way", Level.FAIL, "no rule of the firewall redirects port 443", "see the guide to redirect mode")


def _use(seen: Snapshot) -> str:
    return f"{env_command(seen.data_dir, seen.environ.get('HOME'))}, or start the program with `skinflint exec --`"


def _variables_that_lead_here(seen: Snapshot, *, is_needed: bool) -> Iterator[Finding]:
    ours = seen.proxy.proxy_url if seen.proxy else None
    for name in ("HTTPS_PROXY", "https_proxy"):
        value = seen.environ.get(name, "")
        if not value:
            level = Level.FAIL if is_needed and name == "HTTPS_PROXY" else Level.NOTE
            yield Finding("way", level, f"{name} is not set", _use(seen))
        elif ours and _address(value) != _address(ours):
            message = f"{name} leads to {_address(value)}, not to the running proxy"
            fix = f"{_use(seen)}; a corporate proxy belongs into the setting upstream.proxy"
            yield Finding("way", Level.FAIL if is_needed else Level.WARN, message, fix)
        else:
            yield Finding("way", Level.OK, f"{name} leads here")


def exceptions(seen: Snapshot) -> Iterator[Finding]:
    """Does NO_PROXY keep calls to providers away from us?"""
    for name in ("NO_PROXY", "no_proxy"):
        entries = [entry for entry in seen.environ.get(name, "").replace(",", " ").split() if entry]
        for entry in entries:
            hosts = [host for host in seen.provider_hosts if not _is_local(host) and excepts(entry, host)]
            if hosts:
                message = f"{entry!r} in {name} keeps {_some(hosts)} from the proxy"
                yield Finding(
                    "exceptions", Level.FAIL if entry == "*" else Level.WARN, message, f"remove it from {name}"
                )


def excepts(entry: str, host: str) -> bool:
    """Whether an entry of NO_PROXY covers a provider host or pattern, by the widest reading that clients have."""
    name = entry.lower().removeprefix("*").removeprefix(".")
    if not name:
        return True
    return host == name or host.endswith("." + name) or ("*" in host and fnmatchcase(name, host))


def trust_variables(seen: Snapshot) -> Iterator[Finding]:
    """Do the variables that name roots name a file that has ours?"""
    named = [variable.name for variable in VARIABLES if variable.kind in (Kind.BUNDLE, Kind.ROOT)]
    unset = [name for name in named if not seen.environ.get(name)]
    wrong = [name for name in named if name not in unset and name not in seen.trusting]
    if wrong:
        yield Finding("trust", Level.WARN, f"these name files without our root: {', '.join(wrong)}", _use(seen))
    if unset:
        yield Finding("trust", Level.NOTE, f"not set: {', '.join(unset)}", _use(seen))
    if not wrong and not unset:
        yield Finding("trust", Level.OK, "every variable that names roots leads to ours")


def programs(seen: Snapshot) -> Iterator[Finding]:
    """What does each runtime that is installed need here?"""
    by_variables = "regular" in seen.modes and not (seen.modes & {"hosts", "transparent"})
    for program in seen.programs:
        needed = [need for need in _needs(program, by_variables) if _lacks(seen, need)]
        version = ".".join(map(str, program.version)) or "of unknown version"
        if needed:
            yield Finding("runtime", Level.WARN, f"{program.name} {version} needs {' and '.join(needed)}", _use(seen))
        elif program.name == "python3" and by_variables:
            message = f"{program.name} {version}: aiohttp (without trust_env) and urllib3 ignore HTTPS_PROXY"
            yield Finding("runtime", Level.NOTE, message, "for programs that use them: hosts mode or redirect mode")
        else:
            yield Finding("runtime", Level.OK, f"{program.name} {version} has what it needs")


def _needs(program: Program, by_variables: bool) -> Sequence[str]:
    """The variables without which this runtime does not come here or does not trust us."""
    proxy = ("HTTPS_PROXY",) if by_variables else ()
    match program.name:
        case "node":
            switch = "NODE_USE_ENV_PROXY" if _reads_proxy_variables(program.version) else "NODE_OPTIONS"
            return (*proxy, *((switch,) if by_variables else ()), "NODE_EXTRA_CA_CERTS")
        case "java":
            return ("JAVA_TOOL_OPTIONS",)
        case "ruby":
            return (*(("http_proxy",) if by_variables else ()), "SSL_CERT_FILE")
        case "php":
            return (*proxy, "PHP_INI_SCAN_DIR")
        case "deno":
            return (*proxy, "DENO_CERT")
        case "bun":
            return (*proxy, "NODE_EXTRA_CA_CERTS")
        case "python3":
            return (*proxy, "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
        case _:
            return (*proxy, "SSL_CERT_FILE")


def _reads_proxy_variables(node: tuple[int, ...]) -> bool:
    return node >= (24, 5) or (22, 21) <= node < (23,)


def _lacks(seen: Snapshot, name: str) -> bool:
    value = seen.environ.get(name, "")
    match name:
        case "JAVA_TOOL_OPTIONS":
            return "javax.net.ssl.trustStore=" not in value
        case "NODE_OPTIONS":
            return str(seen.trust.node_preload) not in value
        case "PHP_INI_SCAN_DIR":
            return str(seen.trust.php_folder) not in value.split(":")
        case "HTTPS_PROXY" | "http_proxy" | "NODE_USE_ENV_PROXY":
            return not value
    return name not in seen.trusting


def descriptors(seen: Snapshot) -> Iterator[Finding]:
    """May a process here open as many files as connections need?"""
    if 0 <= seen.max_descriptors < _WANTED_DESCRIPTORS:
        message = f"a process may open {seen.max_descriptors} files only"
        yield Finding("limits", Level.WARN, message, f"ulimit -n {_WANTED_DESCRIPTORS}, before starting skinflint")
    else:
        yield Finding("limits", Level.OK, "enough file descriptors")


def _address(url: str) -> str:
    """Host and port of a proxy's URL, without the credentials it may carry."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port or 80
    except ValueError:
        return "an address that cannot be read"
    return f"{'127.0.0.1' if parts.hostname == 'localhost' else parts.hostname}:{port}"


def _is_local(host: str) -> bool:
    """Loopback is always excepted: a program's own services are there, and so are we."""
    return host == "localhost" or _is_loopback(host)


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def _some(names: Sequence[str] | dict[str, str]) -> str:
    listed = list(names)
    return ", ".join(listed[:3]) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "")
