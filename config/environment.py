"""Settings from the environment: `SKINFLINT_CACHE__SAMPLING=any` is `cache.sampling: any`.

Rules: two underscores go one level down; names are lower-cased; an empty variable says nothing. SKINFLINT_CONFIG names
the configuration file and is no setting. Kubernetes puts variables into every pod for the services beside it
(SKINFLINT_SERVICE_HOST, SKINFLINT_PORT=tcp://...): they are known by their form and passed over.
"""

import re
from collections.abc import Mapping
from typing import Final

from config.errors import Problem
from config.layers import Layer
from config.places import resolve
from config.values import parse_text

PREFIX: Final = "SKINFLINT_"
CONFIG_VARIABLE: Final = "SKINFLINT_CONFIG"

_SERVICE = re.compile(
    r"(?:_SERVICE_(?:HOST|PORT(?:_[A-Z0-9_]+)?)|_PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)$"
)
_SERVICE_URL = re.compile(r"(?:tcp|udp|sctp)://")


def read_environment(environ: Mapping[str, str], problems: list[Problem]) -> Layer:
    """The environment as a layer. What is wrong with it is added to `problems`."""
    layer = Layer()
    # Shorter names first: SKINFLINT_CACHE={...} is the ground that SKINFLINT_CACHE__TTL_S refines.
    for name in sorted(environ, key=lambda name: (name.count("__"), name)):
        text = environ[name]
        if name.startswith(PREFIX) and name != CONFIG_VARIABLE and text.strip() and not _is_service(name, text):
            path = resolve(name.removeprefix(PREFIX).lower().split("__"), "__")
            layer = layer.put(path, parse_text(text, path, f"${name}", problems), f"${name}")
    return layer


def variable_name(key: str) -> str:
    """The variable of a dotted key."""
    return PREFIX + key.replace(".", "__").upper()


def _is_service(name: str, text: str) -> bool:
    if _SERVICE.search(name):
        return True
    return name.endswith("_PORT") and _SERVICE_URL.match(text) is not None
