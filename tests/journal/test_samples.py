"""Samples as records: small, exact, and never a reason for a traceback."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import DamagedError
from agent.journal.format import decode, encode
from agent.journal.load import Load
from agent.journal.magic import MAGIC
from agent.journal.samples import JobSample, read_sample, write_sample
from agent.spec.figures import CPU, GPU_BUSY, GPU_POWER, GPU_THROTTLED, code_of

SAMPLES = st.builds(
    JobSample,
    st.integers(0, 1 << 50),
    st.dictionaries(st.integers(0, 4000), st.none() | st.integers(-(1 << 50), 1 << 50), max_size=20),
    st.integers(0, 1 << 30),
    st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=3),
)


@given(SAMPLES)
def test_a_sample_is_read_as_it_was_written(sample: JobSample) -> None:
    assert read_sample(write_sample(sample), where="here") == sample
    assert [record for _end, record in decode(MAGIC + encode(sample))] == [sample]


@given(st.binary(max_size=60))
def test_any_bytes_are_a_sample_or_damage(data: bytes) -> None:
    try:
        sample = read_sample(data, where="here")
    except DamagedError:
        return
    assert sample.held >= 0


def test_a_cut_sample_is_damage() -> None:
    data = write_sample(JobSample(1000, {1: 5, 40: 300}))
    with pytest.raises(DamagedError):
        read_sample(data[:-1], where="here")


def test_a_busy_machine_of_eight_gpus_takes_less_than_a_hundred_bytes_a_second() -> None:
    values: dict[int, int | None] = {code_of(CPU): 812}
    for slot in range(8):
        values |= {code_of(GPU_BUSY, slot): 97, code_of(GPU_POWER, slot): 688}
    assert len(encode(JobSample(1_800_000_000_000, values))) < 100


def test_the_load_is_what_all_samples_together_say() -> None:
    load = Load()
    load.add(
        JobSample(1000, {code_of(CPU): 50, code_of(GPU_BUSY, 0): 10}, names={"gpus": [{"uuid": "GPU-a"}]})
    )
    load.add(JobSample(2000, {code_of(GPU_BUSY, 0): None, code_of(GPU_THROTTLED, 0): 4 + 64}))
    assert load.take_news() == {
        "time": 2.0,
        "cpu_percent": 50,
        "gpus": [
            {
                "uuid": "GPU-a",
                "utilization_percent": None,
                "throttled": ["power cap", "hardware thermal slowdown"],
            }
        ],
    }
    assert load.take_news() is None
