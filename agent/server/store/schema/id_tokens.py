"""Keys with which the server signs the tokens that jobs prove themselves with to others (OpenID Connect)."""

from sqlalchemy import Column, LargeBinary, String, Table, Text

from agent.server.store.schema.base import Time, metadata

id_token_keys = Table(
    "id_token_keys",
    metadata,
    Column("id", String, primary_key=True),  # the key's thumbprint (RFC 7638): `kid`
    Column("public", Text, nullable=False),  # as a JSON Web Key
    Column("sealed", LargeBinary, nullable=False),  # the private one, under the master key
    Column("created_at", Time, nullable=False),
    Column("signs_from", Time, nullable=False),
    Column("published_until", Time),  # NULL: nobody has replaced it
)
