"""Ten random kills, and other faults between them, lose and double nothing. By hand there are more: `make soak KILLS=100`.

Each time they are others: a failure names its seed, and `AGENT_TEST_SEED` has it again. `AGENT_TEST_STORES=both`: on PostgreSQL too.
"""

import os
import random
from pathlib import Path

import pytest
from faults.soak import KILLS_OF_A_SCHEDULE, run_schedule
from support.postgres import Cluster

STORES = ("sqlite", "postgresql") if os.environ.get("AGENT_TEST_STORES") == "both" else ("sqlite",)
SEED = os.environ.get("AGENT_TEST_SEED")


@pytest.mark.end_to_end
@pytest.mark.timeout(900)
@pytest.mark.parametrize("store", STORES)
def test_random_kills_lose_and_double_nothing(
    store: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    cluster: Cluster | None = request.getfixturevalue("postgres") if store == "postgresql" else None
    seed = int(SEED) if SEED else random.randrange(10**6)
    schedule = run_schedule(tmp_path, seed, KILLS_OF_A_SCHEDULE, cluster, print)
    assert schedule.kills == KILLS_OF_A_SCHEDULE
