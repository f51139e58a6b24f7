"""The rooms that a request may ask: each handler takes the one that it is about.

`agent.server.services` puts them together; no room knows this list.
"""

from dataclasses import dataclass

from agent.clock import Clock
from agent.server.agents.room import AgentRoom
from agent.server.data.room import DataRoom
from agent.server.events.changes import Changes
from agent.server.events.live import Bus
from agent.server.http.room import HttpRoom
from agent.server.people.room import PeopleRoom
from agent.server.process.room import ProcessRoom
from agent.server.runs.room import RunRoom
from agent.server.store.database import Database
from agent.server.streams.room import StreamRoom
from agent.server.triggers.service import Triggers
from agent.server.triggers.serving import CodeServing


@dataclass(frozen=True, slots=True)
class Rooms:
    """One server, as requests see it: who waits hears the `bus`.

    `database` and `changes` are for who lets callers in and writes down what they did. Handlers ask the rooms.
    """

    clock: Clock
    database: Database
    changes: Changes
    bus: Bus
    process: ProcessRoom
    people: PeopleRoom
    runs: RunRoom
    data: DataRoom
    triggers: Triggers
    agents: AgentRoom
    code: CodeServing
    http: HttpRoom
    streams: StreamRoom
