"""The states of archives, uploads and deliveries, which only the server's tables know. Those of runs and jobs are in
`agent.spec.status`, those of leases in `agent.wire.lease`.

An archive of a lease's journal:

    waiting --its archive is stored--> stored --the journal is removed--> done --too old--> gone
    waiting --there is nothing, or it is damaged--> kept --too old--> gone

An artifact or a cache, which only those see that upload it, until it is final:

    uploading --all bytes are there--> uploaded --finalize--> final
    uploaded --uploaded anew--> uploaded

A delivery:

    waiting --worked off--> done
    waiting --a stranger's request to merge--> held --approved--> waiting
    waiting --can't be worked off--> failed
    waiting --later again--> waiting
    done, failed --repeated--> waiting
    done, held, failed --too old--> gone
"""

from enum import StrEnum
from typing import Final

from agent.states import Transitions


class ArchiveState(StrEnum):
    """How far the archiving of a journal has come."""

    WAITING = "waiting"
    STORED = "stored"
    DONE = "done"
    KEPT = "kept"  # the journal stays as it is
    GONE = "gone"  # only that there was one is known


class UploadStatus(StrEnum):
    """How an artifact or a cache stands."""

    UPLOADING = "uploading"
    UPLOADED = "uploaded"
    FINAL = "final"


class RecordForm(StrEnum):
    """What the body of a record in a queue is."""

    JSON = "json"
    TEXT = "text"  # UTF-8
    BYTES = "bytes"


class SegmentKind(StrEnum):
    """Why the records of a segment are kept."""

    SAMPLE = "sample"  # they are the last ones
    FAILED = "failed"
    DEAD = "dead"  # dead letters: what can be sent again


class DeliveryStatus(StrEnum):
    """What became of a delivery."""

    WAITING = "waiting"
    HELD = "held"
    DONE = "done"
    FAILED = "failed"
    GONE = "gone"  # only that it was here is remembered


ARCHIVES: Final = Transitions(
    "log's archive",
    frozenset({ArchiveState.WAITING}),
    {
        ArchiveState.WAITING: frozenset({ArchiveState.STORED, ArchiveState.KEPT}),
        ArchiveState.STORED: frozenset({ArchiveState.DONE}),
        ArchiveState.DONE: frozenset({ArchiveState.GONE}),
        ArchiveState.KEPT: frozenset({ArchiveState.GONE}),
        ArchiveState.GONE: frozenset(),
    },
)
UPLOADS: Final = Transitions(
    "upload",
    frozenset({UploadStatus.UPLOADING}),
    {
        UploadStatus.UPLOADING: frozenset({UploadStatus.UPLOADED}),
        UploadStatus.UPLOADED: frozenset({UploadStatus.UPLOADED, UploadStatus.FINAL}),
        UploadStatus.FINAL: frozenset(),
    },
)
DELIVERIES: Final = Transitions(
    "delivery",
    frozenset({DeliveryStatus.WAITING, DeliveryStatus.DONE}),
    {
        DeliveryStatus.WAITING: frozenset(
            {DeliveryStatus.WAITING, DeliveryStatus.HELD, DeliveryStatus.DONE, DeliveryStatus.FAILED}
        ),
        DeliveryStatus.HELD: frozenset({DeliveryStatus.WAITING, DeliveryStatus.GONE}),
        DeliveryStatus.DONE: frozenset({DeliveryStatus.WAITING, DeliveryStatus.GONE}),
        DeliveryStatus.FAILED: frozenset({DeliveryStatus.WAITING, DeliveryStatus.GONE}),
        DeliveryStatus.GONE: frozenset(),
    },
)
