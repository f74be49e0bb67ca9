"""Sets of defaults for a way of use. They lie just above the schema's own defaults.

`production` changes nothing: the schema's defaults are the careful ones. `development` answers every repeated call
again, also those whose sampling would vary: while an application is written, the same prompt is sent many times.
`gateway` is for a proxy that many share: it listens for the network, lends its place in it for providers only, and
takes its time to end, since it stands behind a balancer.
"""

from typing import Final

from config.gateway import PROVIDERS
from config.layers import Layer, Value
from config.schema import Profile

_EVERYWHERE: Final[Value] = [{"address": "0.0.0.0:3128"}]


def profile_layer(profile: Profile) -> Layer:
    """What the profile sets."""
    match profile:
        case "production":
            return Layer()
        case "development":
            return Layer().put(("cache", "sampling"), "any", "profile development")
        case "gateway":
            layer = Layer().put(("listeners",), _EVERYWHERE, "profile gateway")
            layer = layer.put(("destinations", "allow"), [PROVIDERS], "profile gateway")
            layer = layer.put(("destinations", "private"), False, "profile gateway")
            layer = layer.put(("drain", "linger_s"), 5.0, "profile gateway")
            layer = layer.put(("drain", "idle_s"), 10.0, "profile gateway")
            return layer.put(("attribution", "call_metric_labels"), ["tenant"], "profile gateway")
