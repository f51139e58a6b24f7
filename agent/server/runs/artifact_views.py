"""Artifacts as the API and platform events show them."""

import msgspec

from agent.server.process.moments import Moment, time_text
from agent.server.store.artifacts import ArtifactRow


class ArtifactView(msgspec.Struct):
    """A finished artifact: `size_bytes` and `digest` are of what a download gives (the digest empty where nobody knows it)."""

    id: int
    run: int
    job: str
    name: str
    size_bytes: int
    digest: str
    mime_type: str
    created: Moment | None
    expires: Moment | None
    tree: str = (
        ""  # the digest of its manifest, when it is stored by content: its zip is made when it is asked for
    )


def view_artifact(row: ArtifactRow) -> ArtifactView:
    """A finished artifact's row."""
    return ArtifactView(
        id=row.id,
        run=row.run,
        job=row.job,
        name=row.name,
        size_bytes=row.size_bytes,
        digest="" if row.is_tree else row.digest,
        mime_type=row.mime_type,
        created=time_text(row.created_at),
        expires=time_text(row.expires_at),
        tree=row.digest if row.is_tree else "",
    )
