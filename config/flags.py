"""Settings from the command line. They lie over everything else.

Flags: `--listen` and `--mode` (paired in order; one mode goes for all), `--admin`, `--data-dir`, `--profile`,
`--workers`, `--upstream-ca` (adds to what lower layers trust) and `--set key.path=value`, which comes last.
"""

from collections.abc import Mapping, Sequence

from config.errors import Problem
from config.layers import Layer, Value
from config.places import resolve
from config.values import parse_text

type Flags = Mapping[str, Sequence[str]]
"""Flag, with its dashes -> the values it was given, in order."""


def read_flags(flags: Flags, lower: Layer, problems: list[Problem]) -> Layer:
    """The flags as a layer over `lower`. What is wrong with them is added to `problems`."""
    layer = _listeners(flags, lower, problems)
    for flag, path in (("--admin", ("admin", "address")), ("--data-dir", ("data_dir",)), ("--profile", ("profile",))):
        for text in flags.get(flag, ()):
            layer = layer.put(path, text, flag)
    for text in flags.get("--workers", ()):
        layer = layer.put(("workers",), parse_text(text, ("workers",), "--workers", problems), "--workers")
    if trusted := flags.get("--upstream-ca"):
        layer = layer.put(("upstream", "extra_ca"), [*_extra_ca(lower), *trusted], "--upstream-ca")
    for assignment in flags.get("--set", ()):
        layer = _assigned(layer, assignment, problems)
    return layer


def _listeners(flags: Flags, lower: Layer, problems: list[Problem]) -> Layer:
    addresses: Sequence[Value] = flags.get("--listen", ())
    modes = flags.get("--mode", ())
    flag = "--listen" if addresses else "--mode"
    if not addresses and not modes:
        return Layer()
    if not addresses:
        below = lower.tree.get("listeners")
        listeners = below if isinstance(below, list) else []
        addresses = [listener.get("address") for listener in listeners if isinstance(listener, dict)]
    if len(modes) > 1 and len(modes) != len(addresses):
        message = f"is given {len(modes)} times for {len(addresses)} listeners; give it once, or once for each --listen"
        problems.append(Problem("--mode", "listeners", message))
        return Layer()
    pairs = zip(addresses, modes if len(modes) > 1 else [*modes, "regular"][:1] * len(addresses), strict=True)
    values: list[Value] = [
        {"mode": mode} if address is None else {"address": address, "mode": mode} for address, mode in pairs
    ]
    return Layer().put(("listeners",), values, flag)


def _extra_ca(lower: Layer) -> list[Value]:
    upstream = lower.tree.get("upstream")
    below = upstream.get("extra_ca") if isinstance(upstream, dict) else None
    return below if isinstance(below, list) else []


def _assigned(layer: Layer, assignment: str, problems: list[Problem]) -> Layer:
    key, separator, text = assignment.partition("=")
    key = key.strip()
    if not separator or not key or not all(key.split(".")):
        # The text is not repeated: it may be a credential that lost its key.
        problems.append(Problem("--set", "", "must be key.path=value, for example --set cache.ttl_s=600"))
        return layer
    source, path = f"--set {key}", resolve(key.split("."), ".")
    return layer.put(path, parse_text(text, path, source, problems), source)
