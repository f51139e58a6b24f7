r"""Output as lines in their last state: what stands on a terminal when all of it has been printed. Pure.

A progress bar is one line that is written over and over: `\r` goes back to its beginning, `\b` one place back, and what
comes next stands where the old text stood. Several bars are lines between which the cursor goes up and down
(`agent.journal.rows`). Journals keep each byte; people see the last state. Every place that shows output takes its lines
from here: the terminal's tree, plain screens, `agent run logs`, public records, pages.

A line ends with `\n`, as it does for commands (`agent.job.commands.stdout`). GitHub's runner ends one at `\r` too
(`ProcessInvoker.cs` reads with .NET's `ReadLine`): there a bar becomes as many lines as it has states.
"""

from agent.journal.row import Row
from agent.journal.rows import MOVES, Rows

_MOST_STATES_BYTES = 64 << 10  # of a line that goes back, before its state is worked out
_LONGEST_MOVE = 8
LONGEST_LINE_BYTES = 1 << 20  # what is longer comes in pieces: nobody holds more of a line that never ends


class Lines:
    """The lines of one stream of output, however its bytes are cut."""

    def __init__(self) -> None:
        self._row: Row | None = None  # what stands on the unfinished line, up to where it last went back
        self._rest: list[bytes] = []  # its bytes since then
        self._rest_bytes = 0
        self._rows: Rows | None = None  # while the output goes up to former lines

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that end in `data`, in their last states and without newlines.

        While the output goes up to former lines, those that it may still go to wait.
        """
        if self._rows is None and self._goes_up(data):
            self._rows = Rows(self._row)
            data = b"".join(self._rest) + data
            self._rest, self._rest_bytes, self._row = [], 0, None
        if self._rows is not None:
            return self._feed_rows(self._rows, data)
        *ended, rest = data.split(b"\n")
        lines: list[bytes] = []
        if ended and self._is_pending:
            lines += [*self._hold(ended.pop(0)), self._end()]
        if _goes_back(data) or len(data) > LONGEST_LINE_BYTES:
            for line in ended:
                is_short = len(line) <= LONGEST_LINE_BYTES
                lines += [last_state(line)] if is_short else [*self._hold(line), self._end()]
        else:
            lines += ended
        return lines + self._hold(rest) if rest else lines

    def pending(self) -> bytes:
        """What stands on the line that has not ended, or on several, newlines between them; empty when none has begun."""
        if self._rows is not None:
            return b"\n".join(self._rows.standing())
        rest = b"".join(self._rest)
        return last_state(rest) if self._row is None else _read(self._row.copy(), rest)

    def finish(self) -> list[bytes]:
        """The stream has ended: its last line, when that has no newline, and all that waited."""
        if self._rows is not None:
            rows, self._rows = self._rows.standing(), None
            return rows
        return [self._end()] if self._is_pending else []

    def _goes_up(self, data: bytes) -> bool:
        if b"A" not in data and b"F" not in data and b"l" not in data:
            return False
        before = b"".join(self._rest[-_LONGEST_MOVE:])[-_LONGEST_MOVE:]  # a sequence may be cut
        return MOVES.search(before + data) is not None

    def _feed_rows(self, rows: Rows, data: bytes) -> list[bytes]:
        left = rows.feed(data)
        if rows.is_calm:
            more, last = rows.end()
            left += more
            self._rows, self._row = None, last if last.columns else None
        return left

    @property
    def _is_pending(self) -> bool:
        return self._row is not None or self._rest_bytes > 0

    def _hold(self, data: bytes) -> list[bytes]:
        """Take in more of the unfinished line; the pieces of it that are too long to wait."""
        self._rest.append(data)
        self._rest_bytes += len(data)
        if self._rest_bytes > _MOST_STATES_BYTES and _goes_back(data):
            self._go_back()
        pieces: list[bytes] = []
        while self._rest_bytes > LONGEST_LINE_BYTES:
            rest = b"".join(self._rest)
            end = _character_end(rest, LONGEST_LINE_BYTES)
            self._keep(rest[:end])
            pieces.append(self._end())
            self._keep(rest[end:])
        return pieces

    def _go_back(self) -> None:
        r"""Write what came before the last way back on the row. A `\r` at the end may be the half of a newline."""
        rest = b"".join(self._rest)
        body = rest.rstrip(b"\r")
        end = max(body.rfind(b"\r"), body.rfind(b"\b")) + 1
        if end:
            self._row = self._row or Row()
            self._row.write(rest[:end].decode("utf-8", "replace"))
        self._keep(rest[end:])

    def _keep(self, rest: bytes) -> None:
        self._rest, self._rest_bytes = [rest], len(rest)

    def _end(self) -> bytes:
        rest, row = b"".join(self._rest), self._row
        self._rest, self._rest_bytes, self._row = [], 0, None
        return last_state(rest) if row is None else _read(row, rest)


def last_state(line: bytes) -> bytes:
    """What stands on a line when all of its bytes have been printed. One that never goes back stays as it is."""
    body = line.rstrip(b"\r")
    return _read(Row(), body) if _goes_back(body) else body


def _goes_back(data: bytes) -> bool:
    return b"\r" in data or b"\b" in data


def _read(row: Row, rest: bytes) -> bytes:
    row.write(rest.decode("utf-8", "replace"))
    return row.read().encode("utf-8", "replace")


def _character_end(data: bytes, most: int) -> int:
    """The last place up to `most` where no character of UTF-8 is cut."""
    end = most
    while end > most - 3 and data[end] & 0xC0 == 0x80:
        end -= 1
    return end
