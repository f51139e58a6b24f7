"""`***` in place of secrets, in bytes that come in chunks of any size.

A secret is masked as it is and in the forms in which programs commonly print one: each of its lines, trimmed; base64 in
its three alignments and in lines of 76; and as URLs, JSON, shell and XML write it. No form holds a newline, so a
chunk that ends a line is never held back; of one that does not, only what may be the beginning of a secret is.

Source of the forms: actions/runner `ValueEncoders.cs`, `SecretMasker.cs`.
"""

import base64
import json
import re
from collections.abc import Iterator, Sequence
from urllib.parse import quote, quote_plus

MASK = b"***"

_TRIMMED_QUOTES_FROM = 8  # a quoted value shorter than this is not masked without its quotes
_BASE64_FROM = 4  # the base64 of less than this is a common syllable
_BASE64_LINE = 76
_MAX_NEEDLES = 40  # beyond so many, one pattern is faster


class Masker:
    """All that must not be seen in one job. Values can be added at any time; they hold from then on."""

    def __init__(self) -> None:
        self._forms: set[bytes] = set()
        self._ordered: list[bytes] = []
        self._pattern: re.Pattern[bytes] | None = None  # of all forms, once something has to be masked
        self._needles: tuple[bytes, ...] = ()  # one of them is in whatever has to be masked

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to mask."""
        return not self._forms

    def add(self, value: str) -> None:
        """Mask `value` and its derived forms. Blank text is no secret."""
        forms = derive_forms(value) - self._forms
        if forms:
            self._forms |= forms
            self._ordered = sorted(self._forms, key=lambda form: (-len(form), form))
            self._pattern = None
            self._needles = _find_needles(self._ordered)

    def mask(self, data: bytes) -> bytes:
        """`data`, which is whole, with every secret replaced."""
        stream = MaskStream(self)
        return stream.feed(data) + stream.finish()

    def mask_text(self, text: str) -> str:
        """`text`, which is whole, with every secret replaced, and with nothing in it that UTF-8 cannot say."""
        return self.mask(text.encode("utf-8", "replace")).decode("utf-8", "replace")

    def holds_secret(self, text: str) -> bool:
        """Whether something in `text` would be masked."""
        data = _encode(text)
        return self._may_match(data) and self._search(data) is not None

    def matches(self, data: bytes) -> Iterator[tuple[int, int]]:
        """(start, end) of the longest form at every place where one begins; they may overlap."""
        if not self._may_match(data):
            return
        position = 0
        while (match := self._search(data, position)) is not None:
            yield match.span()
            position = match.start() + 1

    def hold_start(self, data: bytes) -> int:
        """Where the earliest unfinished form at the end of `data` begins; its length when there is none."""
        length = len(data)
        best = length
        line = data.rfind(b"\n") + 1
        if line == length:
            return length
        for form in self._ordered:
            position = data.find(form[:1], max(line, length - len(form) + 1), best)
            while position >= 0:
                if form.startswith(data[position:]):
                    best = position
                    break
                position = data.find(form[:1], position + 1, best)
        return best

    def _may_match(self, data: bytes) -> bool:
        """A quick look: a few searches for plain bytes are several times faster than one for a pattern."""
        return len(self._needles) > _MAX_NEEDLES or any(needle in data for needle in self._needles)

    def _search(self, data: bytes, position: int = 0) -> re.Match[bytes] | None:
        if self._pattern is None:  # it takes milliseconds to make, and most jobs print no secret
            self._pattern = re.compile(b"|".join(map(re.escape, self._ordered)))
        return self._pattern.search(data, position)


class MaskStream:
    """One stream through a `Masker`. However it is cut into chunks, what comes out is the same."""

    def __init__(self, masker: Masker) -> None:
        self._masker = masker
        self._carry = b""  # held back: may be the beginning of a secret
        self._covered = 0  # so much of it belongs to a secret whose mask is out already
        self._shown = 0  # so much of it was let out early: see `peek`

    def feed(self, data: bytes) -> bytes:
        """What can be shown now that `data` has come."""
        if self._masker.is_empty and not self._carry:
            return data
        buffer = self._carry + data if self._carry else data
        return self._release(buffer, self._masker.hold_start(buffer))

    def finish(self) -> bytes:
        """What was held back; nothing more will come."""
        return self._release(self._carry, len(self._carry))

    def peek(self, most_bytes: int) -> bytes:
        """What is held back, let out early if it is no more than `most_bytes`: for somebody who types and looks.

        Should it turn out to be the beginning of a secret, the rest of that is masked all the same.
        """
        if not self._shown < len(self._carry) <= most_bytes or self._covered:
            return b""
        early = self._carry[self._shown :]
        self._shown = len(self._carry)
        return early

    def _release(self, buffer: bytes, keep: int) -> bytes:
        """The masked form of `buffer[:keep]`; the rest is carried on."""
        pieces: list[bytes] = []
        end, shown = self._covered, self._shown  # up to here, `buffer` is out
        for start, stop in self._masker.matches(buffer):
            if start >= keep:
                break
            if start >= end:
                pieces += (buffer[max(end, shown) : start], MASK)
                end = stop
            else:
                end = max(end, stop)
        self._carry = buffer[keep:]
        self._covered = max(0, end - keep)
        self._shown = max(0, shown - keep)
        if not pieces and end == shown == 0 and keep == len(buffer):
            return buffer
        pieces.append(buffer[max(end, shown) : keep])
        return b"".join(pieces)


def derive_forms(value: str) -> set[bytes]:
    """Every form of `value` that must not be seen."""
    forms: set[str] = set()
    lines = [line.strip() for line in value.splitlines()]
    for text in dict.fromkeys([value.strip(), *lines]):
        if text:
            forms |= _derive_texts(text)
    encoded = {_encode(part).strip(b"\r") for form in forms for part in form.split("\n") if part.strip()}
    if value.strip():
        for whole in {value, value.strip()}:
            encoded |= _derive_base64(_encode(whole))
    return {form for form in encoded if form}


def _encode(text: str) -> bytes:
    """`text` as it would be printed: bytes that are no UTF-8 are themselves again, half a surrogate pair is a `?`."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


