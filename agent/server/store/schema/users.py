"""People and programs with an account, and what each may do in which project."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, String, Table, Text

from agent.server.store.schema.base import Time, Whole, metadata

users = Table(
    "users",
    metadata,
    Column("id", Whole, primary_key=True, autoincrement=True),
    Column("name", String, nullable=False, unique=True),  # in small letters
    Column("kind", String, nullable=False),  # person, service
    Column("is_admin", Boolean, nullable=False),  # of the organisation: everything, everywhere
    Column("password", String),  # argon2; NULL: signs in some other way
    Column("subject", String, unique=True),  # JSON: issuer and subject of an OpenID Connect account
    Column("created_at", Time, nullable=False),
    Column("disabled_at", Time),
    sqlite_autoincrement=True,
)

memberships = Table(
    "memberships",
    metadata,
    Column("user", Whole, ForeignKey("users.id"), primary_key=True),
    Column("project", Whole, ForeignKey("projects.id"), primary_key=True),
    Column("role", String, nullable=False),  # agent.server.people.auth.roles.Role
    Column("origin", String, nullable=False),  # set: by a person; claim: by what the sign-in provider says
    Column("created_at", Time, nullable=False),
)
Index("memberships_project", memberships.c.project)

audit = Table(
    "audit",
    metadata,
    Column("id", Whole, primary_key=True, autoincrement=True),
    Column("time", Time, nullable=False),
    Column("actor", String, nullable=False),  # a user's name as it was then; empty: a stranger
    Column("user", Whole),  # no foreign keys: a row says what was, whatever is removed later
    Column("token", String),
    Column("address", String, nullable=False),
    Column("action", String, nullable=False),  # verb and route, such as `PUT /api/v1/secrets/{name}`
    Column("target", String, nullable=False),  # the path as it was called
    Column("project", Whole),
    Column("outcome", String, nullable=False),  # done, refused, failed
    Column("detail", Text, nullable=False),  # JSON object
    sqlite_autoincrement=True,
)
Index("audit_project", audit.c.project, audit.c.id)
Index("audit_actor", audit.c.actor, audit.c.id)
