"""Which tiers outside this process's memory keep an answer. Pure."""

from collections.abc import Collection

from proxy.stores.base import Entry, Store


class Admission:
    """`sealed`: the stores that encrypt what they keep; only these may have what is sensitive."""

    def __init__(self, sealed: Collection[Store] = ()) -> None:
        self._sealed = tuple(sealed)

    def admits(self, store: Store, key: bytes, entry: Entry) -> bool:
        """May, and should, this store keep it?"""
        return not entry.sensitive or any(store is each for each in self._sealed)
