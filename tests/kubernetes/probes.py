"""A startup probe, asked from outside the pod as the kubelet asks it."""

import http.client

from proxy.injector.document import Object, section, text
from tests.support.background import LoopThread
from tests.support.netns import Namespace
from tests.support.processes import RunningProcess, wait_until


def probe(check: Object, address: str, outside: Namespace, process: RunningProcess) -> None:
    """Wait until it succeeds; fails when the container ends, or has had its time."""
    wanted = section(check, "httpGet")
    port, path = wanted["port"], text(wanted, "path")
    assert isinstance(port, int), "ports are numbers here"
    failures, period = check["failureThreshold"], check["periodSeconds"]
    assert isinstance(failures, int)
    assert isinstance(period, int)
    thread = LoopThread("kubelet", outside.file)

    def succeeds() -> bool:
        return thread.call(lambda: _answers(address, port, path))

    try:
        wait_until(succeeds, f"{path} on port {port} answers", process=process, deadline_s=failures * period)
    finally:
        thread.close()


def _answers(address: str, port: int, path: str) -> bool:
    connection = http.client.HTTPConnection(address, port, timeout=3)
    try:
        connection.request("GET", path)
        return 200 <= connection.getresponse().status < 400
    except OSError:
        return False
    finally:
        connection.close()
