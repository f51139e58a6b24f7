"""Flow control: how many journal bytes of one connection are on their way and not yet acknowledged. Pure.

Per (job, lease), `acked <= sent`; the sum of `sent - acked` over all jobs stays within `limit_bytes`, whatever number
of jobs there is. Bytes go in order: what would overlap or skip is an IllegalVerbError, which a side turns into a
WireError when the other side is to blame. A window lives as long as its connection; a new connection begins with a new
window, in which each job goes on from the offset that the server says it has.
"""

from agent.wire.errors import IllegalVerbError


class Window:
    """The unacknowledged bytes of one connection, seen from either side."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._acked: dict[tuple[str, int], int] = {}
        self._sent: dict[tuple[str, int], int] = {}
        self._unacked_bytes = 0

    @property
    def room_bytes(self) -> int:
        """How many more bytes may be sent now."""
        return max(0, self.limit_bytes - self._unacked_bytes)

    def can_send(self, length: int) -> bool:
        """Whether `length` more bytes fit."""
        return length <= self.room_bytes

    def open(self, job: str, lease: int, offset: int) -> None:
        """Begin (or, after a reconnect, go on) with a journal at `offset`; nothing of it is unacknowledged then."""
        self.close(job, lease)
        self._acked[job, lease] = self._sent[job, lease] = offset

    def close(self, job: str, lease: int) -> None:
        """Forget a journal, with whatever of it was unacknowledged."""
        acked = self._acked.pop((job, lease), 0)
        self._unacked_bytes -= self._sent.pop((job, lease), 0) - acked

    def is_open(self, job: str, lease: int) -> bool:
        """Whether bytes of this journal may travel on this connection."""
        return (job, lease) in self._sent

    @property
    def open_leases(self) -> frozenset[tuple[str, int]]:
        """The journals whose bytes may travel on this connection."""
        return frozenset(self._sent)

    def next_offset(self, job: str, lease: int) -> int | None:
        """Where the next bytes of this journal begin; None when it is not open."""
        return self._sent.get((job, lease))

    def acked_offset(self, job: str, lease: int) -> int | None:
        """How far this journal is acknowledged; None when it is not open."""
        return self._acked.get((job, lease))

    def sent(self, job: str, lease: int, start: int, end: int) -> None:
        """The bytes `start..end` of a journal went out (or came in, on the receiving side).

        Raises IllegalVerbError when they overlap, skip, or do not fit.
        """
        expected = self._sent.get((job, lease))
        if expected is None:
            raise IllegalVerbError(f"the journal of {job} under lease {lease} is not open on this connection")
        if start != expected:
            way = "overlaps" if start < expected else "skips"
            raise IllegalVerbError(
                f"the journal of {job} {way}: bytes from {start}, expected from {expected}"
            )
        if not self.can_send(end - start):
            raise IllegalVerbError(f"{end - start} bytes do not fit, {self.room_bytes} are free")
        self._sent[job, lease] = end
        self._unacked_bytes += end - start

    def acked(self, job: str, lease: int, offset: int) -> None:
        """Everything before `offset` is stored durably. A repeated or older word changes nothing.

        Raises IllegalVerbError when it acknowledges what was never sent.
        """
        sent = self._sent.get((job, lease))
        if sent is None or offset > sent:
            raise IllegalVerbError(f"an ack up to {offset} of {job}, of which {sent or 0} bytes were sent")
        before = self._acked[job, lease]
        if offset > before:
            self._acked[job, lease] = offset
            self._unacked_bytes -= offset - before