def _find_needles(forms: Sequence[bytes]) -> tuple[bytes, ...]:
    """Those of `forms` (longest first) that contain none of the others."""
    needles: list[bytes] = []
    for form in reversed(forms):
        if len(needles) <= _MAX_NEEDLES and not any(needle in form for needle in needles):
            needles.append(form)
    return tuple(needles)


def _derive_texts(text: str) -> set[str]:
    plain = text.encode("utf-8", "replace").decode()
    forms = {
        text,
        json.dumps(text)[1:-1],
        json.dumps(text, ensure_ascii=False)[1:-1],
        quote(plain, safe=""),
        quote(plain),
        quote_plus(plain),
        quote(plain, safe="!*'()~"),  # what JavaScript's encodeURIComponent leaves alone
        *_escape_xml(text),
        text.replace('"', '\\"'),
        text.replace("'", "''"),
        text.replace("'", "'\\''"),
    }
    bare = text.strip("\"'")
    if bare != text and len(text) > _TRIMMED_QUOTES_FROM:
        forms.add(bare)
    return {form for form in forms if form.strip()}


def _escape_xml(text: str) -> set[str]:
    """`text` as XML and HTML write it; quotes may be escaped or not. (xml.sax would import half a web browser.)"""
    plain = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    apostrophes = ("'", "&apos;", "&#39;", "&#x27;")
    return {plain, *(plain.replace('"', "&quot;").replace("'", apostrophe) for apostrophe in apostrophes)}


def _derive_base64(data: bytes) -> set[bytes]:
    """The base64 of `data` wherever it stands in a longer text: the digits that its bytes alone decide."""
    forms: set[bytes] = set()
    whole = base64.b64encode(data)
    if len(data) >= _BASE64_FROM:
        forms |= {
            whole,
            whole.rstrip(b"="),
            base64.urlsafe_b64encode(data),
            base64.urlsafe_b64encode(data).rstrip(b"="),
        }
        for shift in range(3):
            digits = base64.b64encode(b"\0" * shift + data)
            first = (0, 2, 3)[shift]
            last = (shift + len(data)) * 8 // 6
            forms |= {digits[first:last], digits[first:last].replace(b"+", b"-").replace(b"/", b"_")}
        if len(whole) > _BASE64_LINE:
            lines = [whole[start : start + _BASE64_LINE] for start in range(0, len(whole), _BASE64_LINE)]
            forms |= {line for line in lines if len(line) > _TRIMMED_QUOTES_FROM}
    return forms
