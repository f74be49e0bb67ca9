"""Applies a pod as the kubelet would, in network namespaces of this machine: `with applied(pod, node) as running:`.

Rules: nothing is done for the pod but what its document says. Sysctls first, then init containers in order: ordinary
ones run to their end, native sidecars (restartPolicy Always) start and are waited for by their startup probe; then the
containers. The end comes in reverse, so sidecars go last. Not played: seccomp, process namespaces, limits of resources.
"""

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from proxy.injector.document import Object, elements, section, sections, text, texts
from tests.kubernetes.identity import setpriv
from tests.kubernetes.network import Network
from tests.kubernetes.probes import probe
from tests.kubernetes.rootfs import Image, script
from tests.kubernetes.variables import expanded, variables
from tests.kubernetes.volumes import ConfigMaps, Secrets, volumes
from tests.support.processes import RunningProcess, running, wait_until

_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/tmp"}
_RUN_S = 60.0
_MOST_OUTPUT = 4000


@dataclass(frozen=True, slots=True)
class Node:
    """Where pods are applied. Config maps and secrets are those of the pod's namespace."""

    network: Network
    images: Mapping[str, Image]
    directory: Path
    config_maps: ConfigMaps = field(default_factory=dict)
    secrets: Secrets = field(default_factory=dict)


class RunningPod:
    """A pod whose containers run. Containers are named; the sidecar is one of them."""

    def __init__(self, pod: Object, node: Node, mounted: Mapping[str, Path]) -> None:
        self.pod = pod
        self.network = node.network
        self._node = node
        self._volumes = mounted
        self._processes: dict[str, contextlib.AbstractContextManager[RunningProcess]] = {}
        self._running: dict[str, RunningProcess] = {}
        self._etc = node.directory / "etc"

    def volume(self, name: str) -> Path:
        """What containers mount under this volume's name."""
        return self._volumes[name]

    def container(self, name: str) -> Object:
        """A container's part of the document."""
        spec = section(self.pod, "spec")
        every = [*sections(spec, "initContainers"), *sections(spec, "containers")]
        return next(each for each in every if text(each, "name") == name)

    def process(self, name: str) -> RunningProcess:
        """The main process of a container that runs."""
        return self._running[name]

    def environment(self, name: str) -> dict[str, str]:
        """The variables of a container's processes."""
        image_and_kubelet = {**_ENVIRONMENT, "HOSTNAME": text(section(self.pod, "metadata"), "name")}
        return image_and_kubelet | variables(self.container(name), self.pod, self._node.secrets)

    def inside(self, name: str, *command: str) -> list[str]:
        """The command line of one more process in a container that runs, as `kubectl exec` makes it."""
        main = self.process(name).popen.pid
        enter = ["nsenter", f"--target={main}", "--net", "--mount", "chroot", f"/proc/{main}/root"]
        return [*enter, *setpriv(self.container(name), self.pod), *command]

    def exec(
        self, name: str, *command: str, text_in: str = "", environ: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run it there to its end. `environ`: instead of the container's variables."""
        return subprocess.run(
            self.inside(name, *command),
            env=self.environment(name) if environ is None else {**_ENVIRONMENT, **environ},
            input=text_in,
            capture_output=True,
            check=False,
            text=True,
            timeout=_RUN_S,
        )

    def run_to_end(self, name: str) -> None:
        """Run an ordinary init container."""
        with self._started(name) as process:
            wait_until(lambda: not process.is_running(), f"init container {name} ends", process=None)
            status = process.popen.returncode
            assert status == 0, f"init container {name} ended with {status}:\n{process.output[-_MOST_OUTPUT:]}"

    def start(self, name: str) -> None:
        """Start a container, and wait for its startup probe if it has one."""
        started = self._started(name)
        process = started.__enter__()
        self._processes[name], self._running[name] = started, process
        wait_until(lambda: _is_in_its_root(process), f"{name} is in its own root", process=process)
        if check := section(self.container(name), "startupProbe"):
            probe(check, self.network.pod_address, self.network.internet, process)

    def stop(self, name: str) -> int:
        """SIGTERM; returns the exit status."""
        status = self._running.pop(name).stop()
        self._processes.pop(name).__exit__(None, None, None)
        return status

    def stop_all(self) -> None:
        """In reverse: sidecars last."""
        spec = section(self.pod, "spec")
        every = [*sections(spec, "initContainers"), *sections(spec, "containers")]
        for each in reversed(every):
            if text(each, "name") in self._running:
                self.stop(text(each, "name"))

    def _started(self, name: str) -> contextlib.AbstractContextManager[RunningProcess]:
        container, environ = self.container(name), self.environment(name)
        image = self._node.images[text(container, "image")]
        entry = texts(container, "command") or list(image.entry)
        arguments = elements(container, "args")
        command = [expanded(str(each), environ) for each in (*entry, *arguments)]
        return running(self._contained(name, image, command), self._node.directory / name, environ)

    def _contained(self, name: str, image: Image, command: Sequence[str]) -> list[str]:
        """All of it replaces itself, so that the process that is started is the container's own in the end."""
        root = Path(tempfile.mkdtemp(prefix=f"{name}-root-", dir=self._node.directory))
        container = self.container(name)
        made = script(root, image, container, self._volumes, self._etc)
        become = [*setpriv(container, self.pod), *command]
        enter = ["nsenter", f"--net={self.network.pod.file}", "unshare", "--mount", "--propagation=private"]
        return [*enter, "sh", "-c", f'{made}\nexec chroot "$@"', "sh", str(root), *become]


@contextlib.contextmanager
def applied(pod: Object, node: Node) -> Iterator[RunningPod]:
    """The pod, until the block is left."""
    spec = section(pod, "spec")
    _write_etc(node.directory / "etc", pod, node.network)
    for each in sections(section(spec, "securityContext"), "sysctls"):
        path = "/proc/sys/" + text(each, "name").replace(".", "/")
        node.network.pod.run("sh", "-c", 'printf %s "$1" > "$2"', "sh", text(each, "value"), path)
    with volumes(pod, node.directory / "volumes", node.config_maps, node.secrets) as mounted:
        made = RunningPod(pod, node, mounted)
        try:
            for each in sections(spec, "initContainers"):
                name = text(each, "name")
                made.start(name) if text(each, "restartPolicy") == "Always" else made.run_to_end(name)
            for each in sections(spec, "containers"):
                made.start(text(each, "name"))
            yield made
        finally:
            made.stop_all()


def _write_etc(folder: Path, pod: Object, network: Network) -> None:
    """The files that the kubelet writes for all containers of a pod."""
    folder.mkdir(parents=True)
    name = text(section(pod, "metadata"), "name")
    aliases = [
        f"{text(each, 'ip')}\t{'\t'.join(texts(each, 'hostnames'))}"
        for each in sections(section(pod, "spec"), "hostAliases")
    ]
    lines = [
        "127.0.0.1\tlocalhost",
        "::1\tlocalhost ip6-localhost ip6-loopback",
        f"{network.pod_address}\t{name}",
        *aliases,
    ]
    (folder / "hosts").write_text("\n".join(lines) + "\n")
    (folder / "hostname").write_text(f"{name}\n")
    (folder / "resolv.conf").write_text(f"nameserver {network.nameserver}\noptions ndots:5\n")


def _is_in_its_root(process: RunningProcess) -> bool:
    """Before that it still makes it."""
    try:
        return Path(f"/proc/{process.popen.pid}/root").readlink() != Path("/")
    except FileNotFoundError:
        return False
