"""What a supervisor makes of figures: records only of changes, what a step used, sentences on waste."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.job.process.cgroup import JobGroup
from agent.job.sampling.series import KEY_SECONDS, Series
from agent.job.sampling.tree import TreeMeter, list_tree
from agent.job.sampling.use import MachineUse, describe_use, to_json
from agent.job.sampling.waste import find_waste
from agent.journal.samples import JobSample
from agent.spec.figures import CPU, GPU_BUSY, GPU_MEMORY, GPU_POWER, GPU_THROTTLED, MEMORY, code_of

START = 1_800_000_000_000
Values = Mapping[int, int | None]


def record(seconds: list[Values]) -> list[JobSample]:
    series = Series()
    found = [series.add(START + 1000 * place, values, {}) for place, values in enumerate(seconds)]
    return [sample for sample in (*found, series.finish()) if sample is not None]


def replay(samples: list[JobSample]) -> Iterator[dict[int, int | None]]:
    values: dict[int, int | None] = {}
    for sample in samples:
        yield from [dict(values)] * sample.held
        values |= sample.values
        yield dict(values)


@given(st.lists(st.fixed_dictionaries({code_of(GPU_BUSY, 0): st.none() | st.integers(0, 2)}), max_size=300))
def test_from_the_records_follows_each_second(seconds: list[Values]) -> None:
    assert list(replay(record(seconds))) == seconds


def test_where_nothing_changes_nothing_is_written_but_once_a_minute() -> None:
    steady: Values = {code_of(CPU): 100, code_of(MEMORY): 2000, code_of(GPU_BUSY, 0): 99}
    samples = record([steady] * 600)
    assert len(samples) <= 600 // KEY_SECONDS + 2
    assert all(sample.values == steady for sample in samples[:-1])


def test_a_change_that_is_noise_is_none() -> None:
    noisy: list[Values] = [{code_of(MEMORY): 20_000 + place % 7} for place in range(50)]
    assert len(record(noisy)) == 2


def test_a_job_of_three_seconds_has_three_records_at_most() -> None:
    assert len(record([{code_of(CPU): place} for place in range(3)])) <= 3


def test_a_job_that_was_stopped_for_a_while_has_a_gap() -> None:
    series = Series()
    first = series.add(START, {1: 5}, {})
    assert first is not None
    assert series.add(START + 1000, {1: 5}, {}) is None
    late = series.add(START + 60_000, {1: 5}, {})
    assert late is not None
    assert (late.time_ms, late.held) == (START + 60_000, 1)


def used(seconds: int, values: Values, *more: tuple[int, Values]) -> MachineUse:
    use = MachineUse()
    for count, said in ((seconds, values), *more):
        for _ in range(count):
            use.add(said)
    return use


def gpu(busy: int | None, slot: int = 0, **more: int) -> dict[int, int | None]:
    names = {"memory": GPU_MEMORY, "power": GPU_POWER, "slow": GPU_THROTTLED}
    return {
        code_of(GPU_BUSY, slot): busy,
        **{code_of(names[name], slot): value for name, value in more.items()},
    }


def test_a_steps_line_says_peak_mean_and_energy() -> None:
    said = to_json(used(30, gpu(100, memory=2048, power=360), (30, gpu(0, memory=4096, power=120))))
    assert said is not None
    assert said["gpu_percent"] == 50
    assert said["gpu_memory_peak_bytes"] == 4 << 30
    assert said["watt_hours"] == 4.0
    assert describe_use(said) == "Used: GPU 50 % busy on average, 4.0 GiB of a GPU's memory at most, 4 Wh"


def test_a_step_without_a_gpu_and_a_short_one_have_no_line() -> None:
    assert describe_use(to_json(used(30, {code_of(CPU): 100, code_of(MEMORY): 512}))) == ""
    assert to_json(used(1, gpu(50))) is None


IDLE = gpu(0, memory=40_000)
BUSY = gpu(98, memory=40_000)
HAS = {0: 81_920}


def test_a_loader_of_one_core_that_lets_the_gpu_wait_is_told_to_have_more_workers() -> None:
    use = used(600, {**IDLE, code_of(CPU): 100}, (120, BUSY))
    assert find_waste(use, HAS, 16) == [
        "GPU 0 idle 10 of 12 minutes, the loader's CPU at 100 % of one core meanwhile: more workers?"
    ]


@pytest.mark.parametrize(
    ("cpu", "words"),
    [
        (1590, "all 16 cores at 99 % meanwhile"),
        (400, "the CPU at 400 % of a core meanwhile (16 cores): more workers?"),
        (3, "it waits for disk, network or a person?"),
    ],
)
def test_why_a_gpu_is_idle_follows_from_the_cpu(cpu: int, words: str) -> None:
    (sentence,) = find_waste(used(600, {**IDLE, code_of(CPU): cpu}), HAS, 16)
    assert words in sentence


def test_gpus_that_are_never_used_are_named() -> None:
    values = {**gpu(95, 0, memory=60_000), **gpu(0, 1), **gpu(0, 2), code_of(CPU): 100}
    assert find_waste(used(600, values), {}, 16) == [
        "GPUs 1, 2 were never used, of 3 that the job had: ask for 1?"
    ]


def test_a_gpu_that_is_slowed_down_is_named() -> None:
    (sentence,) = find_waste(used(600, gpu(99, memory=60_000, slow=0x40)), HAS, 16)
    assert sentence.startswith("GPU 0 was slowed down 10 of 10 minutes: power or cooling?")


def test_a_gpu_that_is_much_too_large_is_named() -> None:
    (sentence,) = find_waste(used(600, gpu(30, memory=4096)), HAS, 16)
    assert sentence == (
        "GPU 0 30 % busy with 4.0 of 80 GiB of its memory at most: larger batches, or a smaller GPU?"
    )


@pytest.mark.parametrize(
    "use",
    [
        used(299, {**IDLE, code_of(CPU): 100}),
        used(3600, {**BUSY, code_of(CPU): 100}),
        used(3600, {code_of(CPU): 100}),
        used(3600, gpu(None)),
    ],
    ids=["short", "busy", "no GPU", "figures that can't be had"],
)
def test_of_a_short_job_a_busy_one_and_one_of_which_nothing_is_known_nothing_is_said(use: MachineUse) -> None:
    assert find_waste(use, HAS, 16) == []


def test_the_tree_is_all_that_the_root_has_started_and_what_they_computed() -> None:
    burn = "import os, sys; sum(i for i in range(3_000_000)); print('done', flush=True); sys.stdin.read()"
    inner = f"import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', {burn!r}]))"
    program = [sys.executable, "-c", inner]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as outer:
        assert outer.stdout is not None
        assert outer.stdout.readline() == b"done\n"
        tree = list_tree(os.getpid())
        assert outer.pid in tree
        use = TreeMeter(JobGroup(None, ""), os.getpid()).read()
        assert use is not None
        assert use.processes is not None
        assert use.processes >= 2
        assert (use.cpu_seconds or 0) > 0.02
        assert (use.memory_bytes or 0) > 4 << 20


def test_a_group_says_what_its_processes_used(tmp_path: Path) -> None:
    folder = tmp_path / "me"
    folder.mkdir()
    for name, text in {
        "cpu.stat": "usage_usec 2500000\nuser_usec 1\n",
        "memory.current": "10485760\n",
        "memory.stat": "anon 1\ninactive_file 4194304\n",
        "io.stat": "8:0 rbytes=100 wbytes=20 rios=1\n8:16 rbytes=5 wbytes=1\n",
        "cgroup.procs": "1\n2\n3\n",
    }.items():
        (folder / name).write_text(text)
    use = TreeMeter(JobGroup(tmp_path, "me"), os.getpid()).read()
    assert use is not None
    assert (use.cpu_seconds, use.memory_bytes, use.processes) == (2.5, 6 << 20, 2)
    assert (use.disk_read_bytes, use.disk_written_bytes) == (105, 21)
