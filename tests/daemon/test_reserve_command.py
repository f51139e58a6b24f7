"""`agent reserve` where no agent runs, and what it says of wishes that can't be met; with one: `end_to_end/test_gpu_sharing.py`."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support.lab import Done, run_agent
from support.nvml import FakeGpu, build_nvml, nvml_env

from agent.daemon.state import Registration, StateFolder

Reserve = Callable[..., Done]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    nvml = build_nvml(tmp_path_factory.mktemp("nvml"))
    return nvml_env(nvml, [FakeGpu(uuid="GPU-a"), FakeGpu(uuid="GPU-b")])


@pytest.fixture
def reserve(machine: dict[str, str], tmp_path: Path) -> Reserve:
    state = StateFolder(tmp_path / "state")
    state.make()
    state.save_registration(Registration("agent_x", "server", "http://127.0.0.1:1", "box"))
    environment = {**machine, "AGENT_STATE": str(state.path), "SUDO_USER": "ada", "TZ": "UTC"}
    return lambda *words: run_agent("reserve", *words, environment=environment)


def test_without_an_agent_it_holds_for_the_next_start(reserve: Reserve) -> None:
    done = reserve("1", "--for", "2h", "--why", "a demo")
    assert done.code == 0, done.err
    first, second = done.out.splitlines()
    assert first.startswith("GPU 1 (GPU-b) is reserved by ada until ")
    assert first.endswith(" UTC: a demo.")
    assert second == "The agent does not run now; this holds for its next start."
    assert reserve("--list").out == f"{first}\n"
    assert reserve("1", "--free").out == "GPU 1 (GPU-b) is for jobs again.\n"
    assert reserve().out == "No GPU is reserved.\n"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("7", "--for", "1h"), 1, "agent: the agent has no GPU '7'; it has 0 (GPU-a), 1 (GPU-b)\n"),
        (("1",), 2, "agent: a reservation has an end (--for); write 30m, 2h or 7d\n"),
        (("1", "--for", "never"), 2, "agent: a reservation has an end (--for); write 30m, 2h or 7d\n"),
        (("1", "--for", "999d"), 2, "agent: a GPU is kept for a year at most (--for); write 30m, 2h or 7d\n"),
        (("--for", "1h"), 2, "agent: no GPU is named; `agent reserve 2 --for 2h`; "),
        (("1", "--free"), 1, "agent: GPU '1' is not reserved; `agent reserve --list` shows which are\n"),
    ],
)
def test_a_wish_that_can_not_be_met_is_a_sentence(
    reserve: Reserve, words: tuple[str, ...], code: int, said: str
) -> None:
    done = reserve(*words)
    assert (done.code, done.err.startswith(said)) == (code, True), done.err
