"""The pure words of Slurm's side: what the cluster has, what is said to sbatch, and what its states are here."""

import signal
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.wire import job_spec

from agent.config import Settings, load_settings
from agent.daemon.slurm.cluster import (
    Partition,
    choose_partitions,
    describe_cluster,
    read_minutes,
    read_partitions,
)
from agent.daemon.slurm.request import (
    SlurmSettings,
    choose_gres,
    choose_partition,
    make_arguments,
    make_script,
)
from agent.daemon.slurm.states import explain_end
from agent.errors import RefusedError, UsageError
from agent.job.launch.interruptions import TIME_IS_NEAR, explain_signal
from agent.spec.outcome import Conclusion, FailureKind
from agent.spec.request import GpuRequest, ResourceRequest
from agent.spec.resources import Inventory, derive_labels, inventory_from_json, to_json

SINFO = """\
main*|1-00:00:00|2|64|512000|gpu:a100-80gb:4(S:0-1),gpu:h100:2
main*|1-00:00:00|10|128|256000|(null)
long|infinite|3|32|128000|gpu:4(S:0),nvme:1
odd line
"""
SPEC = job_spec("job_x", "true")


def settings(**values: str) -> Settings:
    loaded = load_settings()
    return Settings({**loaded.values, **values}, loaded.origins)


def test_partitions_are_as_big_as_their_biggest_node() -> None:
    main, long = read_partitions(SINFO)
    assert main == Partition("main", True, 12, 128, 512000 << 20, 1440, {"a100-80gb": 4, "h100": 2})
    assert long == Partition("long", False, 3, 32, 128000 << 20, None, {"": 4})
    assert choose_partitions([main, long], ()) == [main]
    assert choose_partitions([main, long], ("long", "main")) == [long, main]
    with pytest.raises(UsageError, match="no partition 'gpu'"):
        choose_partitions([main, long], ("gpu",))


@given(st.text())
def test_whatever_sinfo_says_is_no_error(text: str) -> None:
    for partition in read_partitions(text):
        assert partition.cpus >= 0
    read_minutes(text)


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("1-00:00:00", 1440),
        ("2-12", 3600),
        ("30:00", 30),
        ("30", 30),
        ("5:30:00", 330),
        ("infinite", None),
        ("n/a", None),
    ],
)
def test_slurms_times_are_read(text: str, minutes: int | None) -> None:
    assert read_minutes(text) == minutes


def test_a_cluster_is_an_inventory_with_labels_and_says_so_to_servers_of_all_ages() -> None:
    head = Inventory("head", "Linux", "12", "X64", "6.1", "a cpu", 4, 1 << 33)
    cluster = describe_cluster(head, read_partitions(SINFO))
    assert (cluster.cpu_count, cluster.memory_bytes, len(cluster.gpus)) == (128, 512000 << 20, 10)
    assert {"slurm", "slurm-main", "slurm-long", "a100-80gb", "h100", "gpu"} <= set(derive_labels(cluster))
    assert {gpu.memory_bytes for gpu in cluster.gpus} == {80 * 10**9, None}
    assert inventory_from_json(to_json(cluster)) == cluster


def test_a_jobs_requests_are_options_and_its_words_are_none() -> None:
    (main, _long) = read_partitions(SINFO)
    request = ResourceRequest(2.5, 10**9, GpuRequest(2, ("h100",)))
    spec = replace(
        SPEC, resources=request, key="train --uid=0\n#SBATCH", timeout_minutes=30, cancel_timeout_minutes=5
    )
    owner = SlurmSettings(("--account=lab",), ("main",))
    said = make_arguments(spec, 2, main, owner, "flow-job_x-1")
    assert said[0] == "--account=lab"
    assert {
        "--partition=main", "--cpus-per-task=3", "--mem=954M", "--gres=gpu:h100:2", "--time=38", "--signal=B:USR1@480",
        "--no-requeue", "--job-name=flow-job_x-1", "--comment=train --uid_0_SBATCH",
    } <= set(said)  # fmt: skip
    assert all(word.startswith("--") for word in said)
    assert make_script("/usr/bin/python3", ["/a b/$(x)"], spec).endswith(
        "agent.job.launch.allocation '/a b/$(x)'\n"
    )


def test_the_partitions_limit_bounds_a_jobs_time() -> None:
    short = Partition("short", limit_minutes=2)
    said = make_arguments(replace(SPEC, timeout_minutes=360), 0, short, SlurmSettings(), "flow-x-1")
    assert {"--time=2", "--signal=B:USR1@60"} <= set(said)
    assert not [word for word in said if word.startswith(("--partition", "--gres", "--mem"))]
    free = make_arguments(replace(SPEC, timeout_minutes=0), 0, Partition("free"), SlurmSettings(), "flow-x-1")
    assert not [word for word in free if word.startswith(("--time", "--signal"))]


