"""What the doctor looks at: one snapshot of this machine as a client here would find it.

Rules: this file does all the looking and none of the judging. It changes nothing, asks for no privileges, connects
only to our own listeners, and waits for none of them longer than a second.
"""

import re
import resource
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from config.schema import Settings, split_address
from proxy import descriptors, runtime
from proxy.cli.sharing import Sharing, sharing_of
from proxy.edge.ca import CaError, CertificateAuthority, load
from proxy.edge.constraints import Permitted
from proxy.edge.provided_ca import load_provided
from proxy.edge.runtimes import Kind, describe
from proxy.edge.trust import TrustFiles, certificates
from proxy.identity import OWN_FOLDER, public_directory
from proxy.runtime import Runtime

_PATIENCE_S = 1.0
_PROGRAMS: Mapping[str, tuple[str, ...]] = {
    "python3": ("--version",),
    "node": ("--version",),
    "java": ("-version",),
    "go": ("version",),
    "ruby": ("--version",),
    "php": ("--version",),
    "deno": ("--version",),
    "bun": ("--version",),
    "curl": ("--version",),
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One of the proxy's addresses, and whether it took a connection."""

    mode: str  # as the setting has it, or `admin`
    address: str
    answers: bool


@dataclass(frozen=True, slots=True)
class Program:
    """A runtime found on PATH. `version` is empty when it would not say."""

    name: str
    version: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Authority:
    """The certificate authority on disk. `problem` says why it cannot be used; then the rest says nothing."""

    problem: str = ""
    begins: datetime | None = None
    ends: datetime | None = None
    lacking: tuple[str, ...] = ()
    is_in_bundle: bool = False
    bundle_roots: int = 0
    has_truststore: bool = False
    is_ours: bool = True  # else it was given to us, in `ca_dir`


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that the checks judge."""

    now: datetime
    environ: Mapping[str, str]
    provider_hosts: Sequence[str]
    modes: frozenset[str]  # of the configured listeners
    data_dir: Path
    trust: TrustFiles
    proxy: Runtime | None
    endpoints: Sequence[Endpoint]
    authority: Authority | None  # None: not made yet
    trusting: frozenset[str]  # the variables whose file has our root
    programs: Sequence[Program]
    hosts_file: Mapping[str, str]  # name -> address
    redirects: bool | None  # None: the rules cannot be read
    max_descriptors: int
    sharing: Sharing | None = None  # None: it is for this machine alone


def look(settings: Settings, provider_hosts: Sequence[str], environ: Mapping[str, str], now: datetime) -> Snapshot:
    """Look at everything once."""
    running = runtime.read(settings.data_dir)
    listeners = (
        [(listener.mode, listener.address) for listener in running.listeners]
        if running
        else [(listener.mode, listener.address) for listener in settings.listeners]
    )
    admin = running.admin if running else settings.admin.address
    trust = (
        TrustFiles(running.ca, running.bundle, running.truststore)
        if running
        else TrustFiles.in_directory(public_directory(settings))
    )
    return Snapshot(
        now=now,
        environ=environ,
        provider_hosts=provider_hosts,
        modes=frozenset(mode for mode, _ in listeners),
        data_dir=settings.data_dir,
        trust=trust,
        proxy=running,
        endpoints=[Endpoint(mode, address, answers(address)) for mode, address in [*listeners, ("admin", admin)]],
        authority=_authority(settings, trust, provider_hosts),
        trusting=frozenset(_trusting(trust, environ)),
        programs=[found for name, ask in _PROGRAMS.items() if (found := _program(name, ask, environ))],
        hosts_file=parse_hosts(_text(Path("/etc/hosts"))),
        redirects=_redirects(),
        max_descriptors=descriptors.raised(*resource.getrlimit(resource.RLIMIT_NOFILE)),  # as `run` does
        sharing=sharing_of(settings),
    )


def answers(address: str) -> bool:
    """Whether something takes connections there."""
    host, port = split_address(runtime.reachable(address))
    if port == 0:
        return False
    try:
        with socket.create_connection((host, port), timeout=_PATIENCE_S):
            return True
    except OSError:
        return False


def parse_hosts(text: str) -> dict[str, str]:
    """A hosts file as name -> address; the first entry of a name wins, as in resolvers."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        for name in names:
            found.setdefault(name.lower(), address)
    return found


def parse_version(text: str) -> tuple[int, ...]:
    """The first version number in what a program says of itself; empty without one."""
    text = "\n".join(line for line in text.splitlines() if not line.startswith("Picked up "))  # a JVM's options
    found = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(part) for part in found.groups() if part is not None) if found else ()


def _authority(settings: Settings, trust: TrustFiles, hosts: Sequence[str]) -> Authority | None:
    directory = settings.data_dir / OWN_FOLDER
    if settings.ca_dir is None and not directory.exists():
        return None
    try:
        authority = load(directory) if settings.ca_dir is None else load_provided(settings.ca_dir, datetime.now(UTC))
        lacking = authority.permitted.lacking(Permitted.of_hosts(hosts))
    except (CaError, OSError, ValueError) as exc:
        return Authority(problem=str(exc))
    return _trusted(authority, trust, tuple(lacking))


def _trusted(authority: CertificateAuthority, trust: TrustFiles, lacking: tuple[str, ...]) -> Authority:
    roots = certificates(_text(trust.bundle).encode())
    return Authority(
        begins=max(authority.root.not_valid_before_utc, authority.intermediate.not_valid_before_utc),
        ends=min(authority.root.not_valid_after_utc, authority.intermediate.not_valid_after_utc),
        lacking=lacking,
        is_in_bundle=certificates(authority.root_pem)[0] in roots,
        bundle_roots=len(roots),
        has_truststore=trust.truststore.is_file(),
        is_ours=authority.is_ours,
    )


def _trusting(trust: TrustFiles, environ: Mapping[str, str]) -> Iterator[str]:
    ours = certificates(_text(trust.ca).encode())
    for variable in describe():
        if variable.kind in (Kind.BUNDLE, Kind.ROOT) and (value := environ.get(variable.name)):
            roots = certificates(_text(Path(value)).encode())
            if ours and ours[0] in roots:
                yield variable.name


def _program(name: str, ask: tuple[str, ...], environ: Mapping[str, str]) -> Program | None:
    path = shutil.which(name, path=environ.get("PATH"))
    return Program(name, parse_version(_said([path, *ask]) or "")) if path else None


def _redirects() -> bool | None:
    """Whether a rule of the firewall redirects port 443. None when no rules can be read."""
    readers = (("nft", "list", "ruleset"), ("iptables-save", "-t", "nat"))
    found = [(shutil.which(name), arguments) for name, *arguments in readers]
    rules = [_said([path, *arguments]) for path, arguments in found if path]
    readable = [text for text in rules if text is not None]
    return any(redirects_https(text) for text in readable) if readable else None


def redirects_https(rules: str) -> bool:
    """Whether one of the rules, as nft or iptables-save prints them, redirects port 443."""
    lines = rules.lower().splitlines()
    return any(re.search(r"\b(443|https)\b", line) and re.search(r"\bredirect\b", line) for line in lines)


def _said(command: list[str]) -> str | None:
    """What a program prints, on either stream; None when it fails. A JVM prints its version on standard error."""
    try:
        done = subprocess.run(command, capture_output=True, timeout=10, check=False, stdin=subprocess.DEVNULL)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return None
    return (done.stdout + done.stderr).decode(errors="replace") if done.returncode == 0 else None


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
