"""A job's own token (`ACTIONS_RUNTIME_TOKEN`): a JWT that is good for one run, job and lease, while the job runs.

GitHub's clients decode it and want `scp` to name `Actions.Results:<run>:<job>`; buildkit also reads `ac`
(github-facts.md, sections 0 and 4). We believe nothing of it but what our signature and the jobs table say: that ends a
token with its job, by no clock. `iat` and `exp` are there for clients; a server whose clock has leaped, or is not quite its
neighbour's, would else refuse the jobs that run.
"""

import json
from dataclasses import dataclass

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from agent.errors import RefusedError
from agent.server.people.auth.keys import derive_key

_ALGORITHM = "HS256"
_SPARE_SECONDS = 3600  # on top of the job's own time-outs
_READ_WRITE = 3

JOB = "job"  # opens what GitHub's clients call
PROOF = "proof"  # asks for tokens with which the job proves itself to others, and opens nothing else


@dataclass(frozen=True, slots=True)
class JobIdentity:
    """The job that a runtime token speaks for."""

    run: int
    job: str
    lease: int


class RuntimeTokens:
    """Mints and reads runtime tokens."""

    def __init__(self, signing_key: bytes, server_id: str) -> None:
        self._key = OctKey.import_key(derive_key(signing_key, "runtime-token/1"))
        self._server_id = server_id

    def mint(self, identity: JobIdentity, *, scope: str, lifetime_seconds: float, now: float) -> str:
        """A token for `identity`; `scope` is that of the caches that the job may write (mostly a git ref)."""
        claims = {
            "iss": self._server_id,
            **_describe(identity, JOB, lifetime_seconds, now),
            "scp": f"Actions.Results:{identity.run}:{identity.job}",
            "ac": json.dumps([{"Scope": scope, "Permission": _READ_WRITE}]),
        }
        return jwt.encode({"alg": _ALGORITHM, "typ": "JWT"}, claims, self._key)

    def mint_for_id_tokens(self, identity: JobIdentity, *, lifetime_seconds: float, now: float) -> str:
        """What `run:` steps may have too (ACTIONS_ID_TOKEN_REQUEST_TOKEN): it opens one route."""
        claims = {"iss": self._server_id, **_describe(identity, PROOF, lifetime_seconds, now)}
        return jwt.encode({"alg": _ALGORITHM, "typ": "JWT"}, claims, self._key)

    def read(self, token: str, audience: str = JOB) -> JobIdentity:
        """Whose token this is. Whether the job still runs is the caller's to check.

        Raises RefusedError for every other signature, algorithm, server or audience.
        """
        rules = jwt.JWTClaimsRegistry(iss={"value": self._server_id}, aud={"value": audience})
        try:
            claims = jwt.decode(token, self._key, algorithms=[_ALGORITHM]).claims
            rules.validate({name: claims[name] for name in ("iss", "aud")})
            return JobIdentity(int(claims["run"]), str(claims["job"]), int(claims["lease"]))
        except (JoseError, ValueError, KeyError, TypeError):
            raise RefusedError("the job's token is not valid") from None


def _describe(identity: JobIdentity, audience: str, lifetime_seconds: float, now: float) -> dict[str, object]:
    return {
        "aud": audience,
        "iat": int(now),
        "exp": int(now + lifetime_seconds + _SPARE_SECONDS),
        "run": identity.run,
        "job": identity.job,
        "lease": identity.lease,
    }
