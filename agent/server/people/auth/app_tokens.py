"""Tokens of apps: what a job's program asks of who opens its port, so that the machine's other users are not let in.

They are kept nowhere: each follows from our signing key and from what it is for, goes to the job sealed with its secrets, and
stands in links in place of `{token}`.
"""

import hmac

from agent.server.people.auth.keys import derive_key

_HEX_DIGITS = 40


class AppTokens:
    """Makes them."""

    def __init__(self, signing_key: bytes) -> None:
        self._key = derive_key(signing_key, "app-token/1")

    def make(self, job: str, lease: int, place: int) -> str:
        """The token of the app at `place` in the attempt `lease` at `job`: hexadecimal digits."""
        return hmac.digest(self._key, f"{job}/{lease}/{place}".encode(), "sha256").hex()[:_HEX_DIGITS]
