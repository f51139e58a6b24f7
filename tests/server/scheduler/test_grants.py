"""Grants of GPUs over everything that happens to a fleet: none is given twice, no memory is promised twice, and none is lost.

The scheduler and the room are the real ones, and what they work on is read back from its stored form, as after each start of the
server. Machines change as they please (MIG, GPUs that fall off or are kept from jobs), and the server hears of it later: until then
it may give what is not there, which the agent refuses.
"""

from collections import defaultdict
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agent import codec
from agent.server.agents.scheduler import Holding, ReadyAgent, WaitingJob, choose
from agent.server.agents.scheduler.model import JobShape, ReturningJob
from agent.spec.request import GpuRequest, ResourceRequest
from agent.spec.resources import Gpu, GpuLink

GB = 10**9
SIZE = 80 * GB
BOXES = {"a": 4, "b": 2, "single": 2}  # the last one runs one job at a time
EXCLUSIVE = [GpuRequest(count) for count in (1, 2, 4)] + [GpuRequest(1, ("a100",), 60 * GB)]
SHARED = [
    GpuRequest(count, memory_bytes=size * GB, is_shared=True)
    for count, size in ((1, 10), (1, 30), (1, 50), (2, 20), (1, 80))
]
CUT = [GpuRequest(1, mig="3g.40gb"), GpuRequest(2, mig="3g.40gb"), GpuRequest(1, ("mig 1g.10gb",))]
SHARED_CUT = [GpuRequest(1, memory_bytes=15 * GB, mig="3g.40gb", is_shared=True)]
REQUESTS = [None, GpuRequest(0), *EXCLUSIVE, *SHARED, *CUT, *SHARED_CUT]
REASONS = ("it fell off the bus", "reserved by ada until 18:00", "process 7 (python, of ada) computes on it")


def whole(box: str, index: int) -> Gpu:
    return Gpu(index, f"GPU-{box}-{index}", "NVIDIA A100-SXM4-80GB", memory_bytes=SIZE)


def cut(box: str, index: int) -> list[Gpu]:
    """Two halves and an eighth of it."""
    parent = whole(box, index)
    return [
        replace(
            parent,
            uuid=f"MIG-{box}-{index}-{place}",
            name=f"{parent.name} MIG {profile}",
            memory_bytes=size * GB,
            mig_parent=parent.uuid,
        )
        for place, (profile, size) in enumerate((("3g.40gb", 40), ("3g.40gb", 40), ("1g.10gb", 10)))
    ]


