"""Tables of serving itself: requests that must not happen twice."""

from sqlalchemy import Column, Index, LargeBinary, String, Table

from agent.server.store.schema.base import Time, Whole, metadata

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("owner", String, primary_key=True),  # who sent the key: everybody has keys of their own
    Column("key", String, primary_key=True),
    Column("digest", String, nullable=False),  # of verb, address and body
    Column("created_at", Time, nullable=False),
    Column("status", Whole),  # NULL: the first request has not ended
    Column("answer", LargeBinary),  # encrypted under the master key: an answer may hold a new token
)
Index("idempotency_keys_created", idempotency_keys.c.created_at)
