r"""`***` in place of secrets, in bytes that come in chunks of any size.

A secret is masked as it is and in the forms in which programs commonly print one (`agent.mask_forms`), also where there are
control sequences in it, as colours are: who shows output leaves them out (`agent.control_sequences`). It is looked for in the output
without escapes, too (`agent.escapes`), and pieces of its base64 are (`agent.job.output.wrapped_base64`). Where a line is written
over (`\b`, `\r` and their like), what it shows is looked at as well (`agent.job.output.overwriting`). No form holds a newline, so a
chunk that ends a line is never held back; of one that does not, only what may be the beginning of a secret is.

What a job asks to be masked (`::add-mask::`) is bounded: the work for a byte of output must not grow with what a job says.
"""

import re
from bisect import insort
from collections.abc import Iterator

from agent.control_sequences import MOST_SEEN_THROUGH, SeenText, find_around, find_open, leave_out_hidden
from agent.escapes import UnescapedText, has_escapes, may_open, undo_escapes
from agent.job.output.mask_search import FewForms, ManyForms, find_unfinished, is_known
from agent.job.output.overwriting import LineSoFar, SecretForms, find_painted, find_unpainted
from agent.job.output.wrapped_base64 import WrappedBase64
from agent.mask_forms import derive_forms, encode_printed
from agent.painted import has_moves

MASK = b"***"
MOST_ASKED = 5_000  # values that a job may ask to be masked
MOST_ASKED_BYTES = 64 << 10  # of one of them
_MOST_ASKED_BYTES_IN_ALL = 4 << 20
_MOST_HIDDEN_BYTES = 2 * MOST_SEEN_THROUGH  # within a secret: what is further apart is not put together
_MOST_ESCAPED = 12  # times as long as a form may be what is escaped
_COLOUR = re.compile(rb"\x1b\[[0-9;:]*m")
_MOST_SHIFTS = 20
_MANY = 500  # forms: from so many on, they are searched for in the way that is made for many


