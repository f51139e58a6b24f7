"""Secrets: encrypted under the master key at rest, sealed to one agent for one lease on their way out.

In clear they exist only inside these functions.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent.errors import NotFoundError, UsageError
from agent.flow.filters import explain_pattern
from agent.seal.envelope import MasterKey, decrypt, encrypt
from agent.seal.identity import PublicIdentity
from agent.seal.secrets import seal
from agent.server.people.levels import may_be_used, nearest
from agent.server.store import run_secrets, settings
from agent.server.store.database import Connection
from agent.server.store.settings import Level
from agent.visible import check_visible

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
_SECRET = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,254}")  # with dashes, as JumpWire's flows name them
MAX_VALUE_BYTES = 48 * 1024  # as at GitHub, and so are the counts
_MOST = {"organisation": 1000, "project": 500, "environment": 100}
_ENVIRONMENT = re.compile(r"[^\x00-\x1f\x7f'\"`,;\\]{1,255}")
_MOST_REFS = 50
_MOST_OF_RUN = 100
_MOST_BYTES_OF_RUN = 1 << 20  # every job of the run is handed all of them in one message


def check_name(name: str, what: str) -> str:
    """`name` as it is stored: in capitals, as at GitHub. Raises UsageError when no secret or variable may have it."""
    may_have_dashes = what == "secret"
    if not (_SECRET if may_have_dashes else _NAME).fullmatch(name):
        characters = "letters, digits, _ and -" if may_have_dashes else "letters, digits and _"
        raise UsageError(
            f"'{name[:80]}' is no name for a {what}", hint=f"use {characters}, beginning with a letter or _"
        )
    if name.upper().startswith(("GITHUB_", "ACTIONS_")):
        raise UsageError(f"names of a {what} may not begin with GITHUB_ or ACTIONS_", where=name)
    return name.upper()


class Vault:
    """The secrets of this server."""

    def __init__(self, master: MasterKey) -> None:
        self._master = master

    async def put(
        self,
        connection: Connection,
        level: Level,
        name: str,
        value: str,
        *,
        refs: Sequence[str] = (),
        now: float,
    ) -> str:
        """Store or replace a secret; gives its name as stored. Raises UsageError."""
        name = check_name(name, "secret")
        plaintext = check_value(value, name, "secret").encode("utf-8", "surrogatepass")
        if not plaintext:
            raise UsageError("a secret has at least one byte", where=name)
        check_room(level, await settings.count_secrets(connection, level, but=name), "secrets")
        check_refs(refs)
        sealed = encrypt(self._master, plaintext, scope=make_scope(level, name))
        await settings.put_secret(connection, level, name, sealed=sealed, refs=refs, now=now)
        return name

    async def put_for_run(self, connection: Connection, run: int, values: Mapping[str, str]) -> None:
        """Store the secrets of one new run, by names as `check_run_secrets` gives them."""
        sealed = {name: self.lock(value, make_run_scope(run, name)) for name, value in values.items()}
        await run_secrets.add_secrets(connection, run, sealed)

    async def remove(self, connection: Connection, level: Level, name: str) -> None:
        """Forget a secret. Raises NotFoundError."""
        if not await settings.remove_secret(connection, level, name.upper()):
            raise NotFoundError(
                f"there is no secret '{name[:80]}' at this level",
                where=level.name,
                hint="`agent secret list` shows where each is set",
            )

    async def seal_for(
        self,
        connection: Connection,
        names: tuple[str, ...],
        *,
        own: Mapping[str, str],
        asker: "Asker",
        identity: PublicIdentity,
        job: str,
        lease: int,
    ) -> dict[str, bytes]:
        """The secrets `names` and the job's `own` ones, each sealed to `identity` for this job and lease.

        See `open_for` for which these are. Raises DamagedError when one does not open.
        """
        values = await self.open_for(connection, names, asker)
        values |= {name: value.encode() for name, value in own.items()}
        return {
            name: seal(identity, value, job_id=job, lease=lease, name=name) for name, value in values.items()
        }

    async def open_for(
        self, connection: Connection, names: tuple[str, ...], asker: "Asker"
    ) -> dict[str, bytes]:
        """The secrets `names` of a job, in clear.

        What was given to the run itself comes first, and all of it, under whatever name: a job that names it not still
        masks it. Of several levels the nearest counts; a name whose secret is gone meanwhile, or that the asker's ref
        may not use, is left out, and so are all when its run is not trusted. Raises DamagedError when one does not open.
        """
        given = await self._open_of_run(connection, asker)
        wanted = {name: name.upper() for name in names}
        values = await self._open_stored(
            connection, {name: key for name, key in wanted.items() if key not in given}, asker
        )
        values |= {name: given[key] for name, key in wanted.items() if key in given}
        return values | {key: value for key, value in given.items() if key not in wanted.values()}

    async def _open_of_run(self, connection: Connection, asker: "Asker") -> dict[str, bytes]:
        found = await run_secrets.list_secrets(connection, asker.run) if asker.is_trusted else {}
        return {
            name: decrypt(self._master, record, scope=make_run_scope(asker.run, name))
            for name, record in found.items()
        }

    async def _open_stored(
        self, connection: Connection, wanted: Mapping[str, str], asker: "Asker"
    ) -> dict[str, bytes]:
        """Those of the levels, by the names that the job has for them."""
        rows = await settings.list_secrets(connection, asker.project) if wanted and asker.is_trusted else []
        stored = {
            name: row for name, row in nearest(rows, asker.environment).items() if may_be_used(row, asker.ref)
        }
        return {
            name: decrypt(self._master, row.sealed, scope=make_scope(row.level, row.name))
            for name, key in wanted.items()
            if (row := stored.get(key)) is not None
        }

    def lock(self, value: str, scope: str) -> bytes:
        """`value` under the master key, to be stored in a row of another table; it opens in its `scope` only."""
        return encrypt(self._master, value.encode("utf-8", "surrogatepass"), scope=scope)

    def unlock(self, record: bytes, scope: str) -> str:
        """What `lock` was given. Raises DamagedError."""
        return decrypt(self._master, record, scope=scope).decode("utf-8", "surrogatepass")


@dataclass(frozen=True, slots=True)
class Asker:
    """The job that secrets are for."""

    project: int
    run: int
    environment: str
    ref: str  # as the server has found it; "": the run is on no branch
    is_trusted: bool


def check_value(value: str, name: str, what: str) -> str:
    """Raises UsageError for a value that is too long."""
    if len(value.encode("utf-8", "surrogatepass")) > MAX_VALUE_BYTES:
        raise UsageError(f"a {what} holds at most {MAX_VALUE_BYTES} bytes", where=name)
    return value


def check_run_secrets(given: Mapping[str, str]) -> dict[str, str]:
    """The secrets that one run is given, by their names as stored. Raises UsageError when it can't have them."""
    checked: dict[str, str] = {}
    for wanted, value in given.items():
        name = check_name(wanted, "secret")
        if name in checked:
            raise UsageError("a secret is given twice: names have no case", where=name)
        if not check_value(value, name, "secret"):
            raise UsageError("a secret has at least one byte", where=name)
        checked[name] = value
    size = sum(len(value.encode("utf-8", "surrogatepass")) for value in checked.values())
    if len(checked) > _MOST_OF_RUN or size > _MOST_BYTES_OF_RUN:
        raise UsageError(
            f"a run is given at most {_MOST_OF_RUN} secrets of its own, of {_MOST_BYTES_OF_RUN >> 10} KiB together",
            hint="`agent secret set` stores those that more than one run needs",
        )
    return checked


