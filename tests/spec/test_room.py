"""What a machine has left: granted once, given back once."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from agent.spec.request import GpuRequest, ResourceRequest
from agent.spec.resources import Gpu, GpuLink, Inventory
from agent.spec.room import Room, choose_slots, describe_machine, explain_withheld, gpu_variables

GB = 10**9
GPUS = {f"GPU-{n}": Gpu(n, f"GPU-{n}", "NVIDIA H200", memory_bytes=141 * GB) for n in range(4)}


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 8), st.booleans()), max_size=30))
def test_nothing_is_granted_twice_and_all_comes_back(wishes: list[tuple[int, int, bool]]) -> None:
    room, held = Room(3, 8.0, 64 * GB, GPUS), list[tuple[ResourceRequest, tuple[str, ...]]]()
    for count, cpus, ends in wishes:
        if ends and held:
            request, gpus = held.pop(0)
            room.give_back(request, gpus, GPUS)
        request, wanted = ResourceRequest(cpus / 3), GpuRequest(count)
        if room.holds(request, wanted):
            found = room.find_gpus(wanted)
            room.take(request, found)
            held.append((request, found))
        given_out = [uuid for _request, gpus in held for uuid in gpus]
        assert len(given_out) == len(set(given_out))
        assert set(given_out).isdisjoint(room.gpus)
        assert len(held) <= 3
        assert sum(request.cpus for request, _gpus in held) <= 8.0 + 1e-6
    for request, gpus in held:
        room.give_back(request, gpus, GPUS)
    assert (room.slots, round(room.cpus, 6), room.gpus) == (3, 8.0, GPUS)


def test_what_lacks_is_said_in_words() -> None:
    room = Room(1, 4.0, 8 * GB, {"GPU-0": GPUS["GPU-0"]})
    assert room.lacks(ResourceRequest(2), GpuRequest(1)) == ""
    assert room.lacks(ResourceRequest(), GpuRequest(2)) == "2 free GPUs"
    room.take(ResourceRequest(), ("GPU-0",))
    assert room.lacks(ResourceRequest(), GpuRequest(1)) == "1 free GPU and a free slot"
    assert room.lacks(ResourceRequest(), GpuRequest()) == "a free slot"


def test_a_gpu_that_has_gone_does_not_come_back() -> None:
    room = Room(2, 4.0, 8 * GB, GPUS)
    room.take(ResourceRequest(), ("GPU-0", "GPU-1"))
    left = {uuid: gpu for uuid, gpu in GPUS.items() if uuid != "GPU-1"}
    room.give_back(ResourceRequest(), ("GPU-0", "GPU-1"), left)
    assert set(room.gpus) == {"GPU-0", "GPU-2", "GPU-3"}


def test_a_machine_is_said_in_words() -> None:
    assert describe_machine(GPUS.values(), 16, 64 * GB) == "4 × NVIDIA H200, 16 cpus and 64 GB of memory"
    assert describe_machine((), 2, 8 * GB) == "no GPU, 2 cpus and 8 GB of memory"


def test_a_job_is_held_to_its_gpus_unless_it_has_them_all() -> None:
    two = [GPUS["GPU-0"], GPUS["GPU-1"]]
    assert gpu_variables(("GPU-1",), two)["CUDA_VISIBLE_DEVICES"] == "GPU-1"
    assert gpu_variables((), two) == {
        "AGENT_GPUS": "",
        "CUDA_VISIBLE_DEVICES": "",
        "NVIDIA_VISIBLE_DEVICES": "void",
    }
    assert gpu_variables(("GPU-0", "GPU-1"), two) == {"AGENT_GPUS": "GPU-0,GPU-1"}
    assert gpu_variables((), []) == {}


def test_a_machine_takes_a_job_a_gpu_and_at_least_one() -> None:
    machine = Inventory("box", "Linux", "12", "X64", "6.1", "a cpu", 8, 1 << 34)
    some = [replace(machine, gpus=tuple(GPUS.values())[:count]) for count in (0, 1, 4)]
    assert [choose_slots(one) for one in some] == [1, 1, 4]
    assert choose_slots(some[2], is_ephemeral=True) == 1


def test_a_gpu_that_is_withheld_is_granted_to_nobody() -> None:
    machine = {**GPUS, "GPU-2": replace(GPUS["GPU-2"], withheld="it fell off the bus")}
    room = Room(4, 8.0, 64 * GB, machine)
    assert not room.has(ResourceRequest(), GpuRequest(4))
    assert room.find_gpus(GpuRequest(4)) == ("GPU-0", "GPU-1", "GPU-3")


def test_a_gpu_that_was_withheld_meanwhile_does_not_come_back_with_its_job() -> None:
    room = Room(4, 8.0, 64 * GB, GPUS)
    room.take(ResourceRequest(), ("GPU-1", "GPU-2"))
    machine = {**GPUS, "GPU-2": replace(GPUS["GPU-2"], withheld="it fell off the bus")}
    room.give_back(ResourceRequest(), ("GPU-1", "GPU-2"), machine)
    assert room.find_gpus(GpuRequest(4)) == ("GPU-0", "GPU-1", "GPU-3")


def test_what_is_withheld_is_said_with_its_reason() -> None:
    gpus = list(GPUS.values())
    assert explain_withheld(gpus) == ""
    gpus[2] = replace(gpus[2], withheld="it fell off the bus")
    assert explain_withheld(gpus) == "1 of 4 GPUs is withheld: GPU 2 (it fell off the bus)"
    gpus[0], gpus[3] = (replace(gpu, withheld="reserved by ann") for gpu in (gpus[0], gpus[3]))
    assert explain_withheld(gpus) == (
        "3 of 4 GPUs are withheld: GPUs 0 and 3 (reserved by ann), GPU 2 (it fell off the bus)"
    )
    assert explain_withheld(gpus[3:]) == "1 of 1 GPU is withheld: GPU 3 (reserved by ann)"


def sharing(memory_bytes: int, count: int = 1) -> ResourceRequest:
    return ResourceRequest(gpus=GpuRequest(count, memory_bytes=memory_bytes, is_shared=True))


def take(room: Room, request: ResourceRequest) -> tuple[str, ...]:
    assert request.gpus is not None
    assert room.holds(request, request.gpus)
    found = room.find_gpus(request.gpus)
    room.take(request, found)
    return found


def test_jobs_that_share_are_on_one_gpu_up_to_its_memory_and_never_beside_an_exclusive_one() -> None:
    two = {uuid: GPUS[uuid] for uuid in ("GPU-0", "GPU-1")}
    room, part = Room(9, 8.0, 64 * GB, two), sharing(60 * GB)
    assert take(room, part) == take(room, part) == ("GPU-0",), "141 GB hold two of 60 GB"
    alone = ResourceRequest(gpus=GpuRequest(1))
    assert take(room, alone) == ("GPU-1",)
    assert room.lacks(part, GpuRequest(1, memory_bytes=60 * GB, is_shared=True)) == (
        "1 free GPU with 60 GB to share"
    )
    assert take(room, sharing(21 * GB)) == ("GPU-0",)
    for _ in range(2):
        room.give_back(part, ("GPU-0",), two)
        assert not room.has(alone, GpuRequest(1)), "the last of them is still there"
    room.give_back(sharing(21 * GB), ("GPU-0",), two)
    assert take(room, alone) == ("GPU-0",)
    assert room.shared == {}


def test_who_shares_several_gpus_is_on_each_of_them_once() -> None:
    room = Room(9, 8.0, 64 * GB, GPUS)
    assert take(room, sharing(100 * GB)) == ("GPU-0",)
    assert take(room, sharing(50 * GB, 2)) == ("GPU-1", "GPU-2")
    assert take(room, sharing(40 * GB, 3)) == ("GPU-0", "GPU-1", "GPU-2")
    twin = room.copy()
    twin.give_back(sharing(100 * GB), ("GPU-0",), GPUS)
    assert (room.shared["GPU-0"].free_bytes, twin.shared["GPU-0"].free_bytes) == (1 * GB, 101 * GB)


def test_a_shared_gpu_that_is_withheld_takes_nobody_else_and_stays_away() -> None:
    machine = {**GPUS, "GPU-0": replace(GPUS["GPU-0"], withheld="reserved by ann")}
    room = Room(9, 8.0, 64 * GB, machine)
    room.take(sharing(10 * GB), ("GPU-0",))
    assert take(room, sharing(10 * GB)) == ("GPU-1",)
    room.give_back(sharing(10 * GB), ("GPU-0",), machine)
    assert "GPU-0" not in room.gpus


def test_the_parts_of_a_gpu_that_was_cut_up_while_a_job_has_it_are_nobody_elses() -> None:
    parts = {
        f"MIG-{place}": replace(
            GPUS["GPU-0"], uuid=f"MIG-{place}", name="H200 MIG 1g.18gb", mig_parent="GPU-0"
        )
        for place in range(2)
    }
    machine = {**parts, "GPU-1": GPUS["GPU-1"]}
    room = Room(9, 8.0, 64 * GB, machine)
    room.take(ResourceRequest(), ("GPU-0",))
    assert set(room.gpus) == {"GPU-1"}
    room.give_back(ResourceRequest(), ("GPU-0",), machine)
    assert room.gpus == machine


def test_gpus_are_taken_by_their_connections() -> None:
    room = Room(9, 8.0, 64 * GB, GPUS, [GpuLink("GPU-1", "GPU-3", "NV4")])
    assert take(room, ResourceRequest(gpus=GpuRequest(2))) == ("GPU-1", "GPU-3")


def test_a_cluster_that_jobs_are_handed_to_counts_slots_alone() -> None:
    room = Room(2, 8, GB, GPUS, has_queue=True)
    request = ResourceRequest(8, GB, GpuRequest(len(GPUS)))
    room.take(request, GPUS)
    assert room.holds(request, GpuRequest(len(GPUS)))
    room.take(request, GPUS)
    assert room.lacks(request, GpuRequest()) == "a free slot"
    room.give_back(request, GPUS, GPUS)
    assert (room.slots, room.cpus, set(room.gpus)) == (1, 8, set(GPUS))
    assert not room.holds(ResourceRequest(9), GpuRequest())
