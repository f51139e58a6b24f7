"""What a local run grants its jobs of this machine, and what it says where this machine is not what they ask for."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.lab import Done, run_agent
from support.nvml import FakeGpu, FakeInstance, build_nvml, nvml_env


@pytest.fixture(scope="module")
def nvml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_nvml(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def two_gpus(nvml: Path) -> dict[str, str]:
    return nvml_env(nvml, [FakeGpu(uuid="GPU-a"), FakeGpu(uuid="GPU-b")])


def job(name: str, script: str, runs_on: str = "self-hosted", **keys: str) -> str:
    lines = "".join(f"    {key}: {value}\n" for key, value in keys.items())
    return f"  {name}:\n    runs-on: {runs_on}\n{lines}    steps:\n      - run: {json.dumps(script)}\n"


def run(folder: Path, jobs: str, *options: str, **environment: str) -> Done:
    project = folder / "project"
    project.mkdir(exist_ok=True)
    flow = project / "flow.yml"
    flow.write_text(f"on: push\njobs:\n{jobs}")
    state = {"AGENT_STATE": str(folder / "state"), "TMPDIR": str(folder)}
    return run_agent(
        "flow", "run", flow, "--format", "json", *options, cwd=project, environment={**state, **environment}
    )


def of_kind(done: Done, kind: str) -> list[dict[str, Any]]:
    return [record for record in done.records() if record["kind"] == kind]


def said(done: Done, key: str) -> str:
    """The one line of a job's output that begins with `has `."""
    (line,) = (
        record["text"]
        for record in of_kind(done, "log")
        if record["job"] == key and record["text"].startswith("has ")
    )
    return str(line.removeprefix("has "))


def ends(done: Done) -> dict[str, str]:
    return {record["job"]: record["conclusion"] for record in of_kind(done, "job")}


def message(done: Done, key: str) -> str:
    return next(str(record["message"]) for record in of_kind(done, "job") if record["job"] == key)


# Each cell notes that it has its GPU, and goes on when another one has its own at the same time.
MEET = """
mkdir "$FLOW_MEETING/$AGENT_GPUS" || exit 1
echo "has $CUDA_VISIBLE_DEVICES"
for _ in $(seq 600); do
  [ -e "$FLOW_MEETING/both" ] && break
  [ "$(ls "$FLOW_MEETING" | grep -c GPU)" = 2 ] && touch "$FLOW_MEETING/both"
  sleep 0.05
done
[ -e "$FLOW_MEETING/both" ] || exit 2
rmdir "$FLOW_MEETING/$AGENT_GPUS"
"""


def test_four_cells_of_one_gpu_run_two_at_a_time_each_with_a_gpu_of_its_own(
    tmp_path: Path, two_gpus: dict[str, str]
) -> None:
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    cells = job("train", MEET, strategy="{matrix: {v: [1, 2, 3, 4]}}", resources="{gpus: 1}")
    done = run(tmp_path, cells, "--env", f"FLOW_MEETING={meeting}", **two_gpus)
    assert done.code == 0, done.out + done.err
    assert {said(done, f"train ({n})") for n in (1, 2)} == {"GPU-a", "GPU-b"}
    assert all(said(done, f"train ({n})") in ("GPU-a", "GPU-b") for n in (3, 4))
    reasons = {record["job"]: record["reason"] for record in reversed(of_kind(done, "waiting"))}
    assert set(reasons) == {"train (3)", "train (4)"}
    assert reasons["train (3)"].startswith("this machine does not have 1 free GPU")
    assert reasons["train (3)"].endswith(" now; it will have when job train (1) ends")
    (machine,) = (one["machine"] for one in of_kind(done, "machine") if one["job"] == "train (1)")
    assert [gpu["uuid"] for gpu in machine["gpus"]] == [said(done, "train (1)")]


def test_more_gpus_than_there_are_are_refused_in_the_servers_words(
    tmp_path: Path, two_gpus: dict[str, str]
) -> None:
    done = run(tmp_path, job("train", "echo no", resources="{gpus: 3}") + job("other", "true"), **two_gpus)
    assert done.code == 1
    assert ends(done) == {"train": "skipped", "other": "success"}
    (record,) = (record for record in of_kind(done, "job") if record["job"] == "train")
    assert record["failure_kind"] == "infrastructure"
    assert record["message"].startswith("this machine does not have 3 GPUs; it has 2 × NVIDIA H200, ")
    assert done.records()[-1]["conclusion"] == "failure"
    (warning,) = of_kind(done, "warning")
    assert warning["message"].startswith("the run is not green: this machine can't run train; ")


