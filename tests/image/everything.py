"""Run in the image: imports every module of Skinflint, and loads every shared object. Prints what could not be."""

import ctypes
import importlib
import pkgutil
import sys
from pathlib import Path

from proxy import standins

standins.keep_out()

# They ask for SDKs of providers, or to be run by Alembic.
_ELSEWHERE = ("proxy.__main__", "proxy.demo.clients", "proxy.ledger.migrations.env")

# Stand-ins that become real in some mode of interception: whoever asks for more of them gets all of it.
for name, more in (("mitmproxy_rs", "dns"), ("mitmproxy.http", "Headers"), ("mitmproxy.options", "CONF_DIR")):
    getattr(importlib.import_module(name), more)

for name in ("proxy", "addons", "config"):
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, f"{name}."):
        if module.name not in _ELSEWHERE:
            try:
                importlib.import_module(module.name)
            except Exception as error:
                print(module.name, repr(error))
for place in {Path(entry) for entry in sys.path if entry.startswith("/")}:
    for path in place.rglob("*.so*"):
        try:
            ctypes.CDLL(str(path))
        except OSError as error:
            print(path, error)
