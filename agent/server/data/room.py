"""The room's parts: the bytes of jobs, datasets and caches."""

from dataclasses import dataclass

from agent.server.data.artifacts import Artifacts
from agent.server.data.blobs.location import open_blobs
from agent.server.data.blobs.store import BlobStore
from agent.server.data.caches import Caches
from agent.server.data.charts.live import Charts
from agent.server.data.code.histories import Histories
from agent.server.data.code.stores import CodeStores
from agent.server.data.dataset_changes import DatasetChanges
from agent.server.data.dataset_reading import DatasetReading
from agent.server.data.datasets import Datasets
from agent.server.data.job_artifacts import JobArtifacts
from agent.server.data.job_caches import JobCaches
from agent.server.data.job_logs import JobLogs
from agent.server.data.journals import Journals
from agent.server.data.journals.files import FileJournals
from agent.server.data.journals.table import TableJournals
from agent.server.data.live_logs import LiveLogs
from agent.server.data.log_index import LogIndexes
from agent.server.data.retention import Retention
from agent.server.data.snapshots import Snapshots
from agent.server.data.step_results import StepResults
from agent.server.data.tags import Tags
from agent.server.data.tree_reading import TreeReading
from agent.server.data.tree_uploads import TreeUploads
from agent.server.data.uploads import Uploads
from agent.server.events.changes import Changes
from agent.server.events.live import Bus
from agent.server.pools import Pool
from agent.server.process.data_folder import DataFolder
from agent.server.process.limits import ServerLimits


@dataclass(frozen=True, slots=True)
class DataRoom:
    """`logs` reads what a job said wherever it lies: its journal, or the archive in `blobs`; `live_logs` for who watches."""

    blobs: BlobStore
    journals: Journals
    log_indexes: LogIndexes
    logs: JobLogs
    live_logs: LiveLogs
    charts: Charts
    uploads: Uploads
    artifacts: Artifacts
    job_artifacts: JobArtifacts
    tree_uploads: TreeUploads
    trees: TreeReading
    caches: Caches
    job_caches: JobCaches
    snapshots: Snapshots
    code: CodeStores
    histories: Histories
    step_results: StepResults
    tags: Tags
    datasets: DatasetReading
    dataset_changes: DatasetChanges
    retention: Retention


def make_data_room(
    changes: Changes, bus: Bus, folder: DataFolder, files: Pool, limits: ServerLimits, blobs_url: str
) -> DataRoom:
    """The room; journals lie beside the database where only this server has it, else in it."""
    database, log_indexes = changes.database, LogIndexes()
    journals = TableJournals(database, bus) if database.is_shared else FileJournals(folder.journals, files)
    blobs = open_blobs(blobs_url, folder.blobs, files)
    logs = JobLogs(database, journals, blobs, log_indexes)
    uploads = Uploads(changes, blobs, limits.artifact_bytes)
    snapshots = Snapshots(changes, blobs, limits.snapshot_bytes)
    datasets = Datasets(database, blobs, changes.clock, limits)
    return DataRoom(
        blobs=blobs,
        journals=journals,
        log_indexes=log_indexes,
        logs=logs,
        live_logs=LiveLogs(logs, bus),
        charts=Charts(database, logs),
        uploads=uploads,
        artifacts=Artifacts(changes, blobs, uploads, limits.artifact_bytes),
        job_artifacts=JobArtifacts(changes, uploads),
        tree_uploads=TreeUploads(changes, blobs, files, limits.artifact_bytes),
        trees=TreeReading(database, blobs, files),
        caches=Caches(changes, uploads),
        job_caches=JobCaches(changes, uploads),
        snapshots=snapshots,
        code=CodeStores(snapshots, folder.code, files, limits.code_bytes),
        histories=Histories(database, blobs),
        step_results=StepResults(changes),
        tags=Tags(changes),
        datasets=DatasetReading(database, datasets),
        dataset_changes=DatasetChanges(changes, datasets),
        retention=Retention(changes, journals, blobs),
    )