def test_cores_and_memory_that_are_not_there_are_refused_too(tmp_path: Path) -> None:
    done = run(tmp_path, job("big", "echo no", resources="{cpus: 9000, memory: 900TB}"))
    assert done.code == 1
    assert message(done, "big").startswith(
        "this machine does not have 9000 cpus and 900 TB of memory; it has no GPU, "
    )


def test_beside_jobs_that_ask_for_gpus_one_that_does_not_has_none(
    tmp_path: Path, two_gpus: dict[str, str]
) -> None:
    quiet = job("quiet", 'echo "has [${CUDA_VISIBLE_DEVICES-unset}]"')
    done = run(tmp_path, quiet + job("train", "true", resources="{gpus: 1}"), **two_gpus)
    assert said(done, "quiet") == "[]"
    alone = run(tmp_path, quiet, **two_gpus)
    assert said(alone, "quiet") == "[unset]", "where nobody asks for GPUs, nothing is set aside"


def test_only_the_gpus_that_the_caller_sees_are_offered(tmp_path: Path, two_gpus: dict[str, str]) -> None:
    one = job("one", 'echo "has $CUDA_VISIBLE_DEVICES"', resources="{gpus: 1}")
    both = job("both", "echo no", resources="{gpus: 2}")
    for visible in ("1", "GPU-b"):
        done = run(tmp_path, one + both, CUDA_VISIBLE_DEVICES=visible, **two_gpus)
        assert said(done, "one") == "GPU-b"
        assert message(done, "both").startswith("this machine does not have 2 GPUs; it has 1 × NVIDIA H200, ")
        assert message(done, "both").endswith(f"(1 of 2 GPUs is offered (CUDA_VISIBLE_DEVICES={visible}))")
    none = run(tmp_path, one, CUDA_VISIBLE_DEVICES="", **two_gpus)
    assert ends(none) == {"one": "skipped"}


def test_a_label_of_the_gpus_that_are_here_asks_for_one(tmp_path: Path, nvml: Path) -> None:
    env = nvml_env(nvml, [FakeGpu("NVIDIA A10", uuid="GPU-small"), FakeGpu("NVIDIA H200", uuid="GPU-big")])
    train = job("train", 'echo "has $CUDA_VISIBLE_DEVICES"', "[self-hosted, H200]")
    other = job("other", 'echo "has [$CUDA_VISIBLE_DEVICES]"', "[self-hosted, fast-disk]")
    done = run(tmp_path, train + other, **env)
    assert (done.code, said(done, "train"), said(done, "other")) == (0, "GPU-big", "[]")


def test_a_gpu_label_where_there_is_none_is_refused_unless_it_is_mapped(tmp_path: Path) -> None:
    flow = job("train", "echo has it", "[self-hosted, gpu]")
    done = run(tmp_path, flow)
    assert (done.code, ends(done)) == (1, {"train": "skipped"})
    assert message(done, "train").startswith("this machine does not have 1 GPU; it has no GPU, ")
    assert run(tmp_path, flow, "--image", "gpu=host").code == 0


def test_a_driver_that_does_not_start_is_named_in_the_refusal(tmp_path: Path, nvml: Path) -> None:
    env = nvml_env(nvml, [FakeGpu()], "no driver")
    done = run(tmp_path, job("train", "echo no", resources="{gpus: 1}"), **env)
    assert "the NVIDIA driver is not loaded" in message(done, "train")


def test_an_instance_is_granted_to_who_names_it(tmp_path: Path, nvml: Path) -> None:
    halves = [FakeInstance("NVIDIA A100-SXM4-40GB MIG 3g.20gb", uuid=f"MIG-{n}") for n in "ab"]
    env = nvml_env(nvml, [FakeGpu("NVIDIA A100-SXM4-40GB", instances=halves)])
    named = job("named", 'echo "has $CUDA_VISIBLE_DEVICES"', "[self-hosted, mig-3g.20gb]")
    done = run(tmp_path, named + job("whole", "echo no", resources="{gpus: 1}"), **env)
    assert said(done, "named") in ("MIG-a", "MIG-b")
    assert ends(done)["whole"] == "skipped"


