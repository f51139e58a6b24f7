"""Who gets which job: examples."""

from dataclasses import replace
from typing import Any

from support.fleet import GB, agent, gpu, holding, job, names

from agent.server.agents.scheduler import Holding, Project, Usage, choose
from agent.server.agents.scheduler.model import ReturningJob
from agent.spec.request import GpuRequest


def seats(choice: Any) -> dict[str, list[str]]:
    return {pick.job: [seat.agent for seat in pick.seats] for pick in choice.picks}


def test_an_agent_must_have_all_labels() -> None:
    fleet = [agent("a", "linux"), agent("b", "linux", "fast")]
    assert seats(choose([job("j", "Linux", "Fast")], fleet)) == {"j": ["b"]}


def test_the_oldest_job_is_served_first_and_does_not_hold_up_others() -> None:
    jobs = [job("needs-gpu", "gpu"), job("first", "linux"), job("second", "linux")]
    choice = choose(jobs, [agent("a")])
    assert seats(choice) == {"first": ["a"]}
    assert set(choice.waits) == {"needs-gpu", "second"}


def test_jobs_without_a_request_are_spread_and_those_with_one_are_packed() -> None:
    fleet = [agent("a", slots=4), agent("b", slots=4)]
    assert seats(choose([job("1"), job("2")], fleet)) == {"1": ["a"], "2": ["b"]}
    assert seats(choose([job("1", cpus=4), job("2", cpus=4)], fleet)) == {"1": ["a"], "2": ["a"]}


def test_what_needs_no_gpu_stays_off_the_machines_that_have_some() -> None:
    fleet = [agent("a-gpus", slots=8, gpus=8), agent("b", slots=1)]
    assert seats(choose([job("1"), job("2")], fleet)) == {"1": ["b"], "2": ["a-gpus"]}


def test_big_machines_are_not_broken_up_for_small_jobs() -> None:
    fleet = [agent("big", slots=8, gpus=8), agent("small", slots=8, gpus=2)]
    choice = choose([job("one", gpus=1), job("all", gpus=8), job("two", gpus=1)], fleet)
    assert seats(choice) == {"one": ["small"], "all": ["big"], "two": ["small"]}


def test_gpus_are_given_by_uuid_and_to_one_job_only() -> None:
    fleet = [agent("box", slots=8, gpus=4)]
    held = [holding("other", "box", gpus=names([0, 2], "box"), ends_at=10.0)]
    choice = choose([job("1", gpus=1), job("2", gpus=1), job("3", gpus=1)], fleet, held)
    assert [pick.seats[0].gpus for pick in choice.picks] == [names([1], "box"), names([3], "box")]
    assert choice.waits["3"] == "no agent has 1 free GPU now; box will have when job other of run 12 ends"


def test_the_smallest_gpus_that_will_do_are_given() -> None:
    mixed = (gpu(0), gpu(1, "NVIDIA A10", 24), gpu(2, "NVIDIA A10", 24))
    fleet = [agent("box", slots=8, gpus=mixed)]
    (pick,) = choose([job("j", gpus=2)], fleet).picks
    assert pick.seats[0].gpus == names([1, 2], "box")
    (pick,) = choose([job("j", gpus=GpuRequest(1, memory_bytes=80 * GB))], fleet).picks
    assert pick.seats[0].gpus == names([0], "box")
    (pick,) = choose([job("j", gpus=GpuRequest(1, ("a10",)))], fleet).picks
    assert pick.seats[0].gpus == names([1], "box")


def test_a_job_that_has_the_machine_to_itself_and_says_nothing_of_gpus_has_them_all() -> None:
    alone = [agent("box", gpus=2)]
    assert choose([job("j")], alone).picks[0].seats[0].gpus == names([0, 1], "box")
    assert choose([job("j", gpus=0)], alone).picks[0].seats[0].gpus == ()
    assert choose([job("j")], [agent("box", slots=2, gpus=2)]).picks[0].seats[0].gpus == ()


def test_cores_and_memory_are_not_given_twice() -> None:
    fleet = [agent("box", slots=8, cpus=4.0, memory_bytes=10 * GB)]
    choice = choose([job("1", cpus=3), job("2", cpus=2), job("3", memory=8), job("4", memory=4)], fleet)
    assert set(seats(choice)) == {"1", "3"}


