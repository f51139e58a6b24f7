"""The watch over bookmarks: when a holder has not kept one for its time, by no clock of the day. Pure.

As of leases (`agent.wire.lease_watch`): a holder that lives writes a new `beat` into the row. Who wants the bookmark looks at the row
again and again, and measures with a clock that only grows how long it has stayed as it was. The first look of a server
begins the time anew, and so does a look after more than `BLIND_SECONDS` without one.
"""

from collections import OrderedDict
from collections.abc import Hashable

from agent.wire.lease_watch import BLIND_SECONDS

_MOST = 10_000  # remembered at a time; beyond that the one looked at longest ago begins anew


class BookmarkWatch:
    """What one server has seen of bookmarks that others hold."""

    def __init__(self) -> None:
        self._seen: OrderedDict[Hashable, tuple[int, float, float]] = OrderedDict()  # beat, since, last look

    def look(self, key: Hashable, beat: int, seconds: float, now: float) -> bool:
        """Whether the bookmark `key`, held and as it stands at the steady time `now`, was not kept for `seconds`."""
        known_beat, since, looked_at = self._seen.pop(key, (beat, now, now))
        if known_beat != beat or now - looked_at > BLIND_SECONDS:
            since = now
        self._seen[key] = (beat, since, now)
        if len(self._seen) > _MOST:
            self._seen.popitem(last=False)
        return now - since >= seconds
