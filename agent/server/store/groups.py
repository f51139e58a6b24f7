"""Concurrency groups: members, and the letters between runs and the keeper of the groups."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.server.store.locks import lock_name
from agent.server.store.schema import group_letters, group_members

TO_KEEPER = ("join", "leave")
TO_RUN = ("entered", "lost")


@dataclass(frozen=True, slots=True)
class Letter:
    """What a run tells the keeper, or the keeper a run; `id` 0: not stored yet."""

    project: int
    name: str  # of the group, without its case
    run: int
    attempt: int  # of the run: a word about an earlier one is no longer true
    member: str
    kind: str
    cancel_in_progress: bool = False
    queue: str = "single"
    reason: str = ""
    id: int = 0


@dataclass(frozen=True, slots=True)
class GroupMemberRow:
    """A run (`member` "") or a job that is in a group or waits for it."""

    id: int
    name: str
    run: int
    attempt: int
    member: str
    is_inside: bool


async def post(connection: AsyncConnection, letters: Iterable[Letter]) -> None:
    """Store letters."""
    for letter in letters:
        values = {name: getattr(letter, name) for name in Letter.__slots__ if name != "id"}
        await connection.execute(insert(group_letters).values(**values))


async def projects_with_letters(connection: AsyncConnection) -> list[int]:
    """The projects whose keeper has something to heed."""
    query = select(group_letters.c.project).where(group_letters.c.kind.in_(TO_KEEPER)).distinct()
    return list((await connection.execute(query.order_by(group_letters.c.project))).scalars())


async def lock_groups(connection: AsyncConnection, project: int) -> None:
    """Be the only keeper of the project's groups until this transaction ends."""
    await lock_name(connection, f"the concurrency groups of project {project}")


async def list_letters(
    connection: AsyncConnection, kinds: Iterable[str], project: int | None = None
) -> list[Letter]:
    """Letters in the order in which they were written."""
    columns = [group_letters.c[name] for name in Letter.__slots__]
    query = select(*columns).where(group_letters.c.kind.in_(kinds)).order_by(group_letters.c.id)
    if project is not None:
        query = query.where(group_letters.c.project == project)
    return [Letter(**row) for row in (await connection.execute(query)).mappings()]


async def take_letter(connection: AsyncConnection, letter: int) -> bool:
    """Remove a letter that is being heeded; False when somebody else did."""
    done = await connection.execute(delete(group_letters).where(group_letters.c.id == letter))
    return done.rowcount == 1


async def list_members(connection: AsyncConnection, project: int) -> list[GroupMemberRow]:
    """All members of the project's groups, oldest first."""
    columns = [group_members.c[name] for name in GroupMemberRow.__slots__]
    query = select(*columns).where(group_members.c.project == project).order_by(group_members.c.id)
    return [GroupMemberRow(**row) for row in (await connection.execute(query)).mappings()]


async def add_member(connection: AsyncConnection, letter: Letter, *, is_inside: bool) -> int:
    """Note that the writer of a `join` is in the group, or waits; give its number."""
    statement = (
        insert(group_members)
        .values(
            project=letter.project,
            name=letter.name,
            run=letter.run,
            attempt=letter.attempt,
            member=letter.member,
            is_inside=is_inside,
        )
        .returning(group_members.c.id)
    )
    return int((await connection.execute(statement)).scalar_one())


async def let_in(connection: AsyncConnection, member: int) -> None:
    """Note that a member that waited is in."""
    await connection.execute(update(group_members).where(group_members.c.id == member).values(is_inside=True))


async def remove_member(connection: AsyncConnection, member: int) -> None:
    """Forget a member."""
    await connection.execute(delete(group_members).where(group_members.c.id == member))
