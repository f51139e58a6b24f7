"""The room's parts: what jobs of stages ask, where records come in, and what people see and decide."""

from dataclasses import dataclass

from agent.server.data.blobs.store import BlobStore
from agent.server.events.changes import Changes
from agent.server.events.live import Bus
from agent.server.people.auth.keys import derive_key
from agent.server.people.vault import Vault
from agent.server.pools import Pool
from agent.server.process.data_folder import DataFolder
from agent.server.runs.flow_cache import FlowCache
from agent.server.runs.runs import Runs
from agent.server.streams.bookmarks import FlowBookmarks
from agent.server.streams.deployment_keeper import DeploymentKeeper
from agent.server.streams.deployment_reading import DeploymentReading
from agent.server.streams.deployments import Deployments
from agent.server.streams.doors import Doors
from agent.server.streams.figures import FigureReading, FlowFigures
from agent.server.streams.intake import RecordIntake
from agent.server.streams.kept_records import KeptRecords
from agent.server.streams.stage_jobs import StageJobs
from agent.server.streams.stage_metrics import StageMetrics
from agent.server.streams.taking import Taking
from agent.server.streams.waiters import WaitingTurns


@dataclass(frozen=True, slots=True)
class StreamRoom:
    """`jobs` says whose stores a job may use; `doors` who may send where, `intake` keeps what is sent, `taking` hands it out.

    `deployments` are changed by people, and kept alive by the `keeper`, which goes on by itself. `figures` and
    `records` are what jobs tell of their stages and of what streams through them.
    """

    jobs: StageJobs
    bookmarks: FlowBookmarks
    doors: Doors
    intake: RecordIntake
    taking: Taking
    deployments: Deployments
    reading: DeploymentReading
    keeper: DeploymentKeeper
    figures: FlowFigures
    figure_reading: FigureReading
    metrics: StageMetrics
    records: KeptRecords


def make_stream_room(
    changes: Changes, bus: Bus, folder: DataFolder, vault: Vault, runs: Runs, plans: Pool, blobs: BlobStore
) -> StreamRoom:
    """The room."""
    database = changes.database
    jobs, waiters = StageJobs(database), WaitingTurns()
    return StreamRoom(
        jobs=jobs,
        bookmarks=FlowBookmarks(changes),
        doors=Doors(database, vault, changes.clock),
        intake=RecordIntake(changes, derive_key(folder.signing_key, "stream-records/1"), waiters),
        taking=Taking(changes, bus, waiters),
        deployments=Deployments(changes, FlowCache(), plans),
        reading=DeploymentReading(database),
        keeper=DeploymentKeeper(changes, bus, runs),
        figures=FlowFigures(changes),
        figure_reading=FigureReading(database, jobs),
        metrics=StageMetrics(database),
        records=KeptRecords(changes, blobs),
    )
