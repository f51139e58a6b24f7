"""A flow of stages, deployed by the command, received by a real server, run by a real agent."""

import httpx
import pytest
from support.lab import Lab, wait_for

RELAY = """\
name: Relay big orders
stages:
  - {name: in, action: webhook, config: {path: /orders, token: "${secret.SHOP}"}, out: [shape]}
  - {name: shape, action: field_map, config: {take: [id]}, out: [end]}
  - {name: end, action: noop}
"""


def test_a_webhook_reaches_a_deployed_flow_and_what_runs_it_may_be_killed(lab: Lab) -> None:
    flow = lab.folder / "relay.yaml"
    flow.write_text(RELAY)
    assert lab.agent("secret", "set", "SHOP", given="the token of the shop").code == 0
    lab.add_agent("one")
    done = lab.agent("flow", "deploy", flow)
    assert done.code == 0, done.err
    assert "Relay big orders is deployed" in done.out
    url = next(line.split()[-1] for line in done.out.splitlines() if "receives at" in line)
    shop = httpx.Client(headers={"Authorization": "Bearer the token of the shop"})

    def send(count: int) -> None:
        for number in range(count):
            answer = shop.post(url, json={"id": number, "more": "x"})
            assert answer.status_code == 202, answer.text

    def settled() -> bool:
        (deployment,) = lab.get("flow", "deployments")
        return [queue["records"] for queue in deployment["queues"]] == [0]

    send(20)
    wait_for(settled, "the records to be done")
    (deployment,) = lab.get("flow", "deployments")
    (place,) = deployment["places"]
    assert place["state"] == "running"
    lab.kill_supervisors("one")
    send(5)
    wait_for(settled, "the run that follows")
    (deployment,) = lab.get("flow", "deployments")
    assert deployment["places"][0]["run"] > place["run"]
    undone = lab.agent("flow", "undeploy", "Relay big orders")
    assert (undone.code, "its runs drain" in undone.out) == (0, True)
    wait_for(lambda: lab.get("flow", "deployments") == [], "its end")
    shop.close()


@pytest.mark.store("sqlite")  # of the command alone
def test_what_is_no_flow_of_stages_is_not_deployed(lab: Lab) -> None:
    flow = lab.write_flow("  a:\n    runs-on: self-hosted\n    steps: [{run: 'true'}]\n")
    done = lab.agent("flow", "deploy", flow)
    assert (done.code, "only a flow of stages is deployed" in done.err) == (2, True)
    zero = lab.agent("flow", "deploy", flow, "--replicas", "0")
    assert (zero.code, "1 to 100 replicas" in zero.err) == (2, True)


FRAGILE = """\
name: Fragile
stages:
  - {name: in, action: webhook, config: {path: /fragile}, out: shape}
  - {name: shape, action: field_map, config: {convert: {n: int}}}
"""
MANUAL = """\
name: By hand
stages:
  - {name: in, action: manual, out: end}
  - {name: end, action: noop}
"""


@pytest.mark.store("sqlite")
def test_the_records_of_a_flow_are_listed(lab: Lab) -> None:
    flow = lab.folder / "fragile.yaml"
    flow.write_text(FRAGILE)
    lab.add_agent("one")
    done = lab.agent("flow", "deploy", flow)
    url = next(line.split()[-1] for line in done.out.splitlines() if "receives at" in line)
    for number in ("1", "none"):
        assert httpx.post(url, json={"n": number}).status_code == 202
    (dead,) = wait_for(lambda: lab.get("flow", "records", "Fragile", "--failed"), "the dead letter")
    assert (dead["state"], dead["record"]) == ("dead", {"n": "none"})
    run = str(dead["run"])
    found = wait_for(lambda: len(rows := lab.get("flow", "records", run)) > 1 and rows, "both")
    assert {"done", "dead"} <= {record["state"] for record in found}
    assert lab.get("flow", "records", run, "--key", dead["key"]) == [dead]
    assert lab.get("flow", "records", run, "--stage", "nowhere") == []
    shown = lab.agent("flow", "records", "Fragile", "--failed")
    assert [word in shown.out for word in ("key", "dead", dead["key"], dead["error"])] == [True] * 4, (
        shown.out
    )
    unknown = lab.agent("flow", "records", "Nobody")
    assert (unknown.code, "there is no deployment 'Nobody'" in unknown.err) == (1, True), unknown.err


@pytest.mark.store("sqlite")
def test_a_flow_that_brings_a_files_records_runs_on_ones_own_machine_alone_and_that_is_said(lab: Lab) -> None:
    flow, records = lab.folder / "by_hand.yaml", lab.folder / "records.jsonl"
    flow.write_text(MANUAL)
    records.write_text('{"n": 1}\n{"n": 2}\n')
    submitted = lab.agent("flow", "submit", flow, "--source", "none", "--event-file", records)
    assert submitted.code == 2
    assert f"`agent flow run {flow} --event-file {records}` runs it here" in submitted.err
    deployed = lab.agent("flow", "deploy", flow, "--source", "none")
    assert (deployed.code, "only trigger is `manual`" in deployed.err) == (2, True), deployed.err
