"""The room's parts: the bytes of jobs, datasets and caches."""

from dataclasses import dataclass

from agent.server.data.artifacts import Artifacts
from agent.server.data.blobs.store import BlobStore
from agent.server.data.caches import Caches
from agent.server.data.dataset_changes import DatasetChanges
from agent.server.data.dataset_reading import DatasetReading
from agent.server.data.job_logs import JobLogs
from agent.server.data.journals import Journals
from agent.server.data.retention import Retention
from agent.server.data.snapshots import Snapshots
from agent.server.data.tags import Tags
from agent.server.data.uploads import Uploads


@dataclass(frozen=True, slots=True)
class DataRoom:
    """`logs` reads what a job said wherever it lies: its journal, or the archive in `blobs`."""

    blobs: BlobStore
    journals: Journals
    logs: JobLogs
    uploads: Uploads
    artifacts: Artifacts
    caches: Caches
    snapshots: Snapshots
    tags: Tags
    datasets: DatasetReading
    dataset_changes: DatasetChanges
    retention: Retention
