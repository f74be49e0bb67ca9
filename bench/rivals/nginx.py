"""nginx: proxy_cache of POST keyed on the body, proxy_pass, or a fixed answer, each over TLS.

Rules: nginx has no CONNECT, so that clients speak TLS straight to it: an easier task than a proxy's. One worker,
HTTP/1.1 over TLS to the upstream with kept connections, no access log.
"""

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Final

from bench.contestants import Upstream, free_ports, listens
from bench.rivals.base import SYSTEM_PATH, Launch, Rival, Work
from bench.target import Target
from bench.work import HOST, answer

_BASE: Final = """daemon off;
{user}
worker_processes 1;
pid {directory}/pid;
error_log {directory}/log;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  client_body_temp_path {directory}/bodies;
  proxy_temp_path {directory}/answers;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  proxy_cache_path {directory}/cache keys_zone=answers:16m max_size=1g inactive=1h;
  keepalive_requests 1000000000;
  client_body_buffer_size 2m;
  client_max_body_size 64m;
  default_type application/json;
  upstream provider {{
    server 127.0.0.1:{upstream};
    keepalive 1024;
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{port} ssl backlog=4096;
    ssl_certificate {cert};
    ssl_certificate_key {key};
    location / {{
{location}
    }}
  }}
}}
"""
_PASS: Final = f"""      proxy_pass https://provider;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host {HOST};
      proxy_ssl_server_name on;
      proxy_ssl_name {HOST};
      proxy_ssl_verify on;
      proxy_ssl_trusted_certificate {{ca}};
"""
_CACHE: Final = """      proxy_cache answers;
      proxy_cache_methods POST;
      proxy_cache_valid 200 1h;
      proxy_cache_key "$request_uri|$http_authorization|$request_body";
"""
_STREAM: Final = "      proxy_buffering off;\n"


class Nginx(Rival):
    """See the module."""

    death_signal = signal.SIGTERM  # its master ends its workers

    def __init__(self, work: Work, *, name: str = "nginx", is_static: bool = False) -> None:
        """`is_static`: a fixed answer to every call, and no upstream."""
        super().__init__(name, work)
        self._is_static = is_static

    def why_missing(self) -> str | None:
        return None if _program() else "not installed (Debian's package nginx-light)"

    def launch(self, upstream: Upstream, directory: Path) -> Launch:
        (port,) = free_ports(1)
        certificates = upstream.certificates
        text = _BASE.format(
            directory=directory,
            user="user root;" if os.geteuid() == 0 else "",  # or its worker could not enter our directories
            upstream=upstream.port,
            port=port,
            cert=certificates.cert,
            key=certificates.key,
            location=self._location(certificates.ca),
        )
        path = directory / "nginx.conf"
        path.write_text(text)
        target = Target(("127.0.0.1", port), is_proxy=False, ca=certificates.ca, pid=None)
        command = (_program() or "nginx", "-e", str(directory / "log"), "-c", str(path))
        return Launch(command, target, lambda: listens(port))

    def _location(self, ca: Path) -> str:
        if self._is_static:
            return f"      return 200 '{answer(0).decode()}';"
        extra = {"hit": _CACHE, "forward": "", "stream": _STREAM}[self.work]
        return _PASS.format(ca=ca) + extra


def _program() -> str | None:
    return shutil.which("nginx", path=SYSTEM_PATH)


def version() -> str | None:
    """`nginx 1.22.1`, or None without nginx."""
    if (program := _program()) is None:
        return None
    said = subprocess.run([program, "-v"], check=False, capture_output=True, text=True).stderr
    return f"nginx {said.rpartition('/')[2].strip()}"