def test_a_group_and_an_agents_projects_are_worlds_of_their_own() -> None:
    fleet = [agent("a", group="lab", projects=frozenset({2}))]
    assert not choose([job("j", group="other")], fleet).picks
    choice = choose([job("j", "linux", group="lab")], fleet)
    assert choice.waits["j"] == (
        "the only agent with the label [linux] in the group 'lab' works for other projects only"
    )
    assert seats(choose([job("j", group="lab", project=2)], fleet)) == {"j": ["a"]}


def test_a_higher_priority_goes_first_for_ten_minutes_a_point() -> None:
    jobs = [job("old", queued_at=0.0), job("urgent", priority=1, queued_at=599.0)]
    assert seats(choose(jobs, [agent("a")], now=600.0)) == {"urgent": ["a"]}
    jobs = [job("old", queued_at=0.0), job("urgent", priority=1, queued_at=601.0)]
    assert seats(choose(jobs, [agent("a")], now=700.0)) == {"old": ["a"]}


def test_projects_take_turns_whoever_queued_first() -> None:
    jobs = [job(f"a{n}", queued_at=n) for n in range(6)] + [
        job(f"b{n}", project=2, queued_at=10.0 + n) for n in range(6)
    ]
    choice = choose(jobs, [agent("box", slots=6)], now=20.0)
    assert [pick.job for pick in choice.picks] == ["a0", "b0", "a1", "b1", "a2", "b2"]


def test_a_weight_of_two_gets_two_thirds() -> None:
    jobs = [job(f"a{n}") for n in range(9)] + [job(f"b{n}", project=2) for n in range(9)]
    choice = choose(jobs, [agent("box", slots=9)], projects={2: Project(2, "b", weight=2.0)})
    assert sum(pick.job.startswith("b") for pick in choice.picks) == 6


def test_who_used_much_lately_comes_later() -> None:
    usage = Usage(0.0, {1: 500.0})
    jobs = [job("a"), job("b", project=2)]
    assert seats(choose(jobs, [agent("box")], usage=usage)) == {"b": ["box"]}


def test_a_projects_priority_goes_before_shares_but_shuts_nobody_out() -> None:
    projects = {2: Project(2, "b", priority=1)}
    fresh, old = [job("a"), job("b", project=2)], 12 * 3600.0
    usage = Usage(0.0, {2: 500.0})
    assert seats(choose(fresh, [agent("box")], projects=projects, usage=usage)) == {"b": ["box"]}
    assert seats(
        choose([job("a"), job("b", project=2, queued_at=old)], [agent("box")], projects=projects, now=old)
    ) == {"a": ["box"]}


def test_a_project_has_no_more_jobs_running_than_it_may() -> None:
    projects = {1: Project(most_running=2)}
    choice = choose([job("1"), job("2")], [agent("box", slots=5)], [Holding("0", "box")], projects=projects)
    assert seats(choice) == {"1": ["box"]}
    assert choice.waits["2"] == "the project 'default' has 2 of at most 2 jobs running"


def test_a_big_job_has_its_machine_kept_and_small_ones_fill_the_gap() -> None:
    fleet = [agent("box", slots=8, gpus=4)]
    held = [holding("train", "box", gpus=names([0, 1], "box"), ends_at=1000.0)]
    jobs = [job("big", gpus=4), job("long", gpus=1, limit=5000.0), job("short", gpus=1, limit=900.0)]
    choice = choose(jobs, fleet, held)
    assert seats(choice) == {"short": ["box"]}
    assert choice.kept == {"box": "big"}
    assert choice.waits == {
        "big": "no agent has 4 free GPUs now; box will have when job train of run 12 ends",
        "long": "box is kept for job big of run 1, which is first",
    }


def test_a_job_that_leaves_enough_may_begin_on_a_machine_that_is_kept() -> None:
    fleet = [agent("box", slots=8, gpus=4)]
    held = [holding("train", "box", gpus=names([0, 1], "box"), ends_at=1000.0)]
    choice = choose([job("big", gpus=3), job("long", gpus=1)], fleet, held)
    assert seats(choice) == {"long": ["box"]}


def test_a_gang_gets_all_of_its_machines_or_none() -> None:
    fleet = [agent(name, slots=2, gpus=2) for name in ("a", "b", "c")]
    (pick,) = choose([job("gang", gpus=2, nodes=3)], fleet).picks
    assert [(seat.agent, seat.gpus) for seat in pick.seats] == [
        (name, names([0, 1], name)) for name in ("a", "b", "c")
    ]
    held = [holding("x", "b", gpus=names([0], "b"), ends_at=60.0)]
    choice = choose([job("gang", gpus=2, nodes=3)], fleet, held)
    assert choice.picks == ()
    assert choice.kept == {"a": "gang", "b": "gang", "c": "gang"}
    assert choice.waits["gang"] == "2 of 3 machines are free; b will have when job x of run 12 ends"


