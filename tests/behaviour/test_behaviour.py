"""Every behaviour of the table, on this machine alone and through a server: the same file says what is expected of both."""

from pathlib import Path

import pytest
from support.behaviours import Behaviour, Seen, differences, read_table, run_locally
from support.behaviours_lab import BehaviourLab

_NAMES = list(read_table())


@pytest.mark.parametrize("name", _NAMES)
def test_behaves_on_this_machine(
    name: str, tmp_path: Path, actions_url: str, settled: dict[str, str]
) -> None:
    behaviour = read_table()[name]
    expect(behaviour, run_locally(behaviour, tmp_path, actions_url, settled))


@pytest.mark.xdist_group("one server for all behaviours")
@pytest.mark.parametrize("name", _NAMES)
def test_behaves_the_same_through_a_server(name: str, behaviour_lab: BehaviourLab) -> None:
    behaviour = read_table()[name]
    expect(behaviour, behaviour_lab.run(behaviour))


def expect(behaviour: Behaviour, seen: Seen) -> None:
    """Fail with all that is not as the behaviour's file says."""
    found = differences(behaviour, seen)
    if found:
        pytest.fail("\n".join(found), pytrace=False)
