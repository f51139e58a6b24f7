"""The room's parts: who somebody is, and what is kept secret for them."""

from dataclasses import dataclass

from agent.server.people.audit_reading import AuditReading
from agent.server.people.auth.oidc import OidcClient
from agent.server.people.auth.runtime import RuntimeTokens
from agent.server.people.auth.sessions import Sessions
from agent.server.people.auth.signed_urls import SignedUrls
from agent.server.people.auth.throttle import Throttle
from agent.server.people.auth.tickets import Tickets
from agent.server.people.browser_sessions import BrowserSessions
from agent.server.people.job_secrets import JobSecrets
from agent.server.people.members import ProjectMembers
from agent.server.people.named_values import StoredSecrets, StoredVariables
from agent.server.people.personal_tokens import PersonalTokens
from agent.server.people.projects import Projects
from agent.server.people.registration_tokens import RegistrationTokens
from agent.server.people.sign_in import SignIn
from agent.server.people.users import Users
from agent.server.people.vault import Vault


@dataclass(frozen=True, slots=True)
class PeopleRoom:
    """`sessions` are cookies, `browser_sessions` their rows; `oidc` None: nobody else vouches for people here."""

    users: Users
    members: ProjectMembers
    projects: Projects
    personal_tokens: PersonalTokens
    registration_tokens: RegistrationTokens
    secrets: StoredSecrets
    variables: StoredVariables
    audit: AuditReading
    sign_in: SignIn
    sessions: Sessions
    browser_sessions: BrowserSessions
    oidc: OidcClient | None
    throttle: Throttle
    runtime_tokens: RuntimeTokens
    signed_urls: SignedUrls
    tickets: Tickets
    vault: Vault
    job_secrets: JobSecrets
