"""GPUs that are kept for people: told by number or UUID, until a time, over restarts of the daemon."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.daemon.reservations import Reservations
from agent.daemon.state import StateFolder
from agent.errors import NotFoundError, UsageError
from agent.spec.resources import Gpu

GPUS = (
    Gpu(0, "GPU-a", "NVIDIA H200"),
    Gpu(1, "MIG-b1", "A100 MIG 3g.20gb", mig_parent="GPU-b"),
    Gpu(1, "MIG-b2", "A100 MIG 3g.20gb", mig_parent="GPU-b"),
)
NOON = 1_796_126_400.0  # 2026-12-01 12:00 UTC


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    made = StateFolder(tmp_path / "state")
    made.make()
    return made


@pytest.fixture(autouse=True)
def in_utc() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def test_what_is_kept_says_for_whom_and_until_when(state: StateFolder) -> None:
    book = Reservations(state)
    book.keep(GPUS, "0", "ada", 2 * 3600, why="a  demo\n", now=NOON)
    assert book.explain(NOON) == {"GPU-a": "reserved by ada until 14:00 UTC: a demo"}
    book.keep(GPUS, "1", "bob", 24 * 3600, why="", now=NOON)
    assert book.explain(NOON)["GPU-b"] == "reserved by bob until 2026-12-02 12:00 UTC", "all of its instances"
    book.keep(GPUS, "1:1", "eve", 60, why="", now=NOON)
    assert book.explain(NOON)["MIG-b2"] == "reserved by eve until 12:01 UTC"


def test_it_holds_over_a_restart_and_ends_by_itself(state: StateFolder) -> None:
    Reservations(state).keep(GPUS, "GPU-a", "ada", 60, why="", now=NOON)
    assert set(Reservations(state).explain(NOON + 59)) == {"GPU-a"}
    assert Reservations(state).explain(NOON + 60) == {}
    assert state.reservations.stat().st_mode & 0o777 == 0o600


def test_who_keeps_a_gpu_anew_has_it_instead_of_the_one_before(state: StateFolder) -> None:
    book = Reservations(state)
    book.keep(GPUS, "0", "ada", 3600, why="", now=NOON)
    book.keep(GPUS, "0", "bob", 60, why="", now=NOON)
    (kept,) = book.list_now(NOON)
    assert (kept.holder, kept.until) == ("bob", NOON + 60)


def test_it_is_freed_also_when_the_gpu_is_not_there_now(state: StateFolder) -> None:
    book = Reservations(state)
    book.keep(GPUS, "0", "ada", 3600, why="", now=NOON)
    book.keep(GPUS, "1", "ada", 3600, why="", now=NOON)
    (freed,) = book.free((), "GPU-a", NOON)
    assert freed.gpu == "GPU-a"
    (freed,) = book.free(GPUS, "1", NOON)
    assert freed.gpu == "GPU-b"
    with pytest.raises(NotFoundError, match="GPU '1' is not reserved"):
        book.free(GPUS, "1", NOON)


def test_what_root_notes_the_agents_user_reads(state: StateFolder) -> None:
    if os.geteuid() == 0:
        os.chown(state.path, 65534, 65534)
    Reservations(state).keep(GPUS, "0", "ada", 60, why="", now=NOON)
    assert state.reservations.stat().st_uid == state.path.stat().st_uid


def test_a_reservation_is_one_line_and_has_an_end(state: StateFolder) -> None:
    book = Reservations(state)
    book.keep(GPUS, "0", "ada\x1b[31m", 60, why="a\ndemo\x07", now=NOON)
    assert book.explain(NOON)["GPU-a"] == "reserved by ada[31m until 12:01 UTC: a demo"
    for seconds in (0, 400 * 86400, float("nan")):
        with pytest.raises(UsageError, match="for a year at most"):
            book.keep(GPUS, "0", "ada", seconds, why="", now=NOON)


def test_what_is_not_there_is_not_kept(state: StateFolder) -> None:
    with pytest.raises(NotFoundError, match="the agent has no GPU '7'") as refused:
        Reservations(state).keep(GPUS, "7", "ada", 60, why="", now=NOON)
    assert refused.value.hint == "it has 0 (GPU-a), 1 (MIG-b1), 1 (MIG-b2)"


@pytest.mark.parametrize("text", ["", "[]", json.dumps({"reservations": [{"gpu": 5}]})])
def test_a_file_that_can_not_be_read_keeps_nothing_and_is_told_of_once(
    state: StateFolder, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    state.reservations.write_text(text)
    book = Reservations(state)
    for _ in range(2):
        assert book.explain(NOON) == {}
    assert caplog.text.count("no GPU is kept for anybody") == 1
