"""The agents that are known: how one registers, what each says of itself, what it is given to do."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from agent import codec
from agent.errors import UsageError
from agent.ids import ENTROPY_BYTES, make_id
from agent.seal.identity import PublicIdentity, challenge_message, verify
from agent.server.agents.scheduler import ReadyAgent
from agent.server.events import audit
from agent.server.events.changes import Changes
from agent.server.events.live import DEPLOYMENTS, MACHINES, agent_topic
from agent.server.people.auth.tokens import spend_registration_token
from agent.server.store import agents
from agent.server.store.agents import AgentRow
from agent.server.store.tokens import TokenRow
from agent.spec.resources import Inventory, derive_labels
from agent.wire import messages as m
from agent.wire.server_side import KnownAgent

_LONGEST_NAME = 200
_MOST_LABELS = 200
_MOST_JOBS = 10_000


@dataclass(frozen=True, slots=True)
class RegistrationRequest:
    """What `agent register` sends."""

    token: str = field(repr=False)
    name: str
    identity: PublicIdentity
    inventory: Inventory
    labels: tuple[str, ...] = ()
    group: str = ""
    max_jobs: int = 1
    is_ephemeral: bool = False
    replace: bool = False


class Registry:
    """The agents of this server."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    async def register(self, registration: RegistrationRequest) -> tuple[AgentRow, str | None]:
        """Spend the token and add the agent, in one transaction: the new one, and the id of the one it replaced.

        Raises RefusedError for the token, UsageError when the name is taken and `replace` was not said.
        """
        _check(registration)
        audit.note(agent=registration.name)
        async with self._changes.begin() as change:
            token = await spend_registration_token(change.connection, registration.token, change.now)
            older = await agents.find_by_name(change.connection, registration.name)
            if older is not None and not registration.replace:
                raise UsageError(
                    f"an agent named '{registration.name}' is registered already",
                    hint="choose another --name, or say --replace",
                )
            if older is not None:
                await agents.update_agent(change.connection, older.id, removed_at=change.now)
                change.wake(agent_topic(older.id))
            row = _new_row(registration, token, change.now)
            await agents.add_agent(change.connection, row)
            return row, older.id if older is not None else None

    async def find_known(self, agent: str) -> KnownAgent | None:
        """What is needed to check that a connection is `agent`'s. Nothing is written: it has proved nothing yet."""
        async with self._changes.database.read() as connection:
            row = await agents.find_agent(connection, agent)
        if row is None:
            return None
        identity = PublicIdentity.from_json(json.loads(row.identity))

        def is_answer(challenge: m.Challenge, signature: bytes) -> bool:
            message = challenge_message(
                server=challenge.server, agent_id=agent, nonce=challenge.nonce, version=challenge.version
            )
            return verify(identity, message, signature)

        return KnownAgent(row.name, is_answer, row.generation)

    async def note_ready(self, agent: str, software: str, ready: m.Ready) -> ReadyAgent | None:
        """The agent has said what it is; None when it was removed meanwhile."""
        async with self._changes.begin() as change:
            await agents.update_agent(
                change.connection,
                agent,
                inventory=codec.dump(ready.inventory),
                software=software,
                max_jobs=ready.max_jobs,
                is_draining=ready.is_draining,
                last_seen_at=change.now,
                **({"generation": ready.generation} if ready.generation else {}),
            )
            row = await agents.find_agent(change.connection, agent)
            if row is None:
                return None
        return make_ready_agent(row, ready)

    async def note_draining(self, agent: str, *, is_draining: bool) -> None:
        """Whether the agent wants new jobs."""
        async with self._changes.begin() as change:
            await agents.update_agent(change.connection, agent, is_draining=is_draining)
            change.wake(DEPLOYMENTS)  # what is kept alive there goes on elsewhere

    async def note_inventory(self, agent: str, inventory: Inventory) -> None:
        """The agent's machine has changed."""
        async with self._changes.begin() as change:
            await agents.update_agent(change.connection, agent, inventory=codec.dump(inventory))
            change.wake(DEPLOYMENTS)  # as for draining
            change.wake(MACHINES)

    async def describe(self, agent: str, ready: m.Ready) -> ReadyAgent | None:
        """What the scheduler is told of an agent that says `ready` of itself; None when it was removed."""
        async with self._changes.database.read() as connection:
            row = await agents.find_agent(connection, agent)
        return None if row is None else make_ready_agent(row, ready)

    async def arrange(self, agent: str, values: Mapping[str, object]) -> bool:
        """Set what an admin of the server says of an agent, as columns; False when it is not there."""
        async with self._changes.begin() as change:
            change.wake(agent_topic(agent))
            change.wake(DEPLOYMENTS)
            return await agents.update_agent(change.connection, agent, **values)

    async def remove(self, agent: str) -> bool:
        """End an identity for ever; False when there is none such."""
        async with self._changes.begin() as change:
            change.wake(agent_topic(agent))
            return await agents.update_agent(change.connection, agent, removed_at=change.now)


