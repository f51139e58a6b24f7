"""The forms in which a secret is printed.

Each of its lines, trimmed; base64 in its three alignments and in lines of 76; as shells quote it and XML writes it; and without
escapes (`agent.escapes`): who looks for a form looks in the text as it is, and in the text without escapes, which is what URLs, JSON,
shells and literals of languages have in common. No form holds a newline.

Source: actions/runner `ValueEncoders.cs`, `SecretMasker.cs`.
"""

import base64
import json
import re
from urllib.parse import quote, quote_plus

from agent.escapes import undo_escapes

_TRIMMED_QUOTES_FROM = 8  # a quoted value shorter than this is not masked without its quotes
_BASE64_FROM = 4  # the base64 of less than this is a common syllable
_BASE64_LINE = 76
_UNESCAPED_FROM = 4  # what is shorter without its escapes is an ordinary syllable
_CONTROLS = str.maketrans(
    {"\b": "b", "\t": "t", "\n": "n", "\f": "f", "\r": "r"}
)  # as `undo_escapes` has them
_LATIN = {code: 0xDC00 + code for code in range(0x80, 0x100)}  # `\\xe4` may be a byte, and it may be an `ä`


def derive_forms(value: str) -> set[bytes]:
    """Every form of `value` that must not be seen."""
    forms: set[str] = set()
    lines = [line.strip() for line in value.splitlines()]
    for text in dict.fromkeys([value.strip(), *lines]):
        if text:
            forms |= _derive_texts(text)
    encoded = {
        encode_printed(part).strip(b"\r") for form in forms for part in form.split("\n") if part.strip()
    }
    if value.strip():
        for whole in {value, value.strip()}:
            encoded |= _derive_base64(encode_printed(whole))
    return {form for form in encoded if form}


def encode_printed(text: str) -> bytes:
    """`text` as it would be printed: bytes that are no UTF-8 are themselves again, half a surrogate pair is a `?`."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


def _derive_texts(text: str) -> set[str]:
    forms = {
        text,
        *_escape_xml(text),
        *_quote_for_shells(text),
        text.replace("'", "''"),
    }
    bare = text.strip("\"'")
    if bare != text and len(text) > _TRIMMED_QUOTES_FROM:
        forms.add(bare)
    return {form for form in forms | _undo(text) if form.strip()}


def _undo(text: str) -> set[str]:
    """`text` as it reads once escapes are undone; the escaped text itself where too little would be left."""
    plain = text.encode("utf-8", "replace").decode()
    ways = (text, text.translate(_CONTROLS), text.translate(_CONTROLS).translate(_LATIN))
    known = {text, *map(_undo_escapes, ways)}
    escaped = {
        json.dumps(text)[1:-1],
        json.dumps(text, ensure_ascii=False)[1:-1],
        quote(plain, safe=""),
        quote_plus(plain),
        text.replace('"', '\\"'),
    }
    for form in escaped:
        undone = _undo_escapes(form)
        if undone not in known or len(encode_printed(undone)) < _UNESCAPED_FROM:
            known |= {undone, form}
    return {
        form
        for form in known
        if form == text or form in escaped or len(encode_printed(form)) >= _UNESCAPED_FROM
    }


def _undo_escapes(text: str) -> str:
    return undo_escapes(encode_printed(text)).decode("utf-8", "surrogateescape")


def _quote_for_shells(text: str) -> set[str]:
    """`text` between apostrophes, with its own: as bash writes them, as Python's `shlex` does, and as dash does."""
    in_runs = re.sub("'+", lambda run: f"'\"{run[0]}\"'", text)
    return {
        text.replace("'", "'\\''"),
        text.replace("'", "'\"'\"'"),
        in_runs.removesuffix("'") if text.endswith("'") else in_runs,  # dash has nothing to open after them
    }


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