class Masker:
    """All that must not be seen in one job. Values can be added at any time; they hold from then on."""

    def __init__(self) -> None:
        self._ordered: list[bytes] = []  # all forms, sorted
        self._longest = 0
        self._few: FewForms | None = None  # made when it is needed, and again when a form has come
        self._many: ManyForms | None = None
        self._wrapped = WrappedBase64()
        self._asked = 0
        self._asked_bytes = 0

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to mask."""
        return not self._ordered

    @property
    def forms(self) -> tuple[bytes, ...]:
        """All that is masked, sorted."""
        return tuple(self._ordered)

    def add(self, value: str) -> None:
        """Mask `value` and its derived forms. Blank text is no secret."""
        self._wrapped.add(value)
        known = self._ordered
        for form in derive_forms(value):
            if not is_known(known, form):
                insort(known, form)
                self._longest = max(self._longest, len(form))
                self._few = None
                if self._many is not None:
                    self._many.admit(form)
        if self._many is None and len(known) >= _MANY:
            self._many = ManyForms(known)

    def ask(self, value: str) -> bool:
        """Mask what the job itself asks for. False, and nothing is done, beyond what one job may ask for."""
        size = len(value.encode("utf-8", "replace"))
        if (
            self._asked >= MOST_ASKED
            or size > MOST_ASKED_BYTES
            or self._asked_bytes + size > _MOST_ASKED_BYTES_IN_ALL
        ):
            return False
        self._asked += 1
        self._asked_bytes += size
        self.add(value)
        return True

    def mask(self, data: bytes) -> bytes:
        """`data`, which is whole, with every secret replaced."""
        stream = MaskStream(self)
        return stream.feed(data) + stream.finish()

    def mask_text(self, text: str) -> str:
        """`text`, which is whole, with every secret replaced, and with nothing in it that UTF-8 cannot say."""
        return self.mask(text.encode("utf-8", "replace")).decode("utf-8", "replace")

    def holds_secret(self, text: str) -> bool:
        """Whether something in `text` would be masked."""
        return next(self.matches(encode_printed(text)), None) is not None

    def matches(self, data: bytes, line: LineSoFar | None = None) -> Iterator[tuple[int, int]]:
        """(start, end) of the longest form at every place where one begins, in their order; they may overlap.

        A form with control sequences or escapes in it is one, too, and so is what shows one because it is written over. `line` is
        what came before `data` on its first line.
        """
        text = leave_out_hidden(data)
        hidden = len(data) - len(text)
        is_moved = line is not None and line.is_moved
        is_escaped = has_escapes(text)
        pieces = list(self._wrapped.matches(data))
        if not (is_moved or is_escaped or pieces) and (not hidden or hidden == data.count(b"\r\n")):
            return self._search(data)
        found = set(pieces)
        if is_moved or has_moves(data):
            found.update(find_painted(data, line, self._painted))
        if hidden and any(self._search(text)):
            found.update(self._search_seen(data))
        if is_escaped and any(self._search(undo_escapes(text))):
            found.update(self._search_escaped(data, is_hidden=bool(hidden)))
        return iter(sorted({*self._search(data), *found})) if found else self._search(data)

    def hold_start(self, data: bytes, line: LineSoFar | None = None) -> int:
        """Where the earliest unfinished form, or control sequence, at the end of `data` begins; its length when there is none.

        `line` is what came before `data` on its first line.
        """
        length = len(data)
        begin = data.rfind(b"\n") + 1
        if begin == length:
            return length
        start = min(self._hold_seen(data, begin), self._wrapped.find_unfinished(data))
        before = None if begin else line
        if (before is not None and before.is_moved) or has_moves(data[begin:] if begin else data):
            start = min(start, find_unpainted(data, before, self._painted))
        return self._hold_escaped(data, begin, start)

    @property
    def _painted(self) -> SecretForms:
        return SecretForms(
            self._longest, self._search, lambda data: find_unfinished(self._ordered, self._longest, data)
        )

    def _hold_seen(self, data: bytes, line: int) -> int:
        length = len(data)
        start = find_unfinished(self._ordered, self._longest, data)
        window = max(line, length - self._longest - _MOST_HIDDEN_BYTES)
        tail = data[window:]
        opened = find_open(tail)
        if window + opened == length and len(leave_out_hidden(tail)) == len(tail):
            return start
        seen = SeenText(tail[:opened])
        unfinished = find_unfinished(self._ordered, self._longest, seen.text)
        if unfinished < len(seen.text):
            opened = min(opened, seen.place(unfinished))
        return min(window + opened, start if start == length else window + find_around(tail, start - window))

    def _hold_escaped(self, data: bytes, begin: int, start: int) -> int:
        """`start`, or where before it something begins that is a secret's beginning without escapes; never within an escape."""
        line = data[begin:] if begin else data
        if b"\\" not in line and b"%" not in line:
            return start
        text = leave_out_hidden(line)
        if not may_open(text):
            return start
        seen = SeenText(line) if len(text) < len(line) else None
        view = UnescapedText(text, is_whole=False)
        unfinished = find_unfinished(self._ordered, self._longest, view.text)
        place = view.span(unfinished, unfinished + 1)[0] if unfinished < len(view.text) else view.opened
        if start < len(data):
            place = min(place, view.find_around(len(leave_out_hidden(line[: start - begin]))))
        if place == len(text):
            return start
        held = begin + (seen.place(place) if seen else place)
        is_too_far = len(data) - held > _MOST_ESCAPED * self._longest + _MOST_HIDDEN_BYTES
        return start if is_too_far else min(start, held)

    def _search(self, data: bytes) -> Iterator[tuple[int, int]]:
        if self._many is not None:
            return self._many.matches(data)
        if self._few is None:
            self._few = FewForms(self._ordered)
        return self._few.matches(data)

    def _search_seen(self, data: bytes) -> Iterator[tuple[int, int]]:
        seen = SeenText(data)
        for start, end in self._search(seen.text):
            first, last = seen.place(start), seen.place(end - 1)
            if last - first < self._longest + _MOST_HIDDEN_BYTES:
                yield first, last + 1

    def _search_escaped(self, data: bytes, *, is_hidden: bool) -> Iterator[tuple[int, int]]:
        seen = SeenText(data) if is_hidden else None
        view = UnescapedText(seen.text if seen else data)
        for start, end in self._search(view.text):
            first, last = view.span(start, end)
            if seen:
                first, last = seen.place(first), seen.place(last - 1) + 1
            if last - first < _MOST_ESCAPED * self._longest + _MOST_HIDDEN_BYTES:
                yield first, last


