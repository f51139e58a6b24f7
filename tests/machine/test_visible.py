"""agent/machine/visible.py: CUDA_VISIBLE_DEVICES as CUDA reads it."""

import pytest

from agent.machine.visible import find_visible
from agent.spec.resources import Gpu

GPUS = [
    Gpu(0, "GPU-aa11", "NVIDIA H200"),
    Gpu(1, "GPU-ab22", "NVIDIA H200"),
    Gpu(2, "MIG-c1", "A100 MIG 3g.20gb", mig_parent="GPU-cc33"),
    Gpu(2, "MIG-c2", "A100 MIG 3g.20gb", mig_parent="GPU-cc33"),
]


@pytest.mark.parametrize(
    ("variable", "seen"),
    [
        (None, ["GPU-aa11", "GPU-ab22", "MIG-c1", "MIG-c2"]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("1", ["GPU-ab22"]),
        (" 1 , 0", ["GPU-aa11", "GPU-ab22"]),
        ("0,0", ["GPU-aa11"]),
        ("0,9,1", ["GPU-aa11"]),
        ("gpu-AB", ["GPU-ab22"]),
        ("GPU-a", []),
        ("MIG-c2", ["MIG-c2"]),
        ("2", ["MIG-c1", "MIG-c2"]),
        ("0,", ["GPU-aa11"]),
    ],
)
def test_the_gpus_that_the_variable_names_are_seen(variable: str | None, seen: list[str]) -> None:
    assert [gpu.uuid for gpu in find_visible(GPUS, variable)] == seen
