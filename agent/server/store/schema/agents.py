"""Agents, and the tokens of people and machines."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, String, Table, Text, false

from agent.server.store.schema.base import Time, Whole, metadata

agents = Table(
    "agents",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("group_name", String, nullable=False),
    Column("labels", Text, nullable=False),  # JSON list: those of the registration and of the token
    Column("max_jobs", Whole, nullable=False),
    Column("is_ephemeral", Boolean, nullable=False),
    Column("is_draining", Boolean, nullable=False),
    Column("identity", Text, nullable=False),  # JSON: public halves only
    Column("inventory", Text, nullable=False),
    Column("software", String, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("last_seen_at", Time, nullable=False),
    # What an admin of the server says; where it is not NULL it stands instead of what the agent says of itself.
    Column("set_labels", Text),  # JSON list
    Column("set_max_jobs", Whole),
    Column("set_draining", Boolean, nullable=False, server_default=false()),
    Column("projects", Text),  # JSON list of ids that it works for; NULL: all
    Column("address", String, nullable=False, server_default=""),  # where other agents reach it
    Column("removed_at", Time),  # set: the identity is refused for ever
    Column("connected_to", String),  # the server process that holds its connection
    Column(
        "connection", Whole, nullable=False, server_default="0"
    ),  # counts them: only the last one is heard
    Column("generation", Whole, nullable=False, server_default="0"),  # that its state has kept
    Column("ready", Text),  # JSON: what it can be given now; NULL: nothing
    Column("figures", Text),  # JSON: its machine's samples, written now and then
)
Index(
    "agents_name",
    agents.c.name,
    unique=True,
    sqlite_where=agents.c.removed_at.is_(None),
    postgresql_where=agents.c.removed_at.is_(None),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", String, primary_key=True),
    Column("kind", String, nullable=False),  # api, registration, session, app-link, app-visit
    Column("hash", String, nullable=False, unique=True),  # SHA-256 in hex; the token itself is nowhere
    Column("name", String, nullable=False),
    Column("labels", Text, nullable=False),
    Column("uses_left", Whole),  # NULL: no limit
    Column("created_at", Time, nullable=False),
    Column("expires_at", Time),
    Column("revoked_at", Time),
    Column("user", Whole, ForeignKey("users.id")),  # whose it is; for registration tokens: who made it
    Column("role", String),  # at most this role
    Column("project", Whole, ForeignKey("projects.id")),  # in this project only
    Column("group_name", String, nullable=False, server_default=""),  # of agents that it registers
    Column("last_used_at", Time),
    Column("parent", String),  # of a session: the personal token that it was signed in with, and ends with
)
Index("tokens_user", tokens.c.user, tokens.c.kind)
