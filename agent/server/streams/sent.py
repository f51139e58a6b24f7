"""Records as they are sent: JSON, text, or other bytes. Pure."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from agent.codec import load_standard
from agent.server.process.problems import MalformedError
from agent.server.store.states import RecordForm

_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_JSON = re.compile(r"application/(?:[\w.+-]+\+)?json", re.IGNORECASE)
_ODD = re.compile(
    rb"\\u[dD][89a-fA-F]|[0-9][eE]\+?[0-9]{3}"
)  # half a character, or a number too large, maybe
_LONGEST_MEDIA = 200


@dataclass(frozen=True, slots=True)
class SentRecord:
    """A record as it was sent. `key` is the sender's, that it may send the record again under."""

    form: RecordForm
    media: str
    body: bytes
    key: str = ""


def read_sent(media: str, body: bytes, query: Mapping[str, str], key: str) -> SentRecord:
    """The record in a request. Without a body it is what the query says, as an object.

    Raises MalformedError for a key that is none, and for a body that its media type says is JSON and that is not.
    """
    if key and not _KEY.fullmatch(key):
        raise MalformedError("Idempotency-Key is 1 to 255 visible ASCII characters")
    media = media[:_LONGEST_MEDIA]
    if not body:
        return SentRecord(RecordForm.JSON, media, json.dumps(dict(query)).encode(), key)
    return SentRecord(_find_form(media, body), media, body, key)


def _find_form(media: str, body: bytes) -> RecordForm:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = ""
    problem = _explain(text, body) if text else "it is not UTF-8"
    if not problem:
        return RecordForm.JSON
    if _JSON.fullmatch(media.partition(";")[0].strip()):
        raise MalformedError(f"the body is no JSON, which its Content-Type says it is: {problem}")
    return RecordForm.TEXT if text else RecordForm.BYTES


def _explain(text: str, body: bytes) -> str:
    """Why the text is no JSON that everybody can read; empty: it is."""
    try:
        value = load_standard(text)
        if _ODD.search(body):
            json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except ValueError as error:
        return str(error)
    return ""
