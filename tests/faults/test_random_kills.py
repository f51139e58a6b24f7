"""Ten random kills, and other faults between them, lose and double nothing: the schedule that `AGENT_TEST_SEED` names.

By hand (conftest.py): more of them with `make soak KILLS=100`. `AGENT_TEST_STORES=both`: on PostgreSQL too.
"""

import os
from pathlib import Path

import pytest
from faults.soak import KILLS_OF_A_SCHEDULE, run_schedule
from support.postgres import Cluster

STORES = ("sqlite", "postgresql") if os.environ.get("AGENT_TEST_STORES") == "both" else ("sqlite",)
SEED = int(os.environ.get("AGENT_TEST_SEED", "0"))


@pytest.mark.end_to_end
@pytest.mark.timeout(900)
@pytest.mark.parametrize("store", STORES)
def test_random_kills_lose_and_double_nothing(
    store: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    cluster: Cluster | None = request.getfixturevalue("postgres") if store == "postgresql" else None
    schedule = run_schedule(tmp_path, SEED, KILLS_OF_A_SCHEDULE, cluster, print)
    assert schedule.kills == KILLS_OF_A_SCHEDULE