def make_ready_agent(row: AgentRow, ready: m.Ready) -> ReadyAgent:
    """What the scheduler is told of an agent: as it says itself, unless the server has another word."""
    shown = labels_of(row, ready.labels)
    slots = min(ready.max_jobs, row.set_max_jobs or ready.max_jobs)
    return ReadyAgent(
        id=row.id,
        name=row.name,
        labels=frozenset(label.lower() for label in shown),
        shown_labels=shown,
        slots=1 if row.is_ephemeral else slots,
        group=row.group_name.lower(),
        is_draining=ready.is_draining or row.set_draining,
        is_ephemeral=row.is_ephemeral,
        projects=None if row.projects is None else frozenset(json.loads(row.projects)),
        cpus=float(ready.inventory.cpu_count),
        memory_bytes=ready.inventory.memory_bytes,
        gpus=ready.inventory.gpus,
        links=ready.inventory.links,
        share=ready.inventory.share,
        has_queue=bool(ready.inventory.partitions),
        address=row.address or ready.inventory.hostname,
        boot=ready.boot,
    )


def labels_of(row: AgentRow, said: tuple[str, ...] = ()) -> tuple[str, ...]:
    """All labels of an agent, each once: by nature, and what the server says, else the registration and it itself."""
    inventory = codec.parse(Inventory, row.inventory, where=f"inventory of {row.name}")
    own = (*json.loads(row.labels), *said) if row.set_labels is None else json.loads(row.set_labels)
    labels = (*derive_labels(inventory), *own)
    return tuple({label.lower(): label for label in reversed(labels)}.values())[::-1]


def _check(registration: RegistrationRequest) -> None:
    if not 0 < len(registration.name.strip()) <= _LONGEST_NAME or not registration.name.isprintable():
        raise UsageError(f"an agent's name is 1 to {_LONGEST_NAME} printable characters", where="name")
    if not 1 <= registration.max_jobs <= _MOST_JOBS:
        raise UsageError(f"an agent has room for 1 to {_MOST_JOBS} jobs", where="max_jobs")
    if len(registration.labels) > _MOST_LABELS or not all(
        0 < len(label) <= _LONGEST_NAME and label.isprintable() for label in registration.labels
    ):
        raise UsageError(f"labels are at most {_MOST_LABELS} short names", where="labels")


def _new_row(registration: RegistrationRequest, token: TokenRow, now: float) -> AgentRow:
    """The new agent; where the token names a group or a project, the agent has no say in it.

    What the machine has by nature is not kept as its owner's word: it goes with the hardware (`labels_of`).
    """
    natural = derive_labels(registration.inventory)
    own = [label for label in registration.labels if label.lower() not in natural]
    return AgentRow(
        id=make_id("agent", secrets.token_bytes(ENTROPY_BYTES)),
        name=registration.name,
        group_name=token.group_name or registration.group,
        labels=json.dumps(list(dict.fromkeys([*own, *json.loads(token.labels)]))),
        max_jobs=registration.max_jobs,
        is_ephemeral=registration.is_ephemeral,
        is_draining=False,
        identity=json.dumps(registration.identity.to_json()),
        inventory=codec.dump(registration.inventory),
        software="",
        created_at=now,
        last_seen_at=now,
        removed_at=None,
        set_labels=None,
        set_max_jobs=None,
        set_draining=False,
        projects=None if token.project is None else json.dumps([token.project]),
        address="",
    )
