"""Sets of defaults for a way of use. They lie just above the schema's own defaults.

`production` changes nothing: the schema's defaults are the careful ones. `development` answers every repeated call
again, also those whose sampling would vary: while an application is written, the same prompt is sent many times.
"""

from config.layers import Layer
from config.schema import Profile


def profile_layer(profile: Profile) -> Layer:
    """What the profile sets."""
    match profile:
        case "production":
            return Layer()
        case "development":
            return Layer().put(("cache", "sampling"), "any", "profile development")
