"""The room's parts: the bytes of jobs, datasets and caches."""

from dataclasses import dataclass

from agent.server.data.blobs.store import BlobStore
from agent.server.data.datasets import Datasets
from agent.server.data.job_logs import JobLogs
from agent.server.data.journals import Journals
from agent.server.data.retention import Retention


@dataclass(frozen=True, slots=True)
class DataRoom:
    """`logs` reads what a job said wherever it lies: its journal, or the archive in `blobs`."""

    blobs: BlobStore
    journals: Journals
    logs: JobLogs
    datasets: Datasets
    retention: Retention
