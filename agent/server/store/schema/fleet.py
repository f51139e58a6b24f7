"""Several server processes on one database: who they are, what they share, and the journals that they keep in it."""

from sqlalchemy import Column, LargeBinary, String, Table

from agent.server.store.schema.base import Time, Whole, metadata

servers = Table(
    "servers",
    metadata,
    Column("id", String, primary_key=True),  # of the process: a restarted server is another one
    Column("address", String, nullable=False),
    Column("software", String, nullable=False),
    Column("started_at", Time, nullable=False),
    Column("heartbeat_at", Time, nullable=False),
)

installation = Table(  # what all servers of this database must have in common
    "installation",
    metadata,
    Column("id", String, primary_key=True),  # that of the server which agents sign
    Column("signing_key", LargeBinary, nullable=False),  # under the master key
    Column("created_at", Time, nullable=False),
)

journals = Table(
    "journals",
    metadata,
    Column("job", String, primary_key=True),
    Column("lease", Whole, primary_key=True),
    Column("size_bytes", Whole, nullable=False),
)

journal_chunks = Table(
    "journal_chunks",
    metadata,
    Column("job", String, primary_key=True),
    Column("lease", Whole, primary_key=True),
    Column("offset", Whole, primary_key=True),
    Column("data", LargeBinary, nullable=False),
)