def test_two_gangs_never_hold_what_the_other_waits_for() -> None:
    fleet = [agent(name) for name in ("a", "b", "c")]
    choice = choose([job("one", nodes=2), job("two", nodes=2)], fleet)
    assert seats(choice) == {"one": ["a", "b"]}


def test_a_gang_that_is_too_big_says_so() -> None:
    choice = choose([job("gang", nodes=3)], [agent("a"), agent("b")])
    assert choice.waits["gang"] == "the job wants 3 machines at once, and 2 match"
    assert choice.kept == {}


def test_reasons_name_what_is_missing() -> None:
    def wait(one: Any, fleet: Any, held: Any = ()) -> str:
        return choose([one], fleet, held).waits[one.id]

    assert wait(job("j"), []) == "no agent is connected"
    assert wait(job("j", "gpu"), [agent("a")]) == (
        "no agent has the label [gpu]; 1 agent is connected (a: linux)"
    )
    assert wait(job("j", "linux", group="lab"), [agent("a")]).startswith(
        "no agent has the label [linux] in the group 'lab'"
    )
    assert wait(job("j", gpus=GpuRequest(4, ("a100",), 80 * GB)), [agent("a", gpus=2), agent("b")]) == (
        "no agent has 4 a100 GPUs with 80 GB; "
        "the biggest that matches, a, has 2 × NVIDIA A100-SXM4-80GB, 16 cpus and 64 GB of memory"
    )
    refused = job("j", refused={"a": "the disk is full"})
    assert wait(refused, [agent("a")]) == "a refused: the disk is full"
    busy = [agent("b"), agent("c")]
    both = [Holding("1", "b"), Holding("2", "c")]
    assert wait(job("j"), busy, both) == "all 2 matching agents are busy"
    assert wait(job("j"), busy[:1], both) == "the only matching agent is busy"
    drained = [agent("b", is_draining=True), agent("c", is_draining=True)]
    assert wait(job("j"), drained) == "2 matching agents are draining"
    mixed = [agent("a"), agent("b"), agent("c", is_draining=True)]
    assert wait(refused, mixed, both[:1]) == (
        "the other matching agent is busy; 1 matching agent is draining; a refused: the disk is full"
    )
    many = [agent("a"), agent("b"), agent("c"), agent("d")]
    assert wait(job("j", "x"), many).endswith("; and 1 more)")


def test_a_gpu_that_has_gone_is_nobodys() -> None:
    held = [holding("old", "box", gpus=("GPU-gone",), ends_at=5.0)]
    choice = choose([job("j", gpus=2)], [agent("box", slots=3, gpus=1)], held)
    assert choice.waits["j"].startswith("no agent has 2 GPUs; the biggest that matches, box, has 1 ×")


def test_a_label_that_a_machine_has_because_of_its_gpus_asks_for_one() -> None:
    mixed = (gpu(0, "NVIDIA A10", 24), gpu(1, "NVIDIA H200", 141), gpu(2, "NVIDIA H200", 141))
    fleet = [agent("box", "self-hosted", "h200", "a10", slots=8, gpus=mixed)]
    queue = [job(name, "self-hosted", "H200") for name in ("1", "2", "3")]
    choice = choose(queue, fleet)
    assert [pick.seats[0].gpus for pick in choice.picks] == [names([1], "box"), names([2], "box")]
    assert choice.waits["3"] == "no agent has 1 free h200 GPU now; box will have when job 1 of run 1 ends"
    two = choose([job("j", "h200", gpus=2)], fleet).picks
    assert two[0].seats[0].gpus == names([1, 2], "box"), "a number with a label is a number of these"


def test_a_label_that_its_owner_gave_a_machine_asks_for_no_gpu() -> None:
    fleet = [agent("box", "h200-room", slots=8, gpus=(gpu(0, "NVIDIA H200", 141),))]
    assert choose([job("j", "h200-room")], fleet).picks[0].seats[0].gpus == ()


def test_the_limit_of_a_projects_gpus_counts_those_that_labels_ask_for() -> None:
    fleet = [agent("box", "h200", slots=8, gpus=(gpu(0, "NVIDIA H200"), gpu(1, "NVIDIA H200")))]
    choice = choose(
        [job("1", "h200"), job("2", "h200")], fleet, projects={1: Project(1, "vision", most_gpus=1)}
    )
    assert [pick.job for pick in choice.picks] == ["1"]
    assert choice.waits["2"] == "the project 'vision' has 1 of at most 1 GPUs"


