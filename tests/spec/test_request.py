"""What a job asks of a machine, and what has it."""

from dataclasses import replace

import pytest

from agent import codec
from agent.errors import UsageError
from agent.spec.request import (
    NOTHING,
    GpuRequest,
    ResourceRequest,
    describe,
    format_size,
    list_wanted,
    matches,
    read_request,
    read_whole,
    wanted_gpus,
)
from agent.spec.resources import Gpu

GB = 10**9
H100 = Gpu(0, "GPU-1", "NVIDIA H100 80GB HBM3", memory_bytes=85_520_809_984)
RTX = Gpu(1, "GPU-2", "NVIDIA GeForce RTX 4090", memory_bytes=25_757_220_864)
MIG = Gpu(2, "MIG-1", "NVIDIA A100-SXM4-80GB MIG 1g.10gb", memory_bytes=10 * GB, mig_parent="GPU-3")


def test_a_request_is_read_from_what_the_flow_gives() -> None:
    written = {"cpus": "8", "memory": "64GB", "gpus": {"count": "2", "model": "h100", "memory": "80 GB"}}
    assert read_request(written) == ResourceRequest(8.0, 64 * GB, GpuRequest(2, ("h100",), 80 * GB))
    assert read_request({"gpus": 4.0}).gpus == GpuRequest(4)
    assert read_request({"gpus": {"model": ["a100", "h100"]}}).gpus == GpuRequest(1, ("a100", "h100"))
    assert read_request({"gpus": None, "memory": ""}).gpus == GpuRequest(0)
    assert read_request(None) == NOTHING


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (5, "'resources' is not a mapping of cpus, memory, gpus"),
        ({"disk": 1}, "unknown key 'disk'"),
        ({"cpus": -1}, "'resources.cpus' is not a number of at least 0"),
        ({"cpus": "many"}, "'resources.cpus' is not a number of at least 0"),
        ({"cpus": True}, "'resources.cpus' is not a number of at least 0"),
        ({"memory": 64}, "'resources.memory' is a size with a unit, not 64"),
        ({"memory": "much"}, "'much' is not a size"),
        ({"gpus": -1}, "'resources.gpus' is not a whole number from 0 to 10000"),
        ({"gpus": 0.5}, "'resources.gpus' is not a whole number"),
        ({"gpus": {"count": True}}, "'resources.gpus.count' is not a whole number"),
        ({"gpus": {"model": 5}}, "neither a model nor a list of models"),
        ({"gpus": {"mig": "big"}}, "'resources.gpus.mig' is not a MIG profile: 'big'"),
        ({"gpus": {"mig": 5}}, "'resources.gpus.mig' is not a MIG profile: 5"),
        ({"gpus": {"share": "yes"}}, "'resources.gpus.share' is neither true nor false: 'yes'"),
        ({"gpus": {"share": True}}, "'resources.gpus.share' is for who says how much of each GPU is its own"),
    ],
)
def test_what_is_no_request_is_refused_with_its_key(value: object, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        read_request(value)
    assert words in str(refused.value)


def test_whole_numbers_keep_their_bounds() -> None:
    assert read_whole(" 7 ", "nodes", least=1, most=9) == 7
    for value in (0, "10", "x", None, []):
        with pytest.raises(UsageError, match="'nodes' is not a whole number from 1 to 9"):
            read_whole(value, "nodes", least=1, most=9)


def test_a_gpu_is_known_by_words_of_its_name_and_its_memory() -> None:
    assert matches(GpuRequest(1, memory_bytes=80 * GB), H100)
    assert not matches(GpuRequest(1, memory_bytes=80 * GB), RTX)
    assert matches(GpuRequest(1, ("H100",)), H100)
    assert matches(GpuRequest(1, ("h100-80gb",)), H100)
    assert matches(GpuRequest(1, ("a100", "rtx 4090")), RTX)
    assert not matches(GpuRequest(1, ("h10",)), H100)
    assert not matches(GpuRequest(1, memory_bytes=1), Gpu(0, "GPU-9", "NVIDIA GPU", memory_bytes=None))


def test_an_instance_of_a_gpu_is_given_only_to_who_names_it() -> None:
    assert not matches(GpuRequest(1), MIG)
    assert not matches(GpuRequest(1, ("a100",)), MIG)
    assert matches(GpuRequest(1, ("mig",)), MIG)
    assert matches(GpuRequest(1, ("mig-1g.10gb",)), MIG)
    assert not matches(GpuRequest(1, ("mig 3g.40gb",)), MIG)


def test_instances_of_a_profile_are_asked_for_by_its_name() -> None:
    for written in ("1g.10gb", "MIG-1g.10gb", "mig 1G.10GB"):
        wanted = read_request({"gpus": {"mig": written, "count": 2}}).gpus
        assert wanted == GpuRequest(2, mig="1g.10gb")
        assert matches(wanted, MIG)
    assert not matches(GpuRequest(1, mig="1g.10gb"), H100)
    assert not matches(GpuRequest(1, mig="3g.40gb"), MIG)
    assert not matches(GpuRequest(1, mig="1g.10gb"), replace(MIG, name=f"{MIG.name}+me")), "another profile"
    assert matches(GpuRequest(1, ("a100",), mig="1g.10gb"), MIG)
    assert not matches(GpuRequest(1, ("h100",), mig="1g.10gb"), MIG)


def test_a_part_of_a_gpu_is_asked_for_by_its_memory() -> None:
    shared = GpuRequest(1, memory_bytes=10 * GB, is_shared=True)
    for yes in (True, "true"):
        assert read_request({"gpus": {"memory": "10GB", "share": yes}}).gpus == shared
    for no in (False, "false", None, ""):
        assert read_request({"gpus": {"memory": "10GB", "share": no}}).gpus == replace(
            shared, is_shared=False
        )


def test_what_is_not_said_is_not_written_as_released_versions_read_it() -> None:
    plain = ResourceRequest(gpus=GpuRequest(1, ("h100",), 80 * GB))
    assert '"gpus":{"count":1,"models":["h100"],"memory_bytes":80000000000,"labels":[]}' in codec.dump(plain)
    for request in (
        plain,
        ResourceRequest(gpus=GpuRequest(2, memory_bytes=GB, mig="1g.5gb", is_shared=True)),
    ):
        assert codec.parse(ResourceRequest, codec.dump(request)) == request


def test_a_label_of_gpus_asks_for_one_unless_a_number_is_said() -> None:
    assert wanted_gpus(NOTHING, ("self-hosted", "GPU"), [H100]) == GpuRequest(1, labels=("gpu",))
    assert wanted_gpus(NOTHING, ("linux", "x64", "fast"), [H100]) == GpuRequest(0)
    assert wanted_gpus(NOTHING, ("H100",), [H100, RTX]) == GpuRequest(1, labels=("h100",))
    assert wanted_gpus(NOTHING, ("h100",), [RTX]) == GpuRequest(0), (
        "an owner's word, for all that is known here"
    )
    assert wanted_gpus(ResourceRequest(gpus=GpuRequest(0)), ("gpu",), [H100]).count == 0
    assert wanted_gpus(ResourceRequest(gpus=GpuRequest(2)), ("h100",), [H100]) == GpuRequest(
        2, labels=("h100",)
    )
    model = GpuRequest(2, ("rtx 4090",))
    assert wanted_gpus(ResourceRequest(gpus=model), ("h100",), [H100, RTX]) == model


def test_a_label_that_speaks_of_gpus_asks_for_one_where_they_have_failed() -> None:
    assert wanted_gpus(NOTHING, ("cuda-12",), []) == GpuRequest(1)
    assert wanted_gpus(NOTHING, ("gpu",), []) == GpuRequest(1)


def test_a_gpu_that_a_label_asks_for_carries_the_label() -> None:
    wanted = wanted_gpus(NOTHING, ("gpu", "h100-80gb"), [H100, RTX])
    assert matches(wanted, H100)
    assert not matches(wanted, RTX)
    assert matches(wanted_gpus(NOTHING, ("mig-1g.10gb",), [MIG, H100]), MIG)
    assert matches(wanted_gpus(NOTHING, ("mig",), [MIG, H100]), MIG)
    assert not matches(wanted_gpus(NOTHING, ("mig-1g.10gb",), []), H100)
    assert not matches(wanted_gpus(NOTHING, ("a100",), [MIG]), MIG), (
        "an instance is given only to who names mig"
    )


def test_requests_are_said_in_words() -> None:
    asked = ResourceRequest(16, 64 * GB)
    assert describe(asked, GpuRequest(4, ("h100",), 80 * GB)) == (
        "4 h100 GPUs with 80 GB, 16 cpus and 64 GB of memory"
    )
    assert describe(ResourceRequest(1), GpuRequest()) == "1 cpu"
    assert describe(NOTHING, GpuRequest(1)) == "1 GPU"
    assert describe(NOTHING, GpuRequest()) == ""
    assert describe(NOTHING, GpuRequest(2, mig="1g.10gb")) == "2 MIG 1g.10gb instances"
    assert list_wanted(NOTHING, GpuRequest(1, ("h100",), 10 * GB, is_shared=True), adjective="free") == [
        "1 free h100 GPU with 10 GB to share"
    ]
    assert describe(NOTHING, GpuRequest(1, labels=("gpu", "h200"))) == "1 h200 GPU"
    assert list_wanted(asked, GpuRequest(4, ("h100",), 80 * GB), adjective="free") == [
        "4 free h100 GPUs with 80 GB",
        "16 free cpus",
        "64 GB of free memory",
    ]
    assert [format_size(size) for size in (1_500 * GB, 5 * 10**8, 7)] == ["1.5 TB", "500 MB", "7 bytes"]
