"""The client side; the only folder that imports mitmproxy.

Of mitmproxy's thirty addons one is used. Its package `mitmproxy.addons` imports them all, a web application with its
framework included: 16 MB and 0.15 s in every sidecar. So the package is put in place here without its `__init__`, and
the one module that is needed is found in it as usual.
"""

import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec


def _skip_addon_imports() -> None:
    if "mitmproxy.addons" in sys.modules:
        return
    found = find_spec("mitmproxy.addons")
    if found is None or found.submodule_search_locations is None:
        return
    bare = ModuleSpec("mitmproxy.addons", loader=None, is_package=True)
    bare.submodule_search_locations = found.submodule_search_locations
    sys.modules["mitmproxy.addons"] = module_from_spec(bare)


_skip_addon_imports()
