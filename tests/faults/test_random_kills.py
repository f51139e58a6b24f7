"""Ten random kills, and other faults between them, lose and double nothing: one schedule, on both stores.

More of them by hand: `make soak KILLS=100 STORE=sqlite`, or another one here: `AGENT_TEST_SEED=4711`.
"""

import os
from pathlib import Path

import pytest
from faults.soak import KILLS_OF_A_SCHEDULE, run_schedule
from support.postgres import Cluster

# Few schedules of ten kills have more kinds of faults; among them is a leap of the server's clock by more than the grace.
SEED = int(os.environ.get("AGENT_TEST_SEED", "335"))


@pytest.mark.end_to_end
@pytest.mark.timeout(900)
@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_random_kills_lose_and_double_nothing(
    store: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    cluster: Cluster | None = request.getfixturevalue("postgres") if store == "postgresql" else None
    schedule = run_schedule(tmp_path, SEED, KILLS_OF_A_SCHEDULE, cluster, print)
    assert schedule.kills == KILLS_OF_A_SCHEDULE