def check_room(level: Level, count: int, what: str) -> None:
    """Raises UsageError when the level has as many as it may."""
    if count >= _MOST[level.name]:
        raise UsageError(f"this {level.name} has {count} {what}, no more are taken", where=level.environment)


def check_environment(environment: str) -> str:
    """Raises UsageError unless it may be the name of an environment, or is empty."""
    if environment and not _ENVIRONMENT.fullmatch(environment):
        raise UsageError("this is no name for an environment", where=repr(environment[:80]))
    return check_visible(environment, "an environment")


def check_refs(refs: Sequence[str]) -> None:
    """Raises UsageError unless these are patterns of refs."""
    if len(refs) > _MOST_REFS or any(not 0 < len(pattern) <= 255 for pattern in refs):
        raise UsageError(f"at most {_MOST_REFS} patterns of refs, of 1 to 255 characters each")
    for pattern in refs:
        if problem := explain_pattern(pattern):
            raise UsageError(f"a pattern of refs {problem}", where=pattern)


def make_run_scope(run: int, name: str) -> str:
    """What the encryption of a run's own secret is bound to."""
    return f"run-secrets/{run}/{name}"


def make_scope(level: Level, name: str) -> str:
    """What a secret's encryption is bound to. An organisation's is bound as all were before there were levels."""
    if not level.project:
        return f"secrets/{name}"
    return f"secrets/2/{level.project}/{len(level.environment)}/{level.environment}/{name}"
