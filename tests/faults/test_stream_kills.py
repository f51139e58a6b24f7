"""No record is lost while supervisors, agents and servers are killed, flows are deployed again, and are undeployed; what comes twice was unsettled.

More kills by hand: `make soak-streams KILLS=200`, or another schedule here: `AGENT_TEST_SEED=4711`.
"""

import os
from pathlib import Path

import pytest
from faults.stream_soak import run_schedule
from faults.stream_world import HOOKS, make_stream_world
from faults.world import query_store, wait_for

SEED = int(os.environ.get("AGENT_TEST_SEED", "11"))  # each part among its kills, and two at once
KILLS = 8

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(600)]


def test_random_kills_lose_no_record_and_double_only_what_was_not_settled(tmp_path: Path) -> None:
    found = run_schedule(tmp_path, SEED, KILLS, tell=print)
    assert found.kills.total() == KILLS


def test_a_flow_that_is_deployed_again_under_load_loses_and_doubles_nothing(tmp_path: Path) -> None:
    with make_stream_world(tmp_path) as world:
        ledger = world.ledgers[HOOKS]
        with world.under_load():
            for generation in range(3):
                before = len(ledger.arrived)
                wait_for(lambda before=before: len(ledger.arrived) > before + 100, "records")
                file = world.folder / f"{HOOKS}.yaml"
                file.write_text(
                    file.read_text().replace("return record", f"return {{**record, '{generation}': 1}}")
                )
                world.deploy(HOOKS)
        world.wait_until_drained()
        assert not [name for name, times in ledger.arrived.items() if len(times) > 1]
        assert not ledger.refused


def test_a_flow_that_is_undeployed_under_load_drains_and_keeps_what_waits(tmp_path: Path) -> None:
    with make_stream_world(tmp_path) as world:
        ledger = world.ledgers[HOOKS]
        with world.under_load():
            wait_for(lambda: len(ledger.arrived) > 100, "records")
            world.undeploy_all()
            waiting = query_store(world.data, world.database_url, "SELECT count(*) FROM queue_records")
            assert waiting == [(len(ledger.missing),)]
            assert set(ledger.refused) == {404}  # nothing receives there any more
            for name in world.ledgers:
                world.deploy(name)
        world.wait_until_drained()
        assert not [name for name, times in ledger.arrived.items() if len(times) > 1]