def test_reasons_tell_taken_slots_from_taken_gpus_and_memory() -> None:
    def wait(one: Any, slots: int, *held: Holding) -> str:
        box = agent("box", "linux", "a100", slots=slots, gpus=2)
        return choose([one], [box], held).waits[one.id]

    idle = holding("cpu", "box", ends_at=5.0)
    both = holding("train", "box", gpus=names([0, 1], "box"), ends_at=9.0)
    big = holding("big", "box", memory=60, ends_at=7.0)
    assert wait(job("j", gpus=1), 1, idle) == (
        "no agent has a free slot now; box (1 of 1 slot taken) will have when job cpu of run 12 ends"
    )
    assert wait(job("j", "a100"), 2, both) == (
        "no agent has 1 free a100 GPU now; box will have when job train of run 12 ends"
    )
    assert wait(job("j", gpus=1), 1, both) == (
        "no agent has 1 free GPU and a free slot now; "
        "box (1 of 1 slot taken) will have when job train of run 12 ends"
    )
    assert wait(job("j", memory=8), 4, big) == (
        "no agent has 8 GB of free memory now; box will have when job big of run 12 ends"
    )
    assert wait(job("j", cpus=4, memory=8), 1, big) == (
        "no agent has 4 free cpus, 8 GB of free memory and a free slot now; "
        "box (1 of 1 slot taken) will have when job big of run 12 ends"
    )
    assert wait(job("j", "missing", gpus=1), 1, idle).startswith("no agent has the label [missing]; ")
    assert wait(job("j", memory=80), 1, idle).startswith("no agent has 80 GB of memory; the biggest")


def test_reasons_of_several_agents_name_each_thing_that_lacks() -> None:
    fleet = [agent("a", slots=1, gpus=1), agent("b", slots=2, gpus=1)]
    held = [holding("x", "a", ends_at=9.0), holding("y", "b", gpus=names([0], "b"), ends_at=5.0)]
    assert choose([job("j", gpus=1)], fleet, held).waits["j"] == (
        "no agent has 1 free GPU and a free slot now; b will have when job y of run 12 ends"
    )


def test_a_job_for_githubs_machines_says_the_command_that_lends_the_label() -> None:
    def wait(labels: tuple[str, ...], fleet: list[Any]) -> str:
        return choose([job("j", *labels)], fleet).waits["j"]

    box = agent("box", "self-hosted", "linux", "x64", "gpu", "nvidia", "a100", "a100-80gb", "fast", gpus=1)
    assert wait(("ubuntu-latest",), [box]) == (
        "no agent has the label [ubuntu-latest]; 1 agent is connected (box: self-hosted, linux, x64, gpu, nvidia, "
        "a100, a100-80gb, fast); `agent server agent set box labels=fast,ubuntu-latest` lends box the label"
    )
    plain = agent("a box", "self-hosted", "linux", "x64")
    assert wait(("ubuntu-24.04", "ubuntu-latest"), [plain]).endswith(
        "; `agent server agent set 'a box' labels=ubuntu-24.04,ubuntu-latest` lends a box the labels"
    )
    for labels in (("ubuntu-latest", "other"), ("windows-latest",), ("macos-15",), ("ubuntu-24.04-arm",)):
        assert "lends" not in wait(labels, [plain]), labels
    arm = agent("arm", "self-hosted", "linux", "arm64")
    assert "labels=ubuntu-24.04-arm`" in wait(("ubuntu-24.04-arm",), [arm, plain])


def test_who_returns_has_room_on_its_own_agent_before_all_that_is_queued() -> None:
    fleet = [agent("a", slots=2, gpus=1), agent("b", slots=2, gpus=1)]
    back = ReturningJob(job("back", gpus=1), "b")
    choice = choose([job("first", gpus=1), job("second", gpus=1)], fleet, returning=[back])
    assert [(pick.job, pick.seats[0].agent, pick.seats[0].gpus) for pick in choice.returns] == [
        ("back", "b", names([0], "b"))
    ]
    assert seats(choice) == {"first": ["a"]}


def test_a_machine_is_kept_for_who_returns_and_has_no_room_now() -> None:
    fleet = [agent("box", slots=4, gpus=2)]
    held = [holding("other", "box", gpus=names([0], "box"), ends_at=100.0)]
    back = ReturningJob(job("back", gpus=2), "box")
    choice = choose([job("long", gpus=1), job("plain")], fleet, held, returning=[back])
    assert choice.returns == ()
    assert seats(choice) == {"plain": ["box"]}
    assert choice.waits["back"] == "box does not have 2 free GPUs now"
    assert choice.kept == {"box": "back"}


