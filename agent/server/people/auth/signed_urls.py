"""Signed URLs: whoever has one may do one thing with one path until it expires.

The MAC covers purpose, path and expiry in a canonical, length-prefixed form, so that no byte can move from one to
the other (Gitea CVE-2026-58426). The purpose decides the verbs that the route lets through.
"""

import hmac
import re
from collections.abc import Iterable
from hashlib import sha256
from urllib.parse import urlencode

from agent.errors import RefusedError
from agent.seal.canonical import encode_fields
from agent.server.people.auth.keys import derive_key

_EXPIRY = re.compile(r"[1-9][0-9]{0,11}")


class SignedUrls:
    """Signs and checks paths of this server."""

    def __init__(self, signing_key: bytes) -> None:
        self._key = derive_key(signing_key, "signed-url/1")

    def sign(self, purpose: str, path: str, *, expires: float) -> str:
        """`path` with the query that makes it good for `purpose` until `expires` (seconds since the epoch)."""
        expiry = int(expires)
        return f"{path}?{urlencode({'se': expiry, 'sig': self._mac(purpose, path, expiry)})}"

    def check(self, purpose: str, path: str, query: Iterable[tuple[str, str]], now: float) -> None:
        """Raises RefusedError unless `query` holds exactly one good signature of `path` for `purpose`."""
        given = [(name, value) for name, value in query if name in ("se", "sig")]
        values = dict(given)
        expiry = values.get("se", "")
        if len(given) != 2 or len(values) != 2 or not _EXPIRY.fullmatch(expiry):
            raise RefusedError("the URL is not signed")
        expected = self._mac(purpose, path, int(expiry))
        if not hmac.compare_digest(expected.encode(), values["sig"].encode("utf-8", "surrogatepass")):
            raise RefusedError("the URL's signature is wrong")
        if int(expiry) <= now:
            raise RefusedError("the signed URL has expired", hint="ask for a new one")

    def _mac(self, purpose: str, path: str, expiry: int) -> str:
        return hmac.new(
            self._key, encode_fields("flow-agent/signed-url/1", purpose, path, expiry), sha256
        ).hexdigest()