def test_a_type_of_gpu_is_named_where_not_every_type_will_do() -> None:
    main, long = read_partitions(SINFO)

    def gres(count: int, partition: Partition, *labels: str, models: tuple[str, ...] = ()) -> str:
        asked = None if labels else GpuRequest(count, models)
        return choose_gres(
            replace(SPEC, runs_on=labels, resources=ResourceRequest(gpus=asked)), count, partition
        )

    assert gres(0, main) == ""
    assert gres(2, main) == "gpu:2"
    assert gres(2, main, models=("h100",)) == "gpu:h100:2"
    assert gres(4, main, models=("h100", "a100")) == "gpu:4"
    assert gres(1, main, "slurm", "h100") == "gpu:h100:1"
    assert gres(4, long) == "gpu:4"
    with pytest.raises(RefusedError, match="has 3 such GPUs of one type"):
        gres(3, main, models=("h100",))


def test_a_label_chooses_among_the_partitions_that_the_owner_offers() -> None:
    main, long = read_partitions(SINFO)
    assert choose_partition(("slurm",), [main, long]) is main
    assert choose_partition(("slurm", "Slurm-LONG"), [main, long]) is long
    assert choose_partition(("slurm-long",), [main]) is main  # no agent has that label then
    with pytest.raises(RefusedError):
        choose_partition((), [])


@pytest.mark.parametrize(
    "text", ["-A lab", "lab", "--partition=x", "--export=ALL", "--requeue", "--wrap=id", "'--account=x"]
)
def test_options_that_are_not_the_owners_to_set_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        SlurmSettings.load(settings(slurm_options=text))


def test_the_owners_options_are_read_as_a_shell_does() -> None:
    found = SlurmSettings.load(
        settings(slurm_options="--account=lab '--reservation=a b'", slurm_partitions="gpu  long")
    )
    assert found == SlurmSettings(("--account=lab", "--reservation=a b"), ("gpu", "long"))


@pytest.mark.parametrize(
    ("state", "kind", "conclusion"),
    [
        ("CANCELLED", FailureKind.CANCELLED, Conclusion.CANCELLED),
        ("TIMEOUT", FailureKind.TIMEOUT, Conclusion.CANCELLED),
        ("NODE_FAIL", FailureKind.LOST, Conclusion.FAILURE),
        ("PREEMPTED", FailureKind.LOST, Conclusion.FAILURE),
        ("OUT_OF_MEMORY", FailureKind.OOM, Conclusion.FAILURE),
        ("FAILED", FailureKind.INFRASTRUCTURE, Conclusion.FAILURE),
        ("PENDING", FailureKind.LOST, Conclusion.FAILURE),
        ("", FailureKind.LOST, Conclusion.FAILURE),
    ],
)
def test_slurms_states_are_ours(state: str, kind: FailureKind, conclusion: Conclusion) -> None:
    fate = explain_end(state, "sh: 3: exec: /opt/python: not found")
    assert (fate.kind, fate.conclusion) == (kind, conclusion)
    assert "not found" in fate.message or state not in ("FAILED", "")


def test_a_job_that_slurm_cancels_before_it_began_was_not_a_persons_wish() -> None:
    assert explain_end("CANCELLED", node="n1").kind is FailureKind.LOST
    assert "SIGKILL" in explain_end("COMPLETING", signal_number=signal.SIGKILL).message


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("slurmstepd-n1: error: *** JOB 2 ON n1 CANCELLED AT 2026-12-01T00:48:49 ***", FailureKind.CANCELLED),
        (
            "slurmstepd: error: *** JOB 7 ON n1 CANCELLED AT 2026-12-01T00:48:49 DUE TO TIME LIMIT ***",
            FailureKind.TIMEOUT,
        ),
        (
            "slurmstepd: error: *** JOB 7 ON n1 CANCELLED AT 2026-12-01T00:48:49 DUE TO PREEMPTION ***",
            FailureKind.LOST,
        ),
        ("", FailureKind.CANCELLED),
    ],
)
def test_slurmstepds_word_says_why_a_signal_came(said: str, kind: FailureKind) -> None:
    assert explain_signal(signal.SIGTERM, said)[0] is kind


def test_the_signal_that_was_asked_for_says_that_time_is_near() -> None:
    assert explain_signal(TIME_IS_NEAR, "")[0] is FailureKind.TIMEOUT
