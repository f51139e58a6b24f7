"""The forms in which a secret is printed.

Each of its lines, trimmed; base64 in its three alignments and in lines of 76; and as URLs, JSON, shell and XML write it.
No form holds a newline.

Source: actions/runner `ValueEncoders.cs`, `SecretMasker.cs`.
"""

import base64
import json
from urllib.parse import quote, quote_plus

_TRIMMED_QUOTES_FROM = 8  # a quoted value shorter than this is not masked without its quotes
_BASE64_FROM = 4  # the base64 of less than this is a common syllable
_BASE64_LINE = 76


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
