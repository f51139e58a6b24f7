"""The room's parts: who somebody is, and what is kept secret for them."""

from dataclasses import dataclass

from agent.server.people.auth.oidc import OidcClient
from agent.server.people.auth.runtime import RuntimeTokens
from agent.server.people.auth.sessions import Sessions
from agent.server.people.auth.signed_urls import SignedUrls
from agent.server.people.auth.throttle import Throttle
from agent.server.people.auth.tickets import Tickets
from agent.server.people.job_secrets import JobSecrets
from agent.server.people.sign_in import SignIn
from agent.server.people.vault import Vault


@dataclass(frozen=True, slots=True)
class PeopleRoom:
    """`oidc` None: nobody else vouches for people here."""

    sign_in: SignIn
    sessions: Sessions
    oidc: OidcClient | None
    throttle: Throttle
    runtime_tokens: RuntimeTokens
    signed_urls: SignedUrls
    tickets: Tickets
    vault: Vault
    job_secrets: JobSecrets
