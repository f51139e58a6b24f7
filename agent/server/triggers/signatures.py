"""Is a webhook from whom it says? Pure: the secret, the headers, the body and the time come as arguments.

| provider | proof | what it binds |
| --- | --- | --- |
| GitHub | `X-Hub-Signature-256: sha256=HEX` | HMAC-SHA256 of the body |
| Gitea, Forgejo | `X-Forgejo-Signature`, `X-Gitea-Signature: HEX`, or GitHub's header | HMAC-SHA256 of the body |
| GitLab, named webhooks | `webhook-signature: v1,BASE64 ...` (Standard Webhooks) | HMAC-SHA256 of `id.time.body`, five minutes |
| GitLab | `X-Gitlab-Token` | the secret itself |
| named webhooks | `Authorization: Bearer SECRET` | the secret itself |

The strongest proof that is there decides: a wrong signature is not made good by a right token. SHA-1 is not read.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from typing import Final

from agent.errors import RefusedError

_TOLERANCE_SECONDS: Final = 300.0
_WHSEC: Final = "whsec_"
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_STANDARD: Final = re.compile(r"v1,[A-Za-z0-9+/]{43}=")

Headers = Mapping[str, str]


class BadSignatureError(RefusedError):
    """Who sent this has not shown that they know the secret."""


def check_signature(provider: str, secret: str, headers: Headers, body: bytes | None, now: float) -> None:
    """Raise BadSignatureError unless `headers` prove that the sender of `body` knows `secret`. Names are lower-case.

    `body` None: it has not been read yet; what can be said without it is checked, so that nobody's body is read in vain.
    """
    _CHECKS[provider](secret, headers, body, now)


def sign_body(secret: str, body: bytes) -> str:
    """HMAC-SHA256 in hex, as GitHub and Gitea send it."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def sign_standard(secret: str, identifier: str, timestamp: str, body: bytes) -> str:
    """A signature by the Standard Webhooks specification, as `webhook-signature` holds it."""
    signed = f"{identifier}.{timestamp}.".encode() + body
    digest = hmac.new(_standard_key(secret), signed, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def _check_github(secret: str, headers: Headers, body: bytes | None, _now: float) -> None:
    given = headers.get("x-hub-signature-256", "")
    if not given:
        raise _missing("X-Hub-Signature-256")
    algorithm, _, digest = given.partition("=")
    if algorithm != "sha256":
        raise BadSignatureError("the signature is not HMAC-SHA256", where="X-Hub-Signature-256")
    _compare_signature(digest, secret, body, "X-Hub-Signature-256")


def _check_gitea(secret: str, headers: Headers, body: bytes | None, now: float) -> None:
    for name in ("X-Forgejo-Signature", "X-Gitea-Signature"):
        if name.lower() in headers:
            _compare_signature(headers[name.lower()], secret, body, name)
            return
    _check_github(secret, headers, body, now)


def _check_gitlab(secret: str, headers: Headers, body: bytes | None, now: float) -> None:
    if "webhook-signature" in headers:
        _check_standard(secret, headers, body, now)
    elif "x-gitlab-token" in headers:
        _compare(headers["x-gitlab-token"], secret, "X-Gitlab-Token")
    else:
        raise _missing("webhook-signature or X-Gitlab-Token")


def _check_named(secret: str, headers: Headers, body: bytes | None, now: float) -> None:
    if "webhook-signature" in headers:
        _check_standard(secret, headers, body, now)
        return
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise _missing("webhook-signature or Authorization: Bearer")
    _compare(token.strip(), secret, "Authorization")


def _check_standard(secret: str, headers: Headers, body: bytes | None, now: float) -> None:
    identifier, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    is_number = timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 12
    if not identifier or not is_number:
        raise _missing("webhook-id and webhook-timestamp")
    given = headers["webhook-signature"].split(" ")[:10]
    if body is not None:
        expected = sign_standard(secret, identifier, timestamp, body).encode()
        if not any(hmac.compare_digest(one.encode("utf-8", "replace"), expected) for one in given):
            raise _wrong("webhook-signature")
    elif not any(_STANDARD.fullmatch(one) for one in given):
        raise _wrong("webhook-signature")
    if abs(now - int(timestamp)) > _TOLERANCE_SECONDS:
        raise BadSignatureError(
            "the delivery was signed more than five minutes from now",
            where="webhook-timestamp",
            hint="a replayed delivery, or a clock that is wrong",
        )


_CHECKS: Final[Mapping[str, Callable[[str, Headers, bytes | None, float], None]]] = {
    "github": _check_github,
    "gitea": _check_gitea,
    "gitlab": _check_gitlab,
    "webhook": _check_named,
}


def _compare_signature(given: str, secret: str, body: bytes | None, where: str) -> None:
    if body is not None:
        _compare(given, sign_body(secret, body), where)
    elif not _DIGEST.fullmatch(given):
        raise _wrong(where)


def _compare(given: str, expected: str, where: str) -> None:
    if not hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode()):
        raise _wrong(where)


def _standard_key(secret: str) -> bytes:
    """The key behind `whsec_BASE64`; any other secret is its own bytes."""
    if secret.startswith(_WHSEC):
        try:
            return base64.b64decode(secret.removeprefix(_WHSEC), validate=True)
        except binascii.Error:
            pass
    return secret.encode()


def _missing(what: str) -> BadSignatureError:
    return BadSignatureError("the delivery is not signed", where=what, hint="give the webhook its secret")


def _wrong(where: str) -> BadSignatureError:
    return BadSignatureError(
        "the delivery's signature is not right", where=where, hint="is the secret the same on both sides?"
    )