def test_jobs_that_share_a_gpu_meet_on_it(tmp_path: Path, nvml: Path) -> None:
    env = nvml_env(nvml, [FakeGpu(uuid="GPU-a")])
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    meet = (
        f'touch {meeting}/$GITHUB_JOB; echo "has $AGENT_GPUS"; '
        f"for _ in $(seq 600); do [ $(ls {meeting} | wc -l) = 2 ] && exit 0; sleep 0.05; done; exit 1"
    )
    part = "{gpus: {memory: 60GB, share: true}}"
    done = run(tmp_path, job("one", meet, resources=part) + job("two", meet, resources=part), **env)
    assert done.code == 0, done.out + done.err
    assert said(done, "one") == said(done, "two") == "GPU-a"
    big = run(
        tmp_path, job("big", "echo no", resources="{gpus: {count: 2, memory: 1GB, share: true}}"), **env
    )
    assert message(big, "big").startswith("this machine does not have 2 GPUs with 1 GB to share; ")


def test_all_gpus_of_a_part_of_the_machine_are_told_by_name(tmp_path: Path, nvml: Path) -> None:
    env = nvml_env(nvml, [FakeGpu(uuid=f"GPU-{letter}") for letter in "abc"])
    both = job("both", 'echo "has $CUDA_VISIBLE_DEVICES"', resources="{gpus: 2}")
    assert said(run(tmp_path, both, CUDA_VISIBLE_DEVICES="1,2", **env), "both") == "GPU-b,GPU-c"


MATRIX = "{fail-fast: true, matrix: {os: [ubuntu-latest, macos-latest, windows-latest]}}"


def systems() -> str:
    build = job("build", 'echo "has ${{ runner.os }}"', "'${{ matrix.os }}'", strategy=MATRIX)
    return build + job("publish", "echo no", needs="build")


def test_cells_of_other_systems_are_skipped_and_the_run_is_not_green(tmp_path: Path) -> None:
    done = run(tmp_path, systems())
    assert done.code == 1
    assert ends(done) == {
        "build (ubuntu-latest)": "success",
        "build (macos-latest)": "skipped",
        "build (windows-latest)": "skipped",
        "publish": "skipped",
    }
    assert said(done, "build (ubuntu-latest)") == "Linux"
    assert message(done, "build (macos-latest)") == (
        "'runs-on: macos-latest' asks for macOS, and this machine is Linux; "
        "`--image macos-latest=host` runs it here all the same"
    )
    assert done.records()[-1]["conclusion"] == "failure"


def test_cells_that_were_not_chosen_cost_no_green(tmp_path: Path) -> None:
    done = run(tmp_path, systems(), "--matrix", "os:ubuntu-latest", "--job", "build")
    assert (done.code, ends(done)) == (0, {"build (ubuntu-latest)": "success"})


def test_a_mapped_label_runs_here_whatever_it_says(tmp_path: Path) -> None:
    mapped = [word for label in ("macos-latest", "Windows-Latest") for word in ("--image", f"{label}=host")]
    done = run(tmp_path, systems(), "--job", "build", *mapped)
    assert done.code == 0, done.out
    assert set(ends(done).values()) == {"success"}


def test_a_run_of_nothing_but_other_systems_is_not_green(tmp_path: Path) -> None:
    done = run(tmp_path, job("mac", "echo no", "macos-15"))
    assert (done.code, ends(done)) == (1, {"mac": "skipped"})


def test_a_machine_that_is_not_githubs_ubuntu_is_said_once(tmp_path: Path) -> None:
    import platform

    done = run(tmp_path, job("a", "true", "ubuntu-18.04") + job("b", "true", "ubuntu-18.04"))
    assert done.code == 0
    (warning,) = of_kind(done, "warning")
    pretty = platform.freedesktop_os_release()["PRETTY_NAME"]
    assert warning["message"].startswith(f"ubuntu-18.04: this machine is {pretty} on ")
