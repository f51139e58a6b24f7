"""Which GPUs of a machine are an agent's, by what it was told when it started."""

import pytest

from agent.errors import UsageError
from agent.machine.share import Share, ShareWish, find_uuids, fix_share, read_wish
from agent.spec.resources import Gpu

WHOLE = "GPU-99999999-0000-0000-0000-000000000000"
GPUS = [
    Gpu(0, "GPU-aa11", "NVIDIA H200"),
    Gpu(1, "GPU-ab22", "NVIDIA H200"),
    Gpu(2, "MIG-c1", "A100 MIG 3g.20gb", mig_parent="GPU-cc33"),
    Gpu(2, "MIG-c2", "A100 MIG 3g.20gb", mig_parent="GPU-cc33"),
]
ALL = [gpu.uuid for gpu in GPUS]


def share(said: str = "", *, is_container: bool = False, **environment: str) -> Share:
    return fix_share(read_wish(said, "--gpus", environment, is_container=is_container), GPUS)


def offered(found: Share) -> list[str]:
    return [gpu.uuid for gpu in found.select(GPUS)]


@pytest.mark.parametrize(
    ("variable", "seen"),
    [
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("1", ["GPU-ab22"]),
        (" 1 , 0", ["GPU-aa11", "GPU-ab22"]),
        ("0,0", ["GPU-aa11"]),
        ("0,9,1", ["GPU-aa11"]),
        ("gpu-AB", ["GPU-ab22"]),
        ("GPU-a", []),
        ("all", []),
        ("MIG-c2", ["MIG-c2"]),
        ("2", ["MIG-c1", "MIG-c2"]),
        ("0,", ["GPU-aa11"]),
    ],
)
def test_cudas_variable_is_read_as_cuda_reads_it(variable: str, seen: list[str]) -> None:
    assert offered(share(CUDA_VISIBLE_DEVICES=variable)) == seen


@pytest.mark.parametrize(
    ("variable", "seen"),
    [
        ("", ALL),
        ("all", ALL),
        ("none", []),
        ("void", []),
        ("1,9,0", ["GPU-aa11", "GPU-ab22"]),
        ("GPU-ab22", ["GPU-ab22"]),
        ("2:1", ["MIG-c2"]),
        ("2:7,x:1,0:0", []),
        ("GPU-cc33", ["MIG-c1", "MIG-c2"]),
    ],
)
def test_nvidias_variable_is_read_as_its_container_runtime_reads_it(variable: str, seen: list[str]) -> None:
    assert offered(share(NVIDIA_VISIBLE_DEVICES=variable)) == seen


@pytest.mark.parametrize(
    ("said", "seen"),
    [
        ("all", ALL),
        ("none", []),
        ("1, GPU-aa11", ["GPU-aa11", "GPU-ab22"]),
        ("2", ["MIG-c1", "MIG-c2"]),
        ("2:0", ["MIG-c1"]),
        (WHOLE, []),
    ],
)
def test_the_owners_word_is_the_first(said: str, seen: list[str]) -> None:
    assert offered(share(said, CUDA_VISIBLE_DEVICES="0", NVIDIA_VISIBLE_DEVICES="0")) == seen


def test_what_the_owner_names_and_is_not_there_is_an_error_that_says_what_is() -> None:
    with pytest.raises(UsageError) as refused:
        share("0,9")
    assert (refused.value.what, refused.value.where) == ("this machine has no GPU '9'", "--gpus")
    assert refused.value.hint == "it has 0 (GPU-aa11), 1 (GPU-ab22), 2 (MIG-c1), 2 (MIG-c2)"
    with pytest.raises(UsageError, match="no GPU 'GPU-a'"):
        share("GPU-a")


def test_a_variable_of_the_container_runtime_is_not_obeyed_twice() -> None:
    """Its numbers are those of the machine outside, and CDI says void where there are GPUs."""
    for said in ("3", "void", "none"):
        assert offered(share(is_container=True, NVIDIA_VISIBLE_DEVICES=said)) == ALL
    assert offered(share(is_container=True, NVIDIA_VISIBLE_DEVICES="3", CUDA_VISIBLE_DEVICES="1")) == [
        "GPU-ab22"
    ]


def test_in_a_slurm_allocation_only_what_it_grants_is_offered() -> None:
    assert offered(share(SLURM_JOB_ID="7", CUDA_VISIBLE_DEVICES="1")) == ["GPU-ab22"]
    assert offered(share(SLURM_JOB_ID="7", SLURM_JOB_GPUS="0,1")) == ["GPU-aa11", "GPU-ab22"]
    assert offered(share(SLURM_JOB_ID="7", SLURM_STEP_GPUS="0", SLURM_JOB_GPUS="0,1")) == ["GPU-aa11"]
    granted_nothing = share(SLURM_JOB_ID="7", NVIDIA_VISIBLE_DEVICES="all")
    assert offered(granted_nothing) == []
    assert granted_nothing.describe(GPUS) == "0 of 4 GPUs are offered (a Slurm allocation without GPUs)"


def test_where_nothing_is_said_all_are_offered_now_and_later() -> None:
    found = share()
    assert (found, found.describe(GPUS)) == (Share(), "")
    assert found.has(Gpu(7, "GPU-new", "NVIDIA H200"))


def test_a_share_is_fixed_by_uuid_and_brings_later_instances_along() -> None:
    found = share("0,2")
    renumbered = [Gpu(0, "GPU-ab22", "NVIDIA H200"), Gpu(5, "GPU-aa11", "NVIDIA H200")]
    assert [gpu.uuid for gpu in found.select(renumbered)] == ["GPU-aa11"]
    assert found.has(Gpu(2, "MIG-new", "A100 MIG 1g.5gb", mig_parent="GPU-cc33"))
    assert found.has(Gpu(2, "GPU-cc33", "NVIDIA A100"))
    assert not share("2:0").has(Gpu(2, "MIG-c2", "A100 MIG 3g.20gb", mig_parent="GPU-cc33"))


def test_a_share_is_said_in_words() -> None:
    assert share(CUDA_VISIBLE_DEVICES="0,1").describe(GPUS) == (
        "2 of 4 GPUs are offered (CUDA_VISIBLE_DEVICES=0,1)"
    )
    assert share("1").describe(GPUS) == "1 of 4 GPUs is offered (--gpus 1)"
    assert str(ShareWish("0", "AGENT_GPU_SHARE")) == "AGENT_GPU_SHARE=0"


def test_people_name_gpus_as_the_share_does() -> None:
    assert find_uuids(GPUS, "2") == {"GPU-cc33"}
    assert find_uuids(GPUS, "2:1") == {"MIG-c2"}
    assert find_uuids(GPUS, "gpu-ab") == {"GPU-ab22"}
    assert find_uuids(GPUS, "9") == set()


def test_while_the_driver_does_not_tell_of_all_what_is_not_there_is_passed_over() -> None:
    wish = ShareWish("0,3", "--gpus")
    assert offered(fix_share(wish, GPUS, is_complete=False)) == ["GPU-aa11"]
