"""State machines: every state has a row in its table and is reached, and the picture above the table is the table."""

import re
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.pictures import arrows

from agent.daemon import job as daemon_job
from agent.daemon.job import DAEMON_JOBS
from agent.daemon.slurm import job as slurm_job
from agent.daemon.slurm.job import SLURM_JOBS
from agent.job.stages.delivery import states as delivery_states
from agent.job.supervisor import lifecycle
from agent.plan import JobPhase, transitions
from agent.server.store import states
from agent.server.store.states import ARCHIVES, DELIVERIES, UPLOADS
from agent.spec import status
from agent.spec.status import JOBS, ROOMS, RUNS, JobStatus
from agent.states import ImpossibleTransitionError, Transitions
from agent.wire import conversation, lease
from agent.wire import messages as m
from agent.wire.conversation import ConversationPhase
from agent.wire.lease import LEASES

PHASES = Transitions.of_events("job in a run", frozenset({JobPhase.HELD}), transitions.TRANSITIONS)
MACHINES: tuple[Transitions[Any], ...] = (
    JOBS,
    RUNS,
    ROOMS,
    ARCHIVES,
    UPLOADS,
    DELIVERIES,
    LEASES,
    DAEMON_JOBS,
    SLURM_JOBS,
    PHASES,
    delivery_states.RECORDS,
)
EVENTS: tuple[tuple[ModuleType, Any], ...] = (
    (lease, lease.TRANSITIONS),
    (transitions, transitions.TRANSITIONS),
    (delivery_states, delivery_states.TRANSITIONS),
)


def kind_of(machine: Transitions[Any]) -> Any:
    return type(next(iter(machine.following)))


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.what)
def test_every_state_has_a_row_and_is_reached_from_a_start(machine: Transitions[Any]) -> None:
    assert set(machine.following) == set(kind_of(machine))
    reached: set[Any] = set()
    found = set(machine.starts)
    while found:
        reached |= found
        found = {new for old in found for new in machine.following[old]} - reached
    assert reached == set(kind_of(machine))


@given(st.sampled_from(MACHINES), st.data())
def test_what_the_table_does_not_have_is_refused_by_name(
    machine: Transitions[Any], data: st.DataObject
) -> None:
    old, new = (data.draw(st.sampled_from(list(kind_of(machine)))) for _ in range(2))
    assert (old in machine.sources(new)) == machine.may_become(old, new) == (new in machine.following[old])
    if machine.may_become(old, new):
        machine.check(old, new)
    else:
        with pytest.raises(ImpossibleTransitionError, match=f"that is {old} can't become {new}"):
            machine.check(old, new)


def test_an_end_leads_nowhere() -> None:
    assert JOBS.ends == {JobStatus.COMPLETED}
    assert RUNS.ends == frozenset(), "a run may be run again"
    assert {state.value for state in LEASES.ends} == {"released", "refused", "expired", "revoked"}


def paragraphs(module: ModuleType) -> list[set[tuple[str, str]]]:
    """The pictures of a module's docstring, one a paragraph, as pairs of states."""
    found = [{(old, new) for old, _, new in arrows(text)} for text in (module.__doc__ or "").split("\n\n")]
    return [pairs for pairs in found if pairs]


@pytest.mark.parametrize(
    ("module", "machines"),
    [
        (status, (RUNS, JOBS, ROOMS)),
        (states, (ARCHIVES, UPLOADS, DELIVERIES)),
        (daemon_job, (DAEMON_JOBS,)),
        (slurm_job, (SLURM_JOBS,)),
    ],
)
def test_the_picture_of_states_is_their_table(module: ModuleType, machines: tuple[Any, ...]) -> None:
    tables = [
        {(old.value, new.value) for old, following in machine.following.items() for new in following}
        for machine in machines
    ]
    assert paragraphs(module) == tables


@pytest.mark.parametrize(("module", "table"), EVENTS, ids=[module.__name__ for module, _ in EVENTS])
def test_the_picture_of_events_is_their_table(module: ModuleType, table: Any) -> None:
    drawn = set(arrows((module.__doc__ or "").lower()))
    assert drawn == {(old.value, event.value, new.value) for (old, event), new in table.items()}


def test_the_picture_of_a_connection_is_its_table_but_for_what_is_said_while_it_is_ready() -> None:
    table = {
        (old.value, kind.KIND, new.value)
        for (old, kind), new in conversation.TRANSITIONS.items()
        if old is not new and issubclass(kind, m.Message)
    }
    assert set(arrows(conversation.__doc__ or "")) == table
    kept = {old for (old, _), new in conversation.TRANSITIONS.items() if old is new}
    assert kept == {ConversationPhase.READY}


def test_the_picture_of_a_jobs_life_is_the_list_of_its_phases() -> None:
    first, second = (lifecycle.__doc__ or "").split("the second half\n")
    drawn = [re.findall(r"^    ([a-z ]+?) {2,}", half, re.MULTILINE) for half in (first, second)]
    names = [
        [phase.name for phase in lifecycle.PHASES if phase.is_second_half is half] for half in (False, True)
    ]
    assert drawn == names
    order = [phase.is_second_half for phase in lifecycle.PHASES]
    assert order == sorted(order)
