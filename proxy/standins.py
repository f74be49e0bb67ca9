"""Keeps out of the process what libraries import and a sidecar never uses.

mitmproxy's connection handler imports each protocol that mitmproxy speaks, its options a second YAML library, aiohttp's
server its client, Prometheus' registry the standard library's web server, and structlog the whole of Rich. That is
30 MB and half of every start. So packages are put in place without running their `__init__`, and modules of which only
some names are touched, in annotations and comparisons, are stood in for by empty ones that have those names.

Rules: nothing is stood in for that has been imported already; a package's modules are imported when they are named;
asking a stand-in for any other name runs the real module in it. The libraries themselves are not changed.
"""

import sys
from importlib import import_module, metadata
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec
from types import ModuleType, SimpleNamespace
from typing import Final

# Packages whose `__init__` imports all that is in them.
_PACKAGES: Final = ("aiohttp", "mitmproxy.proxy.layers", "prometheus_client")

# Modules, and the names in them that are mentioned but not used.
_MODULES: Final[dict[str, tuple[str, ...]]] = {
    "mitmproxy.http": (),
    "mitmproxy.options": ("Options",),
    "mitmproxy.proxy.layers.http": ("HTTPMode",),
    # Its listeners for UDP and for WireGuard: ours are asked whether they are such.
    "mitmproxy_rs": ("Stream", "udp.UdpServer", "wireguard.WireGuardServer"),
}

# Libraries, and what they do without where it is not installed.
_OPTIONAL: Final = {"structlog": "rich"}


def keep_out() -> None:
    """Put the stand-ins in place. To be called before any of these libraries is imported."""
    for name in (*_PACKAGES, *_MODULES):
        if name not in sys.modules and (spec := find_spec(name)) is not None:
            _stand_in(spec, _MODULES.get(name, ()))
    for library, optional in _OPTIONAL.items():
        if library not in sys.modules and optional not in sys.modules:
            sys.modules[optional] = None  # type: ignore[assignment]  # the import system's word for "not installed"
            import_module(library)
            del sys.modules[optional]


def _stand_in(spec: ModuleSpec, members: tuple[str, ...]) -> None:
    name, places = spec.name, spec.submodule_search_locations
    bare = ModuleSpec(name, loader=None, is_package=places is not None)
    bare.submodule_search_locations = places
    module = module_from_spec(bare)
    for member in members:
        space, _, own = member.rpartition(".")
        holder = module.__dict__.setdefault(space, SimpleNamespace()) if space else module
        setattr(holder, own, type(own, (), {}))

    def missing(wanted: str) -> object:
        if wanted == "__version__":
            return metadata.version(name)
        if wanted.startswith("__"):  # the import system looks for some: they are no reason to load anything
            raise AttributeError(f"module {name!r} has no attribute {wanted!r}")
        if places is not None and find_spec(f"{name}.{wanted}") is not None:
            return import_module(f"{name}.{wanted}")
        _become_real(module, spec)
        return getattr(module, wanted)

    module.__dict__["__getattr__"] = missing
    sys.modules[name] = module
    parent, _, own = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], own, module)


def _become_real(module: ModuleType, spec: ModuleSpec) -> None:
    del module.__dict__["__getattr__"]
    module.__spec__, module.__loader__, module.__file__ = spec, spec.loader, spec.origin
    assert spec.loader is not None
    spec.loader.exec_module(module)
