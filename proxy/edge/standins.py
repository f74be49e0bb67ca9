"""Keeps out of the process what mitmproxy imports and a sidecar never uses.

mitmproxy's connection handler imports each protocol that mitmproxy speaks, and its options bring a second YAML
library: QUIC, HTTP, WebSockets and DNS cost 12 MB and a third of every start. Of the modules named here only a few
names are ever touched, so that they are stood in for by empty modules that have those names.

Rules: a stand-in is put in place only where nothing has imported the real module yet; a package's modules are imported
when they are named; whoever asks for any other name gets the real module, which then takes the stand-in's place.
mitmproxy itself is not changed.
"""

import sys
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Final

# Packages whose `__init__` imports all that is in them; their modules are found as usual.
_PACKAGES: Final = ("mitmproxy.proxy.layers",)

# Modules, and the names that are imported from them for annotations alone.
_MODULES: Final[dict[str, tuple[str, ...]]] = {
    "mitmproxy.http": (),
    "mitmproxy.options": ("Options",),
    "mitmproxy.proxy.layers.http": ("HTTPMode",),
}


def keep_out() -> None:
    """Put the stand-ins in place. To be called before anything of mitmproxy is imported."""
    for name in _PACKAGES:
        if name not in sys.modules and (found := find_spec(name)) is not None:
            spec = ModuleSpec(name, loader=None, is_package=True)
            spec.submodule_search_locations = found.submodule_search_locations
            _put(module_from_spec(spec))
    for name, members in _MODULES.items():
        if name not in sys.modules:
            module = ModuleType(name, "A stand-in: see proxy/edge/standins.py")
            for member in members:
                setattr(module, member, type(member, (), {}))
            _put(module)


def _put(module: ModuleType) -> None:
    def real(name: str) -> object:
        if name.startswith("__"):  # the import system looks for some: they are no reason to load anything
            raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
        if module.__spec__ is not None and find_spec(f"{module.__name__}.{name}") is not None:
            return import_module(f"{module.__name__}.{name}")
        if sys.modules.get(module.__name__) is module:
            del sys.modules[module.__name__]
        return getattr(import_module(module.__name__), name)

    module.__dict__["__getattr__"] = real
    sys.modules[module.__name__] = module
    parent, _, own = module.__name__.rpartition(".")
    setattr(import_module(parent), own, module)
