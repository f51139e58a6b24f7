"""What a flow of stages on a real server and a real agent tells while it runs, and leaves when it has ended."""

import httpx
import pytest
from support.lab import Lab, wait_for

FLOW = """\
name: Orders
stages:
  - {name: in, action: webhook, config: {path: /orders}, out: [total]}
  - {name: total, action: field_map, config: {convert: {total: int}}, out: [end]}
  - {name: end, action: noop}
"""


@pytest.mark.store("sqlite")
def test_dead_letters_are_on_the_server_at_once_and_an_artifact_in_the_end(lab: Lab) -> None:
    flow = lab.folder / "orders.yaml"
    flow.write_text(FLOW)
    lab.add_agent("one")
    done = lab.agent("flow", "deploy", flow)
    assert done.code == 0, done.err
    url = next(line.split()[-1] for line in done.out.splitlines() if "receives at" in line)
    with httpx.Client() as shop:
        for total in ("1", "x", "3"):
            assert shop.post(url, json={"total": total}).status_code == 202

    def settled() -> bool:
        (deployment,) = lab.get("flow", "deployments")
        return [queue["records"] for queue in deployment["queues"]] == [0]

    wait_for(settled, "the records to be done")
    (deployment,) = lab.get("flow", "deployments")
    run = deployment["places"][0]["run"]
    api = httpx.Client(
        base_url=f"{lab.url}/api/v1/runs/{run}", headers={"Authorization": f"Bearer {lab.admin_token}"}
    )
    (letter,) = api.get("records", params={"dead": True}).json()["records"]
    assert (letter["record"], letter["state"]) == ({"total": "x"}, "dead")
    assert letter["error"] == "field 'total' can't become an int: \"x\""
    assert [passage["name"] for passage in letter["stages"]] == ["total"]

    def figures() -> dict[str, dict[str, int]]:
        (job,) = api.get("stages").json()["jobs"]
        return {one["name"]: one for one in job["stages"]}

    wait_for(lambda: figures()["end"]["done"] == 2, "the figures")
    assert [figures()[name]["accepted"] for name in ("in", "total", "end")] == [3, 3, 2]
    assert figures()["total"]["dead"] == 1
    samples = wait_for(lambda: api.get("records", params={"state": "done"}).json()["records"], "samples")
    assert [passage["name"] for passage in samples[0]["stages"]] == ["total", "end"]
    api.close()
    assert lab.agent("flow", "undeploy", "Orders").code == 0
    shown = lab.wait_for_run(run)
    names = [one["name"] for one in lab.get("artifact", "list", run)]
    assert names == ["dead-letters"], shown
