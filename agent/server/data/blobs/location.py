"""`--blobs-url`: where bulk bytes lie.

    (empty)                                   DATA/blobs
    file:///srv/blobs                         another folder
    s3://BUCKET/PREFIX?endpoint=&region=&direct=   a bucket; credentials come from AWS_* in the environment

`direct=no`: downloads go through us, for buckets that agents and people can't reach.
"""

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from agent.errors import UsageError
from agent.redaction import redact
from agent.server.data.blobs.disk import DiskBlobStore
from agent.server.data.blobs.store import BlobStore
from agent.server.pools import Pool

_OPTIONS = {"endpoint", "region", "direct"}
_RETRY_SECONDS = 30


def open_blobs(url: str, folder: Path, threads: Pool | None = None) -> BlobStore:
    """The blobs at `url`; empty: in `folder`. Raises UsageError for a URL that is none of the above."""
    if not url:
        return DiskBlobStore(folder, threads)
    try:
        parts = urlsplit(url)
    except ValueError:  # brackets that are not closed
        parts = urlsplit("")
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/") and not parts.query:
        return DiskBlobStore(Path(unquote(parts.path)), threads)
    if parts.scheme == "s3" and parts.hostname and parts.netloc == parts.hostname:
        return _open_bucket(url, dict(parse_qsl(parts.query, keep_blank_values=True)))
    raise UsageError(
        "not a place for blobs",
        where=redact(url.partition("?")[0]),
        hint="write file:///FOLDER or s3://BUCKET/PREFIX?endpoint=URL; credentials come from the environment",
    )


def _open_bucket(url: str, options: dict[str, str]) -> BlobStore:
    unknown = sorted(set(options) - _OPTIONS)
    if unknown or options.get("direct", "yes") not in ("yes", "no"):
        raise UsageError(
            "an option of the blobs' URL that is not known",
            where=", ".join(unknown) or "direct",
            hint="there are endpoint, region and direct=yes|no",
        )
    from datetime import timedelta

    from obstore.store import S3Store

    from agent.server.data.blobs.bucket import BucketBlobStore

    endpoint = options.get("endpoint", "")
    config: Any = {name: options[name] for name in ("endpoint", "region") if options.get(name)}
    store = S3Store.from_url(
        url.partition("?")[0],
        config=config,
        client_options={"allow_http": endpoint.startswith("http:")},
        retry_config={"retry_timeout": timedelta(seconds=_RETRY_SECONDS)},
    )
    return BucketBlobStore(store, signs=options.get("direct", "yes") == "yes")
