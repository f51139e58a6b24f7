"""The room's parts: what jobs of stages ask, where records come in, and what people see and decide."""

from dataclasses import dataclass

from agent.server.events.changes import Changes
from agent.server.events.live import Bus
from agent.server.people.auth.keys import derive_key
from agent.server.people.vault import Vault
from agent.server.process.data_folder import DataFolder
from agent.server.streams.bookmarks import FlowBookmarks
from agent.server.streams.doors import Doors
from agent.server.streams.intake import Intake
from agent.server.streams.stage_jobs import StageJobs
from agent.server.streams.taking import Taking


@dataclass(frozen=True, slots=True)
class StreamRoom:
    """`jobs` says whose stores a job may use; `doors` who may send where, `intake` keeps what is sent, `taking` hands it out."""

    jobs: StageJobs
    bookmarks: FlowBookmarks
    doors: Doors
    intake: Intake
    taking: Taking


def make_stream_room(changes: Changes, bus: Bus, folder: DataFolder, vault: Vault) -> StreamRoom:
    """The room."""
    database = changes.database
    return StreamRoom(
        jobs=StageJobs(database),
        bookmarks=FlowBookmarks(changes),
        doors=Doors(database, vault, changes.clock),
        intake=Intake(changes, derive_key(folder.signing_key, "stream-records/1")),
        taking=Taking(changes, bus),
    )