class MaskStream:
    """One stream through a `Masker`. However it is cut into chunks, what comes out is the same."""

    def __init__(self, masker: Masker) -> None:
        self._masker = masker
        self._carry = b""  # held back: may be the beginning of a secret
        self._covered = 0  # so much of it belongs to a secret whose mask is out already
        self._shown = 0  # so much of it was let out early: see `peek`
        self._line = LineSoFar()

    def feed(self, data: bytes) -> bytes:
        """What can be shown now that `data` has come."""
        if self._masker.is_empty and not self._carry:
            return data
        buffer = self._carry + data if self._carry else data
        return self._release(buffer, self._masker.hold_start(buffer, self._line))

    def finish(self) -> bytes:
        """What was held back; nothing more will come."""
        return self._release(self._carry, len(self._carry))

    def peek(self, most_bytes: int) -> bytes:
        """What is held back, let out early if no more than `most_bytes` of it are seen: for somebody who types and looks.

        Should it turn out to be the beginning of a secret, the rest of that is masked all the same.
        """
        if (
            self._covered
            or self._shown >= len(self._carry)
            or len(leave_out_hidden(self._carry)) > most_bytes
        ):
            return b""
        # What is held back may be a whole secret already, and the beginning of a longer one.
        end = next((start for start, _ in self._masker.matches(self._carry)), len(self._carry))
        early = self._carry[self._shown : end]
        self._shown = max(self._shown, end)
        return early

    def _release(self, buffer: bytes, keep: int) -> bytes:
        """The masked form of `buffer[:keep]`; the rest is carried on."""
        early = buffer[: min(self._shown, keep)]
        out = self._mask(buffer, keep)
        if out is not buffer and MASK in out and (self._line.is_moved or has_moves(out)):
            out = self._mask_shifted(out)
        self._line.add(early + out if early else out)
        return out

    def _mask_shifted(self, out: bytes) -> bytes:
        """`out`, in which masks are shorter or longer than what they stand for: what is written over them stands elsewhere now."""
        for _ in range(_MOST_SHIFTS):
            found = list(self._masker.matches(out, self._line))
            if not found:
                return out
            start, end = found[0]
            out = out[:start] + MASK + out[end:]
        return MASK + b"\n" * out.count(b"\n")

    def _mask(self, buffer: bytes, keep: int) -> bytes:
        pieces: list[bytes] = []
        began, end, shown = 0, self._covered, self._shown  # up to `end`, or `shown`, `buffer` is out
        for start, stop in self._masker.matches(buffer, self._line):
            if start >= keep:
                break
            if start >= end:
                colours = self._find_colours(buffer[max(began, shown) : end])
                pieces += (colours, buffer[max(end, shown) : start], MASK)
                began, end = start, stop
            else:
                end = max(end, stop)
        self._carry = buffer[keep:]
        self._covered = max(0, end - keep)
        self._shown = max(0, shown - keep)
        if not pieces and end == shown == 0 and keep == len(buffer):
            return buffer
        colours = self._find_colours(buffer[max(began, shown) : min(end, keep)])
        return b"".join([*pieces, colours, buffer[max(end, shown) : keep]])

    def _find_colours(self, secret: bytes) -> bytes:
        """The colours within what is masked: those of what comes after it."""
        if b"\x1b" not in secret:
            return b""
        colours = b"".join(_COLOUR.findall(secret))
        return b"" if any(self._masker.matches(colours)) else colours