class Fleet(RuleBasedStateMachine):
    """`machines` is what there is; `told` what the server knows of it; `held` and `queued` are its rows."""

    def __init__(self) -> None:
        super().__init__()
        self.machines: dict[str, dict[str, list[Gpu]]] = {}
        self.told: dict[str, tuple[Gpu, ...]] = {}
        self.connected = set(BOXES)
        self.queued: dict[str, WaitingJob] = {}
        self.held: dict[str, Holding] = {}
        self.away: dict[str, Holding] = {}  # those that have given their room back, and wait for a person
        self.running: dict[str, WaitingJob] = {}
        self.count = 0
        self.now = 0.0

    @initialize()
    def begin(self) -> None:
        self.machines = {
            box: {f"GPU-{box}-{index}": [whole(box, index)] for index in range(count)}
            for box, count in BOXES.items()
        }
        for box in BOXES:
            self.tell(box)

    def agents(self) -> list[ReadyAgent]:
        links = tuple(
            GpuLink(f"GPU-{box}-{first}", f"GPU-{box}-{first + 1}", "NV4")
            for box, count in BOXES.items()
            for first in range(0, count, 2)
        )
        return [
            ReadyAgent(
                id=box,
                name=box,
                labels=frozenset({"linux"}),
                shown_labels=("linux",),
                slots=1 if box == "single" else 8,
                cpus=64.0,
                memory_bytes=512 * GB,
                gpus=self.told[box],
                links=links,
            )
            for box in sorted(self.connected)
        ]

    def hold(self, job: WaitingJob, agent: str, gpus: tuple[str, ...]) -> None:
        """As a row, in its stored form. Nobody is given a part of what somebody has whole."""
        taken = {uuid for held in self.held.values() if held.agent == agent for uuid in held.gpus}
        assert taken.isdisjoint(f"GPU-{uuid[4:-2]}" for uuid in gpus if uuid.startswith("MIG-"))
        request = codec.parse(ResourceRequest, codec.dump(job.shape.request))
        self.held[job.id] = Holding(job.id, agent, job.title, 1, request, gpus, self.now + 60.0)
        self.running[job.id] = job

    @rule(gpus=st.sampled_from(REQUESTS), nodes=st.sampled_from([1, 1, 1, 2]))
    def submit(self, gpus: GpuRequest | None, nodes: int) -> None:
        self.count += 1
        shape = JobShape(request=ResourceRequest(1.0, GB, gpus), nodes=nodes, limit_seconds=60.0)
        self.queued[f"j{self.count}"] = WaitingJob(f"j{self.count}", shape, title=f"job {self.count}")

    @rule()
    def give_out(self) -> None:
        """A round; an agent refuses what is not there or not offered by now, and then tells what is."""
        self.now += 1.0
        returning = [ReturningJob(self.running[name], held.agent) for name, held in self.away.items()]
        choice = choose(
            list(self.queued.values()),
            self.agents(),
            list(self.held.values()),
            returning=returning,
            now=self.now,
        )
        for pick in choice.returns:
            job = self.running[pick.job]
            del self.away[pick.job]
            self.hold(job, pick.seats[0].agent, pick.seats[0].gpus)
        for pick in choice.picks:
            job = self.queued[pick.job]
            refusing = [seat.agent for seat in pick.seats if not self.has(seat.agent, seat.gpus)]
            for box in refusing:
                self.tell(box)
            if refusing:
                continue
            del self.queued[pick.job]
            for rank, seat in enumerate(pick.seats):
                node = replace(
                    job, id=f"{job.id}/{rank}" if rank else job.id, shape=replace(job.shape, nodes=1)
                )
                self.hold(node, seat.agent, seat.gpus)

    def has(self, box: str, gpus: tuple[str, ...]) -> bool:
        there = {gpu.uuid for units in self.machines[box].values() for gpu in units if not gpu.withheld}
        return there.issuperset(gpus)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        del self.held[data.draw(st.sampled_from(sorted(self.held)))]

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        """It waits for a person, and others may have its room."""
        name = data.draw(st.sampled_from(sorted(self.held)))
        self.away[name] = self.held.pop(name)

    @rule(data=st.data(), box=st.sampled_from(sorted(BOXES)), is_told=st.booleans())
    def change(self, data: st.DataObject, box: str, *, is_told: bool) -> None:
        """Something happens to one GPU, whoever has it; the server may hear of it later."""
        parent = data.draw(st.sampled_from(sorted(self.machines[box])))
        index = int(parent.rpartition("-")[2])
        match data.draw(st.sampled_from(["cut", "whole", "lost", "withheld", "withheld", "offered"])):
            case "cut":
                units = cut(box, index)
            case "whole":
                units = [whole(box, index)]
            case "lost":
                units = []
            case "withheld":
                reason = data.draw(st.sampled_from(REASONS))
                units = [replace(gpu, withheld=reason) for gpu in self.machines[box][parent]]
            case _:
                units = [replace(gpu, withheld="") for gpu in self.machines[box][parent]]
        self.machines[box][parent] = units
        if is_told:
            self.tell(box)

    @rule(box=st.sampled_from(sorted(BOXES)))
    def tell(self, box: str) -> None:
        """The agent says what it has (also when it starts anew, or connects again: jobs go on meanwhile)."""
        self.told[box] = tuple(gpu for units in self.machines[box].values() for gpu in units)
        self.connected.add(box)

    @rule(box=st.sampled_from(sorted(BOXES)))
    def disconnect(self, box: str) -> None:
        self.connected.discard(box)

    @invariant()
    def no_gpu_is_given_twice_and_no_memory_either(self) -> None:
        on: dict[tuple[str, str], list[Holding]] = defaultdict(list)
        for held in self.held.values():
            assert len(set(held.gpus)) == len(held.gpus)
            for uuid in held.gpus:
                assert uuid.split("-")[1] == held.agent
                on[held.agent, uuid].append(held)
        for (box, uuid), holders in on.items():
            if len(holders) > 1:
                wishes = [held.request.gpus for held in holders]
                assert all(wish is not None and wish.is_shared for wish in wishes), (box, uuid, holders)
            size = {"GPU": 80, "MIG": 10 if uuid.endswith("-2") else 40}[uuid[:3]] * GB
            shared = [
                held.request.gpus for held in holders if held.request.gpus and held.request.gpus.is_shared
            ]
            assert sum(wish.memory_bytes for wish in shared) <= size, (box, uuid, holders)

    def teardown(self) -> None:
        """When all jobs have ended and all is well, all is free: three machines are given whole, at once."""
        if not self.machines:
            return
        self.queued, self.held, self.away = {}, {}, {}
        self.begin()
        for box, count in BOXES.items():
            name = f"all-{box}"
            shape = JobShape(request=ResourceRequest(1.0, GB, GpuRequest(count)))
            self.queued[name] = WaitingJob(
                name, shape, refused={other: "no" for other in BOXES if other != box}
            )
        self.give_out()
        assert not self.queued
        given = {uuid for held in self.held.values() for uuid in held.gpus}
        assert given == {gpu.uuid for gpus in self.told.values() for gpu in gpus}
        self.no_gpu_is_given_twice_and_no_memory_either()


Fleet.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestFleet = Fleet.TestCase


def test_nobody_waits_for_a_gpu_that_is_free() -> None:
    """Each kind of wish alone, on a fleet that has all kinds: it is granted, or the fleet has no such thing."""
    fleet = Fleet()
    fleet.begin()
    fleet.machines["a"]["GPU-a-3"] = cut("a", 3)
    fleet.tell("a")
    for wish in REQUESTS:
        fleet.queued, fleet.held = {}, {}
        fleet.submit(wish, 1)
        fleet.give_out()
        (left,) = [1 if fleet.queued else 0]
        assert left == (wish is not None and wish.count > 3), wish
