"""Signs of life: noted in memory as they come, brought into rows now and then, many agents in one change.

A fleet's heartbeats must cost next to nothing. What a crash takes with it is half a minute of them, a small part of the
time that an agent may be silent before its jobs count as lost.
"""

import asyncio
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

from agent.server.events.changes import Changes
from agent.server.store import agents, leases
from agent.server.store.failures import UnavailableError
from agent.wire import messages as m
from agent.wire.lease import LeaseTerms

log = logging.getLogger("agent.server")

_NOTE_SECONDS = 30.0  # so old what the rows say of a living agent may be
_LOOKS = 10  # in that time
_MOST_AT_ONCE = 100  # in one change: nobody waits long for it


@dataclass(slots=True)
class _Heard:
    """The latest of one agent."""

    heartbeat: m.Heartbeat
    noted_at: float = float("-inf")  # on the monotonic clock
    is_news: bool = True


class Heartbeats:
    """The agents' signs of life; `run` brings them into rows."""

    def __init__(self, changes: Changes, terms: LeaseTerms) -> None:
        self._changes = changes
        self._grace_seconds = terms.grace_seconds
        self._note_seconds = min(_NOTE_SECONDS, terms.grace_seconds / 10)
        self._heard: dict[str, _Heard] = {}

    def beat(self, agent: str, heartbeat: m.Heartbeat) -> None:
        """The agent was heard of."""
        heard = self._heard.get(agent)
        if heard is None:
            self._heard[agent] = _Heard(heartbeat)
        else:
            heard.heartbeat, heard.is_news = heartbeat, True

    def figures_of(self, agent: str) -> Mapping[str, object]:
        """The latest samples of the machine that the agent sent to this process."""
        heard = self._heard.get(agent)
        return {} if heard is None else heard.heartbeat.figures

    def forget(self, agent: str) -> None:
        """The agent was removed."""
        self._heard.pop(agent, None)

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await asyncio.sleep(self._note_seconds / _LOOKS)
            try:
                await self.note_all()
            except UnavailableError as error:
                log.warning("the agents' signs of life are noted later: %s", error)

    async def note_all(self) -> None:
        """Bring into rows what is due: that the agents live, what they sampled, and that the leases they hold go on."""
        while due := self._take_due():
            try:
                await self._note(due)
            except BaseException:
                for agent in due:
                    self._heard[agent].is_news = True
                raise

    def _take_due(self) -> dict[str, m.Heartbeat]:
        now = self._changes.clock.monotonic()
        before = now - self._note_seconds
        due = (name for name, heard in self._heard.items() if heard.is_news and heard.noted_at <= before)
        taken = sorted(islice(due, _MOST_AT_ONCE))  # whoever else locks several agents does it in this order
        for agent in taken:
            self._heard[agent].is_news, self._heard[agent].noted_at = False, now
        return {agent: self._heard[agent].heartbeat for agent in taken}

    async def _note(self, due: Mapping[str, m.Heartbeat]) -> None:
        async with self._changes.begin() as change:
            deadline = change.now + self._grace_seconds
            for agent, heartbeat in due.items():
                figures = json.dumps(dict(heartbeat.figures))
                await agents.note_alive(change.connection, agent, figures, change.now)
                if heartbeat.held:
                    held = [job.job for job in heartbeat.held]
                    await leases.extend_leases(change.connection, deadline, agent=agent, jobs=held)