def test_who_returns_does_so_on_a_drained_agent_waits_for_one_that_is_away_and_keeps_to_limits() -> None:
    back = ReturningJob(job("back", gpus=1), "box")
    drained = [replace(agent("box", gpus=1), is_draining=True)]
    assert [pick.job for pick in choose([], drained, returning=[back]).returns] == ["back"]
    assert choose([], [agent("a")], returning=[back]).waits == {"back": "its agent is not connected"}
    fleet, limits = [agent("box", slots=4, gpus=2)], {1: Project(1, "default", most_gpus=1)}
    held = [holding("other", "box", gpus=names([0], "box"))]
    waits = choose([], fleet, held, returning=[back], projects=limits).waits
    assert waits == {"back": "the project 'default' has 1 of at most 1 GPUs"}


def test_work_of_a_form_that_an_agent_is_too_old_for_goes_to_another_or_waits_saying_so() -> None:
    old, new = agent("old", protocol=4), agent("new", protocol=5)
    assert [pick.job for pick in choose([job("flow", "linux", protocol=5)], [old, new]).picks] == ["flow"]
    choice = choose([job("flow", "linux", protocol=5), job("steps", "linux")], [old])
    assert [pick.job for pick in choice.picks] == ["steps"]
    assert choice.waits["flow"] == (
        "every agent with the label [linux] is too old for work of this job's form; upgrade one"
    )


def test_a_gpu_that_is_withheld_is_given_to_nobody_and_its_reason_to_whoever_waits() -> None:
    gpus = tuple(gpu(index) for index in range(4))
    gpus = (*gpus[:2], replace(gpus[2], withheld="it fell off the bus"), gpus[3])
    fleet = [agent("box", slots=8, gpus=gpus)]
    choice = choose([job("all", gpus=4), job("three", gpus=3), job("one", gpus=1)], fleet)
    assert [(pick.job, pick.seats[0].gpus) for pick in choice.picks] == [("three", names([0, 1, 3], "box"))]
    why = "1 of 4 GPUs is withheld: GPU 2 (it fell off the bus)"
    assert choice.waits["all"].startswith("no agent has 4 GPUs; the biggest that matches, box, has 4 × ")
    assert choice.waits["all"].endswith(f"memory; {why}")
    assert choice.waits["one"] == (
        f"no agent has 1 free GPU now; box will have when job three of run 1 ends; on box {why}"
    )


def test_a_job_that_has_the_machine_to_itself_has_none_that_is_withheld() -> None:
    alone = [agent("box", gpus=(gpu(0), replace(gpu(1), withheld="reserved by ann")))]
    assert choose([job("j")], alone).picks[0].seats[0].gpus == names([0], "box")


def test_a_cluster_with_a_queue_has_as_many_jobs_as_it_has_slots() -> None:
    cluster = agent("head", slots=3, gpus=2, has_queue=True)
    jobs = [job(name, gpus=2, cpus=16) for name in ("a", "b", "c", "d")]
    choice = choose(jobs, [cluster])
    assert seats(choice) == {name: ["head"] for name in ("a", "b", "c")}
    assert all(len(pick.seats[0].gpus) == 2 for pick in choice.picks)
    assert choice.waits["d"].startswith("no agent has a free slot now")
    (waits,) = choose([job("big", gpus=3)], [cluster]).waits.values()
    assert waits.startswith("no agent has 3 GPUs")


def test_a_gang_gets_all_of_its_seats_of_one_cluster_and_is_not_mixed() -> None:
    cluster = agent("head", slots=3, has_queue=True)
    assert seats(choose([job("gang", nodes=3)], [cluster, agent("a")])) == {"gang": ["head"] * 3}
    assert seats(choose([job("gang", nodes=2)], [agent("a"), agent("b")])) == {"gang": ["a", "b"]}
    (waits,) = choose([job("gang", nodes=4)], [cluster, agent("a")]).waits.values()
    assert waits == "the job wants 4 slots at once, and head has 3 now"


def test_a_cluster_with_one_slot_gives_no_gpus_to_who_asks_for_none() -> None:
    (pick,) = choose([job("plain")], [agent("head", slots=1, gpus=2, has_queue=True)]).picks
    assert pick.seats[0].gpus == ()
