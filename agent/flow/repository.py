"""A repository's URL, and what it says of where that lies."""

import re
from typing import Final

_SSH: Final = r"(?:[\w.-]+@)?(?P<host>[\w.-]+):(?!//)(?P<path>.+)"


def split_repository(url: str) -> tuple[str, str]:
    """(the git server's URL, `owner/repo`) of a repository's URL; no server for a local path or nothing."""
    from urllib.parse import urlsplit  # who only reads a flow asks nothing of this

    parts = urlsplit(url)
    match = re.fullmatch(_SSH, url)
    if parts.scheme in ("http", "https"):
        server = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    elif parts.scheme == "ssh" or match:
        server = f"https://{match['host'] if match else parts.hostname}"
    else:
        server = ""
    path = match["path"] if match and parts.scheme != "ssh" else parts.path
    names = [name for name in path.removesuffix("/").removesuffix(".git").split("/") if name]
    return server, "/".join(names[-2:]) if len(names) > 1 else ""
