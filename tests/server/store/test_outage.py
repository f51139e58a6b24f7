"""A loop bears that the database is away, and says so twice: when it begins to wait, and when it goes on."""

import asyncio
import logging

import pytest

from agent.server.store.failures import UnavailableError
from agent.server.store.outage import Outage

LOG = logging.getLogger("test.outage")


def fail(outage: Outage, error: Exception) -> float:
    with outage:
        raise error
    return outage.seconds


def test_an_outage_is_two_lines_without_traceback_and_the_pauses_grow(
    caplog: pytest.LogCaptureFixture,
) -> None:
    outage = Outage(LOG, "the timers")
    pauses = [fail(outage, UnavailableError("it is away")) for _ in range(9)]
    assert pauses == sorted(pauses)
    assert pauses[0] < pauses[1] < pauses[-1] == pauses[-2]
    with outage:
        outage.seconds = 30.0
    assert outage.seconds == 30.0
    assert [record.getMessage() for record in caplog.records] == [
        "the timers wait: it is away",
        "the timers go on: the database is back",
    ]
    assert not any(record.exc_info for record in caplog.records)
    assert fail(outage, UnavailableError("again")) == pauses[0], "the next one begins anew"


def test_a_bug_is_told_with_its_traceback_and_ends_no_loop(caplog: pytest.LogCaptureFixture) -> None:
    assert fail(Outage(LOG, "the timers"), ValueError("a bug")) > 0
    (record,) = caplog.records
    assert (record.getMessage(), record.levelno) == ("the timers stumbled", logging.ERROR)
    assert record.exc_info is not None


def test_a_loop_that_is_cancelled_ends() -> None:
    with pytest.raises(asyncio.CancelledError), Outage(LOG, "the timers"):
        raise asyncio.CancelledError
