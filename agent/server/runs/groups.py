"""The keeper of the concurrency groups: heeds what runs want, and tells them what became of it.

    a run's transaction -> letter `join` or `leave`
    keeper, one transaction a project: the rule (agent.plan.concurrency) -> members, letters `entered` and `lost`
    keeper, one transaction a letter, under the run's lock: the planner is told -> the next decisions

Every server has one; the lock on a project's groups, and a letter being taken once, make them one keeper.
"""

import logging
from collections.abc import Awaitable, Iterable

from agent.plan import Event, GroupEntered, GroupLost
from agent.plan.concurrency import ConcurrencyGroup, Verdicts, Waiter, find_deadlocked, join, leave
from agent.server.events.changes import Change, Changes
from agent.server.events.live import GROUPS, Bus
from agent.server.runs.runs import Runs
from agent.server.store import groups
from agent.server.store.failures import UnavailableError
from agent.server.store.groups import TO_KEEPER, TO_RUN, GroupMemberRow, Letter
from agent.server.store.outage import Outage

log = logging.getLogger("agent.server.runs.groups")

_REST_SECONDS = 1.0  # after something went wrong
_LONGEST_SLEEP_SECONDS = 30.0  # a wake-up from another server may be lost


class GroupKeeper:
    """Keeps the groups."""

    def __init__(self, changes: Changes, bus: Bus, runs: Runs) -> None:
        self._changes = changes
        self._bus = bus
        self._runs = runs

    async def run(self) -> None:
        """Work until cancelled."""
        outage = Outage(log, "the concurrency groups")
        with self._bus.listen(GROUPS) as listener:
            while True:
                with outage:
                    outage.seconds = _LONGEST_SLEEP_SECONDS if await self.work() else _REST_SECONDS
                await listener.wait(outage.seconds)

    async def work(self) -> bool:
        """Heed all letters that are there, and those that follow from them; False when some could not be."""
        while True:
            async with self._changes.database.read() as connection:
                projects = await groups.projects_with_letters(connection)
                news = await groups.list_letters(connection, TO_RUN)
            if not projects and not news:
                return True
            done = [await _attempt(self._keep(project)) for project in projects]
            done += [await _attempt(self._deliver(letter)) for letter in news]
            if not all(done):
                return False

    async def _keep(self, project: int) -> None:
        async with self._changes.begin() as change:
            await groups.lock_groups(change.connection, project)
            letters = await groups.list_letters(change.connection, TO_KEEPER, project)
            book = _Book(change, project, await groups.list_members(change.connection, project))
            for letter in letters:
                if await groups.take_letter(change.connection, letter.id):
                    await book.heed(letter)
            await book.break_deadlock()

    async def _deliver(self, letter: Letter) -> None:
        async with self._changes.begin() as change:
            await change.lock_run(letter.run)
            if await groups.take_letter(change.connection, letter.id):
                await self._runs.advance(change, letter.run, _event(letter), attempt=letter.attempt)


async def _attempt(work: Awaitable[None]) -> bool:
    """Whether it went well: one broken letter must not stop the rest; it is told, and tried again."""
    try:
        await work
    except UnavailableError as error:
        log.warning("a letter of the concurrency groups is heeded later: %s", error)
        return False
    except Exception:  # whatever is wrong with one run, others have groups too
        log.exception("a letter of the concurrency groups could not be heeded")
        return False
    return True


class _Book:
    """The groups of one project, in one transaction."""

    def __init__(self, change: Change, project: int, members: Iterable[GroupMemberRow]) -> None:
        self._change = change
        self._project = project
        self._members = {member.id: member for member in members}

    async def heed(self, letter: Letter) -> None:
        """Let a member in or out."""
        found = next((member for member in self._members.values() if _is_of(member, letter)), None)
        group = self._group(letter.name)
        if letter.kind == "leave":
            if found is not None:
                await self._forget(found.id)
                await self._tell(letter.name, leave(group, found.id)[1])
            return
        if found is not None:
            return
        number = await groups.add_member(self._change.connection, letter, is_inside=False)
        self._members[number] = GroupMemberRow(
            number, letter.name, letter.run, letter.attempt, letter.member, is_inside=False
        )
        _, verdicts = join(group, number, cancel_in_progress=letter.cancel_in_progress, queue=letter.queue)
        await self._tell(letter.name, verdicts)

    async def break_deadlock(self) -> None:
        """Send away whoever waits for something that waits for it."""
        while True:
            waiters = [
                Waiter(row.id, row.name, row.run, row.member, is_inside=row.is_inside)
                for row in self._members.values()
            ]
            stuck = find_deadlocked(waiters)
            if stuck is None:
                return
            name = self._members[stuck].name
            reason = f"a deadlock for concurrency group '{name}' was detected"
            await self._tell(name, Verdicts(lost=((stuck, reason),)))

    def _group(self, name: str) -> ConcurrencyGroup[int]:
        rows = [row for row in self._members.values() if row.name == name]
        inside = next((row.id for row in rows if row.is_inside), None)
        return ConcurrencyGroup(inside, tuple(row.id for row in rows if not row.is_inside))

    async def _tell(self, name: str, verdicts: Verdicts[int]) -> None:
        letters = []
        for number, reason in verdicts.lost:
            row = self._members[number]
            letters.append(self._letter(row, "lost", reason))
            if not row.is_inside:
                await self._forget(number)
        for number in verdicts.entered:
            row = self._members[number]
            self._members[number] = GroupMemberRow(
                number, name, row.run, row.attempt, row.member, is_inside=True
            )
            await groups.let_in(self._change.connection, number)
            letters.append(self._letter(row, "entered"))
        await groups.post(self._change.connection, letters)

    def _letter(self, row: GroupMemberRow, kind: str, reason: str = "") -> Letter:
        return Letter(self._project, row.name, row.run, row.attempt, row.member, kind, reason=reason)

    async def _forget(self, number: int) -> None:
        del self._members[number]
        await groups.remove_member(self._change.connection, number)


def _is_of(member: GroupMemberRow, letter: Letter) -> bool:
    wanted = (letter.name, letter.run, letter.attempt, letter.member)
    return (member.name, member.run, member.attempt, member.member) == wanted


def _event(letter: Letter) -> Event:
    if letter.kind == "entered":
        return GroupEntered(letter.member, letter.name)
    return GroupLost(letter.member, letter.name, letter.reason)
