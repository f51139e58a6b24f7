"""Git LFS at the address of served code: what its clone has on disk is given, and of what it has not is said why.

    POST /OWNER/NAME.git/info/lfs/objects/batch    which objects, and where they are
    GET  /OWNER/NAME.git/info/lfs/objects/OID      one of them, where there are any

Source: docs/api/batch.md and basic-transfers.md of git-lfs. Objects are only read; an OID is a SHA-256, and never a path.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from agent.errors import RefusedError, UsageError

MEDIA_TYPE: Final = "application/vnd.git-lfs+json"
OBJECTS: Final = "/info/lfs/objects/"
BATCH: Final = f"{OBJECTS}batch"
MOST_BODY_BYTES: Final = 4 << 20
NOT_IN_CLONE: Final = (
    "the clone that this run works on does not have this object: run `git lfs fetch` in it, before the run"
)
NOT_ON_SERVER: Final = (
    "objects of Git LFS don't come with a run's code to this server: use flow-agent/checkout@v1, with `lfs: true` where the run"
    " is of a connected repository, or leave `lfs` out"
)
_OID: Final = re.compile(r"[0-9a-f]{64}")
_MISSING: Final = 404


def answer_batch(
    body: bytes, storage: Path | None, address: str, authorization: str, absent: str
) -> dict[str, Any]:
    """The answer to a batch request: of each object its place below `address`, or `absent`, the reason why it is not here.

    `storage` is the folder with the objects, None where there are none; `authorization` is what the request has shown, and the next shows again.
    Raises UsageError, and RefusedError for an upload.
    """
    try:
        asked = json.loads(body)
        operation, wanted = (
            asked["operation"],
            [(str(one["oid"]), int(one["size"])) for one in asked["objects"]],
        )
    except (ValueError, KeyError, TypeError):
        raise UsageError("this is no batch request of Git LFS") from None
    if operation != "download":
        raise RefusedError(
            "code is only read here", hint="push to the address that the repository has outside"
        )
    header = {"Authorization": authorization} if authorization else {}
    objects: list[Mapping[str, Any]] = []
    for oid, size in wanted:
        if find_object(storage, oid) is None:
            objects.append({"oid": oid, "size": size, "error": {"code": _MISSING, "message": absent}})
        else:
            place = {"href": f"{address}{OBJECTS}{oid}", "header": header}
            objects.append({"oid": oid, "size": size, "authenticated": True, "actions": {"download": place}})
    return {"transfer": "basic", "objects": objects}


def find_object(storage: Path | None, oid: str) -> Path | None:
    """The file of an object; None where it is not here, or the name is none."""
    if storage is None or not _OID.fullmatch(oid):
        return None
    file = storage / oid[:2] / oid[2:4] / oid
    return file if file.is_file() else None
