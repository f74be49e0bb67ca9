"""Is the replica that leads a flight still there? Judged from what was seen and heard of it. Pure: times are arguments.

Rules: it is there while it holds its claim, or was heard of lately. When Redis was away, or connections to it were made
anew, both may be missing for a while without meaning anything: the other one's way back may be longer than ours. Before
anything of the answer has been handed on, doubt is enough to do without it; after that only certainty is.
"""

from typing import Final

from proxy.fleet.leading import PATIENCE_S
from proxy.fleet.trail import Sighting

_WAY_BACK_S: Final = 10.0  # of a link after an outage: its longest pause, and some time to be heard
_LATELY_SHARE: Final = 0.5  # of a lease; a leader says something every quarter
_SILENT_LEASES: Final = 3.0


class Sight:
    """Of one leader. `now` was when it was found to hold the claim."""

    def __init__(self, lease_s: float, now: float) -> None:
        self._lease_s = lease_s
        self._heard_at = now
        self._seen_at = now  # Redis answered
        self._disturbed_at = -_WAY_BACK_S
        self._is_held = True
        self._is_away = False
        self._is_refused = False
        self._is_torn = False

    def heard(self, now: float) -> None:
        """It said something."""
        self._heard_at = self._seen_at = now

    def looked(self, now: float, sighting: Sighting) -> None:
        """This is what Redis has."""
        self._is_away = sighting.is_held is None
        if sighting.is_held is None:
            self._disturbed_at = now
            return
        self._seen_at, self._is_held = now, sighting.is_held
        if sighting.messages:
            self._heard_at = now

    def disturbed(self, now: float) -> None:
        """Messages may have been missed."""
        self._disturbed_at = now

    def refused(self) -> None:
        """It does not lead this flight."""
        self._is_refused = True

    def torn(self) -> None:
        """What comes next is not to be had any more."""
        self._is_torn = True

    def is_hopeless(self, now: float) -> bool:
        """Better not wait for it, as long as there is a choice."""
        if self._is_refused or self._is_torn:
            return True
        if self._is_away:
            return now - self._seen_at > self._lease_s
        quiet_s = now - self._heard_at
        if not self._is_held:
            return quiet_s > _LATELY_SHARE * self._lease_s
        return now - max(self._heard_at, self._disturbed_at) > _SILENT_LEASES * self._lease_s

    def is_lost(self, now: float) -> bool:
        """Nothing more comes from there."""
        if self._is_refused or self._is_torn:
            return True
        if self._is_away:
            return now - self._seen_at > PATIENCE_S
        calm_at = max(self._heard_at, self._disturbed_at)
        if self._is_held:
            return now - calm_at > max(PATIENCE_S, _SILENT_LEASES * self._lease_s)
        was_disturbed = self._disturbed_at > self._heard_at
        return now - calm_at > (_WAY_BACK_S if was_disturbed else _LATELY_SHARE * self._lease_s)
