"""What holds for every fleet and every queue."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from support.fleet import GB, agent, gpu, holding, job

from agent.server.agents.scheduler import Choice, Holding, Project, ReadyAgent, Usage, WaitingJob, choose
from agent.server.agents.scheduler.model import JobShape
from agent.server.agents.scheduler.order import Order
from agent.server.agents.scheduler.usage import Capacity
from agent.spec.request import matches, wanted_gpus
from agent.spec.resources import Gpu

LABELS = ("linux", "gpu", "arm")
# Each element is a GPU: whether its machine withholds it.
gpu_flags = st.lists(st.sampled_from([False, False, False, True]), max_size=4)


def make_gpus(box: str, withheld: Sequence[bool]) -> tuple[Gpu, ...]:
    reasons = ["it fell off the bus" if one else "" for one in withheld]
    return tuple(replace(gpu(index, box=box), withheld=reason) for index, reason in enumerate(reasons))


agents = st.lists(
    st.builds(
        lambda name, labels, slots, withheld, draining, projects: agent(
            name,
            *labels,
            slots=slots,
            gpus=make_gpus(name, withheld),
            is_draining=draining,
            projects=projects,
        ),
        st.uuids().map(str),
        st.sets(st.sampled_from(LABELS)),
        st.integers(1, 3),
        gpu_flags,
        st.booleans(),
        st.sampled_from([None, None, frozenset({1})]),
    ),
    max_size=5,
)
jobs = st.lists(
    st.builds(
        lambda name, labels, gpus, cpus, project, nodes, limit, queued, priority: job(
            name,
            *labels,
            gpus=gpus,
            cpus=cpus,
            project=project,
            nodes=nodes,
            limit=limit,
            queued_at=queued,
            priority=priority,
        ),
        st.uuids().map(str),
        st.lists(st.sampled_from(LABELS), max_size=1),
        st.sampled_from([None, 0, 1, 2, 4]),
        st.sampled_from([0, 1, 8]),
        st.integers(1, 3),
        st.sampled_from([1, 1, 1, 2, 3]),
        st.sampled_from([60.0, 3600.0]),
        st.integers(0, 50_000).map(float),
        st.integers(-2, 2),
    ),
    max_size=12,
    unique_by=lambda one: one.id,
)
projects = st.fixed_dictionaries(
    {
        number: st.builds(
            Project,
            st.just(number),
            st.just(f"p{number}"),
            st.sampled_from([0.5, 1.0, 4.0]),
            st.integers(0, 1),
            st.sampled_from([None, None, 1, 3]),
        )
        for number in (1, 2)
    }
)


def carry_out(
    fleet: Sequence[ReadyAgent], queue: Sequence[WaitingJob], choice: Choice, now: float
) -> list[Holding]:
    by_id = {one.id: one for one in queue}
    return [
        Holding(
            pick.job,
            seat.agent,
            project=by_id[pick.job].shape.project,
            request=by_id[pick.job].shape.request,
            gpus=seat.gpus,
            ends_at=now + by_id[pick.job].shape.limit_seconds,
            ranked_at=by_id[pick.job].rank,
        )
        for pick in choice.picks
        for seat in pick.seats
    ]


def check_nothing_is_given_twice(fleet: Sequence[ReadyAgent], held: Sequence[Holding]) -> None:
    for box in fleet:
        here = [one for one in held if one.agent == box.id]
        assert len(here) <= box.slots
        assert sum(one.request.cpus for one in here) <= box.cpus
        assert sum(one.request.memory_bytes for one in here) <= box.memory_bytes
        given_gpus = Counter(uuid for one in here for uuid in one.gpus)
        assert set(given_gpus.values()) <= {1}
        assert set(given_gpus) <= {gpu.uuid for gpu in box.gpus if not gpu.withheld}


def has_room(shape: JobShape, box: ReadyAgent, held: Sequence[Holding]) -> bool:
    """The slow and obvious one."""
    here = [one for one in held if one.agent == box.id]
    taken = {uuid for one in here for uuid in one.gpus}
    wanted = wanted_gpus(shape.request, shape.labels, box.gpus)
    free = [gpu for gpu in box.gpus if not gpu.withheld and gpu.uuid not in taken and matches(wanted, gpu)]
    return (
        shape.labels <= box.labels
        and (box.projects is None or shape.project in box.projects)
        and not box.is_draining
        and len(here) < box.slots
        and sum(one.request.cpus for one in here) + shape.request.cpus <= box.cpus
        and sum(one.request.memory_bytes for one in here) + shape.request.memory_bytes <= box.memory_bytes
        and len(free) >= wanted.count
    )


@given(agents, jobs, projects)
def test_a_round_gives_nothing_twice_and_leaves_nothing_idle(
    fleet: list[ReadyAgent], queue: list[WaitingJob], known: dict[int, Project]
) -> None:
    now = 50_000.0
    choice = choose(queue, fleet, projects=known, now=now)
    held = carry_out(fleet, queue, choice, now)
    check_nothing_is_given_twice(fleet, held)
    # Each job is picked or told why not, once.
    assert Counter([*(pick.job for pick in choice.picks), *choice.waits]) == Counter(one.id for one in queue)
    assert all(choice.waits.values())
    by_id, boxes = {one.id: one for one in queue}, {box.id: box for box in fleet}
    for pick in choice.picks:
        shape = by_id[pick.job].shape
        # A gang has all of its machines, each another one.
        assert len({seat.agent for seat in pick.seats}) == shape.nodes
        for seat in pick.seats:
            assert shape.labels <= boxes[seat.agent].labels
            assert not boxes[seat.agent].is_draining
            if shape.request.gpus is not None:
                assert len(seat.gpus) == shape.request.gpus.count
    running = Counter(one.project for one in held)
    for number, project in known.items():
        assert project.most_running is None or running[number] <= project.most_running
    # Nobody waits for what is free, unless it is kept for who comes first, or the project has all that it may have.
    for name in choice.waits:
        shape = by_id[name].shape
        project = known.get(shape.project, Project(shape.project))
        if project.most_running is not None and running[project.id] + shape.nodes > project.most_running:
            continue
        free = [box for box in fleet if has_room(shape, box, held) and box.id not in choice.kept]
        assert len(free) < shape.nodes


@given(agents, jobs, st.permutations(range(5)))
def test_the_choice_does_not_hang_on_the_order_in_which_agents_are_named(
    fleet: list[ReadyAgent], queue: list[WaitingJob], order: list[int]
) -> None:
    shuffled = [fleet[place] for place in order if place < len(fleet)]
    assert choose(queue, fleet) == choose(queue, shuffled)


@settings(max_examples=25, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(agents, jobs, projects)
def test_every_job_that_fits_somewhere_runs_in_the_end(
    fleet: list[ReadyAgent], queue: list[WaitingJob], known: dict[int, Project]
) -> None:
    """Whatever small jobs keep coming: an endless stream of them from each project starves nobody."""
    fleet = [replace(box, is_draining=False) for box in fleet]
    known = {number: replace(project, most_running=None) for number, project in known.items()}
    waiting = {
        one.id: one for one in queue if sum(has_room(one.shape, box, []) for box in fleet) >= one.shape.nodes
    }
    now, held, usage = 50_000.0, list[Holding](), Usage(50_000.0)
    for born in range(4000):
        if not waiting:
            return
        small = [
            job(f"s{born}-{number}-{n}", project=number, limit=600.0, queued_at=now)
            for number in (1, 2, 3)
            for n in range(2)
        ]
        usage.advance(now, held, Capacity.of(fleet))
        queued = [*waiting.values(), *small]
        choice = choose(queued, fleet, held, projects=known, usage=usage, now=now)
        held += carry_out(fleet, queued, choice, now)
        check_nothing_is_given_twice(fleet, held)
        for pick in choice.picks:
            waiting.pop(pick.job, None)
        now = min((one.ends_at for one in held), default=now) + 1.0
        held = [one for one in held if one.ends_at > now]
    raise AssertionError(f"starved: {list(waiting.values())}")


@given(jobs, projects, st.lists(st.integers(1, 3), max_size=4))
def test_the_order_is_that_of_a_slow_model(
    queue: list[WaitingJob], known: dict[int, Project], held_by: list[int]
) -> None:
    """All left jobs are compared with all others each time, by the rules as docs/scheduling.md words them."""
    fleet = [agent("a", slots=10, gpus=4, cpus=16.0, memory_bytes=64 * GB)]
    held = [holding(f"h{n}", "a", project=project) for n, project in enumerate(held_by)]
    now, usage = 50_000.0, Usage(50_000.0, {1: 30.0, 2: 10.0})
    order = Order(queue, known, holdings=held, usage=usage, capacity=Capacity.of(fleet), now=now)
    left = sorted(queue, key=lambda one: one.rank)
    used = {number: usage.of(number) for number in (1, 2, 3)}
    running, latest = Counter(held_by), dict.fromkeys(held_by, 0.0)

    def key(one: WaitingJob) -> tuple[object, ...]:
        number = one.shape.project
        project = known.get(number, Project(number))
        first = next(other for other in left if other.shape.project == number)
        was_passed = running[number] == 0 or latest[number] > first.rank
        is_overlooked = was_passed and now - first.queued_at >= 12 * 3600
        group = (0, first.queued_at) if is_overlooked else (1, 0.0)
        return (group, -project.priority, used[number] / project.weight, first.rank, number, left.index(one))

    for turn, chosen in enumerate(order):
        expected = min(left, key=key)
        assert chosen.id == expected.id
        left.remove(expected)
        if turn % 2 == 0:
            order.note_start(chosen, 0)
            shares = [1 / 10, chosen.shape.request.cpus / 16]
            used[chosen.shape.project] += max(shares) * 60 * chosen.shape.nodes
            running[chosen.shape.project] += chosen.shape.nodes
            latest[chosen.shape.project] = max(latest.get(chosen.shape.project, chosen.rank), chosen.rank)
    assert not left
