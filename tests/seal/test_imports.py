"""What an import costs: a quick command pays for keys and probes only when it uses them."""

import subprocess
import sys

import pytest

PROGRAM = """
import importlib, sys
importlib.import_module(sys.argv[1])
print(*sorted({"cryptography", "psutil", "pynvml", "httpx"} & set(sys.modules)))
"""


@pytest.mark.parametrize(
    "module",
    [
        "agent.seal.identity",
        "agent.seal.secrets",
        "agent.seal.envelope",
        "agent.seal.tokens",
        "agent.machine.inventory",
        "agent.machine.sampling",
        "agent.cli.machine.inventory",
    ],
)
def test_importing_loads_no_heavy_library(module: str):
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, module], capture_output=True, text=True, check=True
    )
    assert result.stdout == "\n"
