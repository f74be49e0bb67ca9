"""What every dialect takes from its entry alone: under which names it stands in figures, and in lists of prices."""

from proxy.providers.entry import ProviderEntry


class Named:
    """The beginning of a dialect."""

    def __init__(self, entry: ProviderEntry) -> None:
        self._entry = entry

    @property
    def name(self) -> str:
        """The entry's name."""
        return self._entry.name

    @property
    def price_id(self) -> str:
        """Under which name its prices are found; without one in the bundled list, those of the price files."""
        return self._entry.price_id or self._entry.name
