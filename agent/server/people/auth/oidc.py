"""Signing in at a provider by OpenID Connect: authorization code with PKCE, and what its word is worth.

    browser -> /login/oidc -> provider -> /login/oidc/callback?code&state -> token endpoint -> ID token

`state` binds the answer to the browser that asked, `nonce` the ID token to this sign-in, PKCE the code to us. The
provider's settings and keys are read from its discovery document and kept for an hour.
"""

import hashlib
import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from agent.asking import ask
from agent.clock import Clock
from agent.errors import RefusedError, UnreachableError, UsageError
from agent.server.people.auth.roles import Role, read_role
from agent.server.pools import Pool

_ALGORITHMS = ["RS256", "ES256", "PS256", "EdDSA"]
_KEPT_SECONDS = 3600.0
_TIMEOUT_SECONDS = 10.0
_LEEWAY_SECONDS = 60


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """One provider. `roles` says for each value of the claim which role it gives in which project (by name)."""

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    name: str = "your organisation's account"
    domains: frozenset[str] = frozenset()  # of mail addresses; empty: any
    claim: str = "groups"
    roles: Mapping[str, tuple[tuple[str, Role], ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OidcIdentity:
    """Who signed in, as the provider says: `subject` never changes, the rest may."""

    subject: str
    name: str
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Provider:
    authorization: str
    token: str
    keys: KeySet
    posts_secret: bool
    read_at: float


def read_oidc(values: Mapping[str, str]) -> OidcSettings | None:
    """The provider that the settings `oidc_*` describe; None when no issuer is set. Raises UsageError."""
    if not values["oidc_issuer"]:
        return None
    if not values["oidc_client_id"] or not values["oidc_client_secret"]:
        raise UsageError(
            "the sign-in provider needs a client id and its secret",
            where="AGENT_OIDC_CLIENT_ID, AGENT_OIDC_CLIENT_SECRET",
        )
    issuer = values["oidc_issuer"]
    if urlsplit(issuer).scheme != "https" and urlsplit(issuer).hostname not in (
        "127.0.0.1",
        "localhost",
        "::1",
    ):
        raise UsageError("the sign-in provider is not reached by https", where=issuer)
    return OidcSettings(
        issuer=issuer,
        client_id=values["oidc_client_id"],
        client_secret=values["oidc_client_secret"],
        name=values["oidc_name"] or "your organisation's account",
        domains=frozenset(values["oidc_domains"].lower().split()),
        claim=values["oidc_claim"] or "groups",
        roles=_read_roles(values["oidc_roles"]),
    )


def _read_roles(text: str) -> dict[str, tuple[tuple[str, Role], ...]]:
    """`ml=vision:runner ml=nlp:viewer` as roles by group. Raises UsageError."""
    found: dict[str, tuple[tuple[str, Role], ...]] = {}
    for rule in text.split():
        group, _, given = rule.rpartition("=")
        project, colon, role = given.partition(":")
        if not group or not colon or not project:
            raise UsageError(
                f"'{rule[:80]}' is no rule for roles",
                where="AGENT_OIDC_ROLES",
                hint="such as ml-team=vision:runner",
            )
        found[group] = (*found.get(group, ()), (project, read_role(role)))
    return found


def challenge_of(verifier: str) -> str:
    """What PKCE sends ahead of `verifier` (RFC 7636, S256)."""
    return urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


class OidcClient:
    """Speaks with the provider."""

    def __init__(self, settings: OidcSettings, clock: Clock, threads: Pool) -> None:
        self.settings = settings
        self._clock = clock
        self._threads = threads
        self._provider: _Provider | None = None

    async def authorization_url(self, *, redirect_uri: str, state: str, nonce: str, verifier: str) -> str:
        """Where the browser goes to sign in. Raises UnreachableError."""
        provider = await self._discover()
        query = urlencode(
            {
                "response_type": "code",
                "client_id": self.settings.client_id,
                "redirect_uri": redirect_uri,
                "scope": "openid profile email",
                "state": state,
                "nonce": nonce,
                "code_challenge": challenge_of(verifier),
                "code_challenge_method": "S256",
            }
        )
        return f"{provider.authorization}{'&' if '?' in provider.authorization else '?'}{query}"

    async def redeem(self, code: str, *, redirect_uri: str, nonce: str, verifier: str) -> OidcIdentity:
        """Who the code stands for. Raises RefusedError, UnreachableError."""
        provider = await self._discover()
        answer = await self._ask_token(provider, code, redirect_uri, verifier)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise RefusedError("the sign-in provider sent no ID token")
        try:
            claims = self._read_claims(provider, token)
        except RefusedError:
            provider = await self._discover(afresh=True)  # its keys may have changed since they were read
            claims = self._read_claims(provider, token)
        if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
            raise RefusedError("the ID token is for another sign-in")
        return self._identity(claims)

    def _read_claims(self, provider: _Provider, token: str) -> dict[str, Any]:
        rules = jwt.JWTClaimsRegistry(
            now=int(self._clock.now()),
            leeway=_LEEWAY_SECONDS,
            iss={"essential": True, "value": self.settings.issuer},
            aud={"essential": True, "value": self.settings.client_id},
            exp={"essential": True},
            iat={"essential": True},
            sub={"essential": True},
        )
        try:
            claims = jwt.decode(token, provider.keys, algorithms=_ALGORITHMS).claims
            rules.validate(claims)
        except (JoseError, ValueError, TypeError) as error:
            raise RefusedError(f"the ID token is not valid: {error}") from None
        is_others = claims.get("azp", self.settings.client_id) != self.settings.client_id
        if is_others or not isinstance(claims["sub"], str):
            raise RefusedError("the ID token is for another client")
        return dict(claims)

    def _identity(self, claims: Mapping[str, Any]) -> OidcIdentity:
        mail = str(claims.get("email", ""))
        domain = mail.rpartition("@")[2].lower()
        if self.settings.domains and (
            claims.get("email_verified") is not True or domain not in self.settings.domains
        ):
            raise RefusedError(
                "this account's mail address is of a domain that may not sign in here, or is not verified",
                hint="use another account, or ask an admin",
            )
        groups = claims.get(self.settings.claim, [])
        listed = [groups] if isinstance(groups, str) else groups if isinstance(groups, list) else []
        name = str(claims.get("preferred_username") or mail.partition("@")[0] or claims.get("name") or "user")
        return OidcIdentity(claims["sub"], name, tuple(group for group in listed if isinstance(group, str)))

    async def _ask_token(
        self, provider: _Provider, code: str, redirect_uri: str, verifier: str
    ) -> dict[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        secret = (self.settings.client_id, self.settings.client_secret)
        if provider.posts_secret:
            form |= {"client_id": secret[0], "client_secret": secret[1]}
        return await self._fetch("POST", provider.token, form, None if provider.posts_secret else secret)

    async def _discover(self, *, afresh: bool = False) -> _Provider:
        known, now = self._provider, self._clock.monotonic()
        if known is not None and not afresh and now - known.read_at < _KEPT_SECONDS:
            return known
        url = f"{self.settings.issuer.rstrip('/')}/.well-known/openid-configuration"
        found = await self._fetch("GET", url)
        if found.get("issuer") != self.settings.issuer:
            raise UnreachableError("the sign-in provider says that it is another issuer", where=url)
        try:
            keys = KeySet.import_key_set(await self._fetch("GET", str(found["jwks_uri"])))  # type: ignore[arg-type]
            methods = found.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
            self._provider = _Provider(
                str(found["authorization_endpoint"]),
                str(found["token_endpoint"]),
                keys,
                posts_secret="client_secret_basic" not in methods,
                read_at=now,
            )
        except (KeyError, TypeError, ValueError, JoseError):
            raise UnreachableError("the sign-in provider's description can't be read", where=url) from None
        return self._provider

    async def _fetch(
        self,
        verb: str,
        url: str,
        form: Mapping[str, str] | None = None,
        secret: tuple[str, str] | None = None,
    ) -> dict[str, Any]:
        # As a whole in a thread: an asynchronous client looks names up in the threads that asyncio shares.
        return await self._threads.run_for(urlsplit(url).netloc, _fetch, verb, url, form, secret)


def _fetch(
    verb: str, url: str, form: Mapping[str, str] | None, secret: tuple[str, str] | None
) -> dict[str, Any]:
    import httpx

    try:
        response = ask(
            verb, url, data=form, auth=secret, timeout=_TIMEOUT_SECONDS, answer_seconds=_TIMEOUT_SECONDS
        )
        answer = json.loads(response.content)
    except (httpx.HTTPError, UnreachableError, ValueError, RecursionError):
        raise UnreachableError("the sign-in provider does not answer", where=url) from None
    if response.status_code >= 400 or not isinstance(answer, dict):
        raise RefusedError("the sign-in provider refused the sign-in", hint="begin again")
    return answer
