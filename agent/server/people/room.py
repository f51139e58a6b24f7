"""The room's parts: who somebody is, and what is kept secret for them."""

from dataclasses import dataclass

from agent.server.events.changes import Changes
from agent.server.people.app_visits import AppVisits
from agent.server.people.audit_reading import AuditReading
from agent.server.people.auth.app_tokens import AppTokens
from agent.server.people.auth.oidc import OidcClient, OidcSettings
from agent.server.people.auth.runtime import RuntimeTokens
from agent.server.people.auth.sessions import Sessions
from agent.server.people.auth.signed_urls import SignedUrls
from agent.server.people.auth.throttle import Throttle
from agent.server.people.auth.tickets import Tickets
from agent.server.people.browser_sessions import BrowserSessions
from agent.server.people.id_tokens.issuer import IdTokens
from agent.server.people.id_tokens.keys import IdTokenKeys
from agent.server.people.job_secrets import FindJobToken, JobSecrets
from agent.server.people.members import ProjectMembers
from agent.server.people.named_values import StoredSecrets, StoredVariables
from agent.server.people.personal_tokens import PersonalTokens
from agent.server.people.projects import Projects
from agent.server.people.registration_tokens import RegistrationTokens
from agent.server.people.sign_in import SignIn
from agent.server.people.users import Users
from agent.server.people.vault import Vault
from agent.server.pools import Pools
from agent.server.process.data_folder import DataFolder


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
    app_visits: AppVisits
    app_tokens: AppTokens
    oidc: OidcClient | None
    throttle: Throttle
    runtime_tokens: RuntimeTokens
    signed_urls: SignedUrls
    tickets: Tickets
    vault: Vault
    job_secrets: JobSecrets
    id_tokens: IdTokens


def make_people_room(
    changes: Changes,
    vault: Vault,
    folder: DataFolder,
    pools: Pools,
    find_job_token: FindJobToken,
    oidc: OidcSettings | None,
    failures_per_minute: int,
    own_url: str,
) -> PeopleRoom:
    """The room; `failures_per_minute` is how often a client may guess wrong, `own_url` what others know this server by."""
    database, clock = changes.database, changes.clock
    throttle = Throttle(clock, failures_per_minute)
    return PeopleRoom(
        users=Users(changes, pools.passwords),
        members=ProjectMembers(changes),
        projects=Projects(changes),
        personal_tokens=PersonalTokens(changes),
        registration_tokens=RegistrationTokens(changes),
        secrets=StoredSecrets(changes, vault),
        variables=StoredVariables(changes),
        audit=AuditReading(database),
        sign_in=SignIn(database, throttle, pools.passwords, clock),
        sessions=Sessions(folder.signing_key),
        browser_sessions=BrowserSessions(changes),
        app_visits=AppVisits(changes),
        app_tokens=AppTokens(folder.signing_key),
        oidc=None if oidc is None else OidcClient(oidc, clock, pools.outside),
        throttle=throttle,
        runtime_tokens=RuntimeTokens(folder.signing_key, folder.server_id),
        signed_urls=SignedUrls(folder.signing_key),
        tickets=Tickets(folder.signing_key, folder.server_id, clock),
        vault=vault,
        job_secrets=JobSecrets(database, vault, find_job_token),
        id_tokens=IdTokens(changes, IdTokenKeys(changes, vault, pools.passwords), own_url),
    )
