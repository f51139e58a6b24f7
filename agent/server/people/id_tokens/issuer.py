"""The issuer: a job's token, signed; good for minutes, for one audience.

Times are as GitHub's: `nbf` lies before `iat`, since clocks differ, and `exp` five minutes after it. The issuer is the server's
own URL, never what a request says of it: others compare it word for word.
"""

import secrets

from joserfc import jwt

from agent.errors import UsageError
from agent.server.events.changes import Changes
from agent.server.people.auth.runtime import JobIdentity
from agent.server.people.id_tokens.claims import describe_job
from agent.server.people.id_tokens.keys import ALGORITHM, IdTokenKeys

_LIFE_SECONDS = 300
_EARLIER_SECONDS = 600
_LONGEST_AUDIENCE = 1000


class IdTokens:
    """Signs; `url` is what others know this server by."""

    def __init__(self, changes: Changes, keys: IdTokenKeys, url: str) -> None:
        self.keys = keys
        self.url = url.rstrip("/")
        self._changes = changes

    async def sign(self, identity: JobIdentity, audience: str) -> str:
        """A token of the job for `audience`; empty: the owner of its code, as at GitHub. Raises RefusedError, UsageError."""
        if len(audience) > _LONGEST_AUDIENCE or not (audience.isprintable()):
            raise UsageError(f"an audience has {_LONGEST_AUDIENCE} characters at most, all of them visible")
        async with self._changes.database.read() as connection:
            job = await describe_job(connection, identity, self.url)
        key, now = await self.keys.find_signing(), int(self._changes.clock.now())
        claims = {
            **job.claims,
            "iss": self.url,
            "aud": audience or job.default_audience,
            "jti": secrets.token_hex(16),
            "iat": now,
            "nbf": now - _EARLIER_SECONDS,
            "exp": now + _LIFE_SECONDS,
        }
        return jwt.encode({"alg": ALGORITHM, "typ": "JWT", "kid": key.id}, claims, key.private)
