"""Access: what the routes of the HTTP API ask for, and what a caller has. Every route names its access; a test walks the table.

A right is asked for in one project: the one that the run, job or artifact in the path belongs to, else the one that the
query's `project` names (`agent.server.people.auth.place`). Who has no role in it is told what is told of a project that does
not exist; who has a role that is too small is told which one is needed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from agent.errors import NotFoundError, RefusedError
from agent.server.people.auth.roles import Role
from agent.server.people.auth.runtime import JOB, PROOF, JobIdentity

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})  # RFC 9110: these change nothing


class Access(StrEnum):
    """What a route asks of its caller."""

    PUBLIC = "public"  # nothing: health, the installer
    MEMBER = "member"  # any user, whatever the role: the handler shows each what is theirs
    VIEWER = "viewer"  # from here: at least this role in the request's project
    VIEWER_OR_JOB = "viewer-or-job"  # a job: in the project of its own run
    RUNNER = "runner"
    MAINTAINER = "maintainer"
    ADMIN = "admin"
    ORGANISATION = "organisation"  # an admin of the organisation: users, projects, agents, the server
    JOB = "job"  # the runtime token of a job that is running
    RUNNER_OR_JOB = "runner-or-job"
    GIT = "git"  # a job, its token shown as git shows a password; the handler finds its repository
    PROOF = "proof"  # the token of a running job that may prove itself to others, which opens nothing else
    METRICS = (
        "metrics"  # the metrics token, or an admin of the organisation; or all, when the operator says so
    )
    BADGE = "badge"  # all, when the project says so; else a viewer: the handler checks it
    SIGN_IN = "sign-in"  # a password, or a sign-in provider's word: the handler checks it
    REGISTRATION = "registration"  # a registration token in the body, spent by the handler
    SIGNED = "signed"  # a signed URL
    HOOK = "hook"  # a signature of the body, or a secret, that the handler checks
    DOOR = "door"  # what the flow that is deployed there asks for: a signature, a token, or nothing
    AGENT = "agent"  # the handshake of the websocket

    @property
    def admits_jobs(self) -> bool:
        """Whether a job's runtime token opens the route."""
        return self in _JOBS

    @property
    def audience(self) -> str:
        """Which of a job's tokens opens the route, when one does."""
        return PROOF if self is Access.PROOF else JOB

    @property
    def admits_people(self) -> bool:
        """Whether a user may open the route."""
        return self in _PEOPLE

    def is_audited(self, method: str) -> bool:
        """Whether a call leaves a row in the audit log: what people change, how they sign in, who registers.

        What jobs and signed URLs change is of their run, and told with it.
        """
        if method in SAFE_METHODS:
            return self is Access.SIGN_IN
        return self.admits_people or self in (Access.SIGN_IN, Access.REGISTRATION)

    @property
    def role(self) -> Role | None:
        """The role that a user needs in the request's project; None: the route is about no project."""
        return _ROLES.get(self)


_ROLES = {
    Access.VIEWER: Role.VIEWER,
    Access.VIEWER_OR_JOB: Role.VIEWER,
    Access.RUNNER: Role.RUNNER,
    Access.RUNNER_OR_JOB: Role.RUNNER,
    Access.MAINTAINER: Role.MAINTAINER,
    Access.ADMIN: Role.ADMIN,
}
_JOBS = frozenset({Access.JOB, Access.GIT, Access.VIEWER_OR_JOB, Access.RUNNER_OR_JOB, Access.PROOF})
_PEOPLE = frozenset({Access.MEMBER, Access.ORGANISATION, Access.METRICS, *_ROLES})


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: a user through a token or a browser's session (`token` is its id), or a job.

    `roles` says the role by project id; `everywhere` the one in all projects, of an admin of the organisation. `cap`,
    `only_project` and `until` (seconds since the epoch) are what the token is limited to.
    """

    token: str = ""
    user: int | None = None
    name: str = ""
    is_organisation_admin: bool = False
    everywhere: Role | None = None
    roles: Mapping[int, Role] = field(default_factory=dict)
    cap: Role | None = None
    only_project: int | None = None
    until: float | None = None
    job: JobIdentity | None = None

    @property
    def is_limited(self) -> bool:
        """Whether the token may do less than its user, or for a time only."""
        return any(limit is not None for limit in (self.cap, self.only_project, self.until))

    def role_in(self, project: int) -> Role | None:
        """What the caller is in `project`; None: nobody."""
        return self.everywhere or self.roles.get(project)

    @property
    def owner(self) -> str:
        """Who calls, as rows remember it: a user, or a job."""
        return f"user/{self.user}" if self.job is None else f"job/{self.job.job}"


def check_organisation(caller: Caller) -> None:
    """Raises RefusedError unless the caller is an admin of the organisation."""
    if not caller.is_organisation_admin:
        raise RefusedError(
            "only an admin of the organisation may do this",
            hint="ask one: agent server user list --admins; a token may also be limited to less than its user",
        )


def check_role(
    caller: Caller, needed: Role, project: int, project_name: str, asked_for: str = "such thing"
) -> None:
    """Raises NotFoundError for who has no role in the project, RefusedError for who has too small a one."""
    role = caller.role_in(project)
    if role is None:
        raise nothing_there(asked_for)
    if role < needed:
        raise RefusedError(
            f"this needs the role {needed.label} in project '{project_name}'; you are {role.label}",
            hint="ask an admin of the project; a token may also be limited to less than its user",
        )


def nothing_there(asked_for: str = "such thing") -> NotFoundError:
    """What is said of a thing that is not there, and of one that the caller may not know of."""
    return NotFoundError(f"there is no {asked_for} here, or you have no role in its project")
