"""attribution: whose a call is. Labels are fixed by the settings or taken from fields of the request, which are for us
alone: they go no further, and nothing else depends on them, unless a route names labels.
"""

from typing import Final

from config.schema import Settings
from proxy.exchange.headers import HOP_BY_HOP, REPLACED, HeaderList

_LABEL_CHARACTERS: Final = 128


class Attribution:
    """The settings' rules."""

    __slots__ = ("_fixed", "_is_plain", "_labels", "decides", "fields")

    def __init__(self, settings: Settings) -> None:
        self._fixed = dict(settings.attribution.labels)
        named = {field.lower().encode(): label for field, label in settings.attribution.headers.items()}
        # Fields that no request has when it comes here are none of these.
        self._labels = {field: label for field, label in named.items() if field not in HOP_BY_HOP | REPLACED}
        labels = [*self._fixed, *self._labels.values()]
        self._is_plain = len(set(labels)) == len(labels)  # each label has one source
        self.fields = frozenset(self._labels)
        self.decides = any(route.label for route in settings.routes)  # policy depends on labels

    def labels(self, headers: HeaderList) -> dict[str, str]:
        """The labels of a request with these fields."""
        labels = dict(self._fixed)
        for field, value in headers:
            if field in self._labels:
                labels[self._labels[field]] = _text(value)
        return labels

    def changed(self, labels: dict[str, str], changes: HeaderList) -> dict[str, str] | None:
        """What labels become when these fields, none of them twice in the request, have other values. None: `labels`
        has to look at the whole request."""
        changed = labels
        for field, value in changes:
            label = self._labels.get(field)
            if label is None:
                continue
            if not self._is_plain:
                return None
            if label in labels:  # or the field was meant for the connection
                changed = {**changed, label: _text(value)}
        return changed


def _text(value: bytes) -> str:
    return value.decode("latin-1")[:_LABEL_CHARACTERS]
