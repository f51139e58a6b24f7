"""Runs that start by other means than a push: schedules, platform events, dispatches, named webhooks; their statuses."""

import asyncio
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from server.triggers.lab import FLOW, ON_PUSH, Lab
from server.triggers.payloads import github_push
from server.vocabulary import ServerProcess, TestAgent, journal, wait_for
from support.git import make_repository, serve_git
from support.manual_clock import ManualClock
from support.status_host import Recorder

from agent.server.process.data_folder import open_data_folder
from agent.server.services import Services, open_services
from agent.server.settings import ServerSettings
from agent.server.store import flows, runs
from agent.server.triggers.known import read_stored, store_flow
from agent.server.triggers.lanes import Lanes
from agent.server.triggers.signatures import sign_body, sign_standard
from agent.spec.outcome import Conclusion

Servers = Callable[..., ServerProcess]
Agents = Callable[..., TestAgent]
Labs = Callable[..., Lab]
NOON = datetime(2026, 1, 1, 12, 0, tzinfo=UTC).timestamp()
JOBS = "jobs:\n  train:\n    runs-on: linux\n    steps:\n      - run: echo ${{ inputs.epochs }}\n"
EVERY_HOUR = "on:\n  schedule: [{cron: '0 * * * *', timezone: Europe/Berlin}]\n" + JOBS
BY_HAND = "on:\n  workflow_dispatch:\n    inputs:\n      epochs: {type: number, default: 3}\n" + JOBS


# Schedules


class Timekeeper:
    """Servers on one database, with clocks that the test moves."""

    def __init__(self, services: list[Services], clock: ManualClock) -> None:
        self.services = services
        self.clock = clock

    async def store(self, text: str) -> int:
        async with self.services[0].rooms.changes.begin() as change:
            return await store_flow(change, 1, read_stored("hourly", text, None))

    async def work(self) -> None:
        """All servers look at the same moment."""
        await asyncio.gather(*(one.rooms.triggers.worker._clockwork.work() for one in self.services))

    async def runs(self) -> list[runs.RunRow]:
        async with self.services[0].rooms.database.read() as connection:
            return await runs.list_runs(connection, 1, limit=100, before=None, status=None)

    async def schedule(self) -> flows.ScheduleRow:
        async with self.services[0].rooms.database.read() as connection:
            (row,) = await flows.list_schedules(connection)
        return row


def keep_time(tmp_path: Path, store: Callable[[], dict[str, str]], test: Any) -> None:
    """Run `test` with two servers on one database."""

    async def main() -> None:
        clock = ManualClock(NOON)
        url = store().get("database_url", "")
        async with AsyncExitStack() as stack:
            made = []
            for name in ("one", "two"):
                data = tmp_path / ("shared" if not url else name)
                settings = ServerSettings("127.0.0.1:0", data, database_url=url)
                folder = open_data_folder(data)
                made.append(await stack.enter_async_context(open_services(settings, folder, clock)))
            await test(Timekeeper(made, clock))

    asyncio.run(main())


def test_a_schedule_starts_one_run_however_many_servers_look(tmp_path: Path, store: Any) -> None:
    async def check(keeper: Timekeeper) -> None:
        await keeper.store(EVERY_HOUR)
        await keeper.work()
        assert await keeper.runs() == []
        for hour in (1, 2):
            keeper.clock.advance(3600)
            await keeper.work()
            await keeper.work()
            assert len(await keeper.runs()) == hour
        (newest, _) = await keeper.runs()
        assert (newest.event, newest.actor, newest.title) == ("schedule", "schedule", "hourly")
        row = await keeper.schedule()
        assert (row.outcome, row.due_at) == (f"run {newest.id}", NOON + 3 * 3600)

    keep_time(tmp_path, store, check)


def test_what_was_missed_is_made_up_for_once_and_only_when_it_is_fresh(tmp_path: Path, store: Any) -> None:
    async def check(keeper: Timekeeper) -> None:
        await keeper.store(EVERY_HOUR)
        keeper.clock.advance(5 * 3600 + 1200)  # five were missed; the last one 20 minutes ago
        await keeper.work()
        assert len(await keeper.runs()) == 1
        await keeper.store(EVERY_HOUR.replace("0 * * * *", "30 3 * * *"))
        keeper.clock.advance(40 * 3600)
        await keeper.work()
        assert len(await keeper.runs()) == 1
        assert "too long ago" in (await keeper.schedule()).outcome

    keep_time(tmp_path, store, check)


def test_a_disabled_flow_starts_nothing_and_storing_it_again_keeps_its_times(
    tmp_path: Path, store: Any
) -> None:
    async def check(keeper: Timekeeper) -> None:
        flow = await keeper.store(EVERY_HOUR)
        due_at = (await keeper.schedule()).due_at
        keeper.clock.advance(1800)
        await keeper.store(EVERY_HOUR + "# changed\n")
        assert (await keeper.schedule()).due_at == due_at
        async with keeper.services[0].rooms.changes.begin() as change:
            await flows.set_enabled(change.connection, flow, is_enabled=False)
        keeper.clock.advance(3600)
        await keeper.work()
        assert await keeper.runs() == []
        assert (await keeper.schedule()).outcome == "the flow is disabled"

    keep_time(tmp_path, store, check)


# Flows that are stored


def test_a_stored_flow_is_started_by_name_with_typed_inputs(make_server: Servers, make_agent: Agents) -> None:
    server = make_server()
    stored = server.api.put("/flows/train", json={"text": BY_HAND})
    assert stored.status_code == 200, stored.text
    answer = server.api.post("/flows/train/dispatch", json={"inputs": {"epochs": "5"}})
    assert answer.status_code == 201, answer.text
    assign = make_agent(server).connect().take()
    assert assign.spec.run == answer.json()["run"]
    assert assign.spec.contexts["inputs"] == {"epochs": 5}
    assert assign.spec.contexts["github"]["event"]["inputs"] == {"epochs": "5"}
    wrong = server.api.post("/flows/train/dispatch", json={"inputs": {"epochs": "many"}})
    assert (wrong.status_code, "epochs" in wrong.json()["detail"]) == (422, True)


def test_a_stored_flow_brings_the_flows_that_it_calls(make_server: Servers, make_agent: Agents) -> None:
    server = make_server()
    caller = "on: workflow_dispatch\njobs: {call: {uses: ./inner.yml}}\n"
    inner = "on: workflow_call\n" + JOBS.replace("echo ${{ inputs.epochs }}", "echo called")
    stored = server.api.put("/flows/train", json={"text": caller, "called": {"./inner.yml": inner}})
    assert stored.status_code == 200, stored.text
    assert server.api.get("/flows/train").json()["called"] == {"./inner.yml": inner}
    answer = server.api.post("/flows/train/dispatch", json={})
    assert answer.status_code == 201, answer.text
    assert make_agent(server).connect().take().spec.steps[0].run == "echo called"
    not_callable = {"text": caller, "called": {"./inner.yml": BY_HAND}}
    refused = server.api.put("/flows/other", json=not_callable)
    assert (refused.status_code, "workflow_call" in refused.text) == (422, True)
    assert server.api.put("/flows/train", json={"text": caller}).json()["called"] == {}


def test_what_can_not_be_started_says_why(make_server: Servers) -> None:
    server = make_server()
    assert server.api.put("/flows/bad", json={"text": "on: push\n"}).status_code == 422
    assert server.api.put("/flows/17", json={"text": BY_HAND}).status_code == 422
    never = EVERY_HOUR.replace("0 * * * *", "0 0 30 2 *")
    assert "never comes" in server.api.put("/flows/never", json={"text": never}).json()["detail"]
    assert server.api.post("/flows/none/dispatch", json={}).status_code == 404
    flow = server.api.put("/flows/hourly", json={"text": EVERY_HOUR}).json()
    assert flow["schedules"][0]["timezone"] == "Europe/Berlin"
    assert "workflow_dispatch" in server.api.post("/flows/hourly/dispatch", json={}).json()["hint"]
    server.api.put("/flows/train", json={"text": BY_HAND})
    assert server.api.post("/flows/train/disable").json()["enabled"] is False
    assert server.api.post("/flows/train/dispatch", json={}).status_code == 409
    assert server.api.post("/flows/train/enable").status_code == 200
    assert server.api.delete("/flows/train").status_code == 204
    assert [row["name"] for row in server.api.get("/flows").json()["flows"]] == ["hourly"]


def test_a_repositorys_flow_is_started_at_a_branch(lab: Lab, make_agent: Agents) -> None:
    lab.repository.git("checkout", "--quiet", "-b", "topic")
    commit = lab.repository.commit({FLOW: ON_PUSH.replace("echo", "echo topic")})
    server = lab.server
    lab.server.set_secret("DATA_KEY", "hunter2")
    answer = server.api.post(f"/repositories/{lab.id}/dispatch", json={"flow": "train.yml", "ref": "topic"})
    assert answer.status_code == 201, answer.text
    assign = make_agent(server).connect().take()
    assert (assign.spec.source.ref, assign.spec.source.commit) == ("refs/heads/topic", commit)
    assert "topic" in str(assign.spec.steps[0].run)
    gone = server.api.post(f"/repositories/{lab.id}/dispatch", json={"flow": "train.yml", "ref": "gone"})
    assert gone.status_code == 404


def test_called_flows_are_those_of_the_same_commit(lab: Lab, make_agent: Agents) -> None:
    called = "on: workflow_call\n" + JOBS.replace("echo ${{ inputs.epochs }}", "echo called")
    caller = "on: push\njobs:\n  call:\n    uses: ./.github/workflows/called.yml\n"
    delivery = lab.push({FLOW: caller, ".github/workflows/called.yml": called})
    assert delivery["results"][0]["run"], delivery
    assert make_agent(lab.server).connect().take().spec.steps[0].run == "echo called"
    missing = lab.push({FLOW: caller.replace("called.yml", "gone.yml")})
    assert missing["results"][0]["why"] == "what it calls is not valid"


# Named webhooks


def webhook(server: ServerProcess) -> dict[str, Any]:
    server.api.put("/flows/train", json={"text": BY_HAND})
    made = server.api.post("/webhooks", json={"name": "retrain", "flow": "train"})
    assert made.status_code == 201, made.text
    return made.json()


def test_a_named_webhook_starts_its_flow_with_inputs_from_the_body(
    make_server: Servers, make_agent: Agents
) -> None:
    server = make_server()
    hook = webhook(server)
    bearer = {"Authorization": f"Bearer {hook['secret']}"}
    answer = server.http.post(hook["url"], json={"epochs": 7}, headers=bearer)
    assert answer.status_code == 202, answer.text
    assign = make_agent(server).connect().take()
    assert (assign.spec.run, assign.spec.contexts["inputs"]) == (answer.json()["run"], {"epochs": 7})
    assert server.http.post(hook["url"], headers=bearer).json()["run"]
    assert server.http.post(hook["url"], json={"colour": "red"}, headers=bearer).status_code == 422
    assert server.http.post(hook["url"], json={"epochs": [1]}, headers=bearer).status_code == 400


def test_a_named_webhook_takes_a_signed_delivery_once(make_server: Servers) -> None:
    import time

    server = make_server()
    hook = webhook(server)
    body, stamp = b'{"epochs": 7}', str(int(time.time()))
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": stamp,
        "webhook-signature": sign_standard(hook["secret"], "msg_1", stamp, body),
    }
    assert server.http.post(hook["url"], content=body, headers=headers).json()["run"]
    assert server.http.post(hook["url"], content=body, headers=headers).json()["run"] is None
    forged = headers | {"webhook-id": "msg_2"}
    assert server.http.post(hook["url"], content=body, headers=forged).status_code == 403
    assert len(server.api.get("/runs").json()["runs"]) == 1


def test_a_named_webhook_without_its_secret_is_as_good_as_none(make_server: Servers) -> None:
    server = make_server()
    hook = webhook(server)
    answers = [
        server.http.post(url, json={}, headers={"Authorization": "Bearer guess"})
        for url in (hook["url"], f"{server.url}/hooks/nothing")
    ]
    assert [answer.status_code for answer in answers] == [403, 403]
    assert server.api.post("/webhooks", json={"name": "github", "flow": "train"}).status_code == 422
    assert server.api.post("/webhooks", json={"name": "retrain", "flow": "train"}).status_code == 409
    server.api.delete("/webhooks/retrain")
    bearer = {"Authorization": f"Bearer {hook['secret']}"}
    assert server.http.post(hook["url"], json={}, headers=bearer).status_code == 403


# Events of the platform


def finish(agent: TestAgent, **result: Any) -> int:
    assign = agent.take()
    agent.finish(assign, journal(assign, **result))
    return assign.spec.run


def settled(server: ServerProcess, event: str, action: str = "") -> dict[str, Any]:
    def look() -> Any:
        found = server.api.get("/deliveries").json()["deliveries"]
        return next(
            (
                one
                for one in found
                if (one["event"], one["action"]) == (event, action) and one["status"] == "done"
            ),
            None,
        )

    return wait_for(look, f"{event} {action}")


def test_a_run_that_ends_starts_the_flows_that_wait_for_it(make_server: Servers, make_agent: Agents) -> None:
    server = make_server()
    after = "on: {workflow_run: {workflows: [Train], types: [completed]}}\n" + JOBS
    server.api.put("/flows/after", json={"text": after})
    server.api.put("/flows/failed", json={"text": "on: {run_finished: {types: [failure]}}\n" + JOBS})
    agent = make_agent(server).connect()
    server.submit("name: Train\n" + BY_HAND)
    first = finish(agent)
    done = settled(server, "workflow_run", "completed")
    assert [one["flow"] for one in done["results"] if one["run"]] == ["after"]
    assert (
        settled(server, "run_finished", "success")["results"][0]["why"] == "its `types` leave out 'success'"
    )
    assign = agent.take()
    event = assign.spec.contexts["github"]["event"]
    assert event["workflow_run"]["id"] == first
    assert event["workflow_run"]["conclusion"] == "success"
    agent.finish(assign, journal(assign))


def test_runs_that_start_each_other_come_to_an_end(make_server: Servers, make_agent: Agents) -> None:
    server = make_server()
    server.api.put("/flows/loop", json={"text": "on: [run_finished, workflow_dispatch]\n" + JOBS})
    agent = make_agent(server).connect()
    server.api.post("/flows/loop/dispatch", json={})
    for _ in range(3):
        finish(agent, conclusion=Conclusion.SUCCESS)
    ended = wait_for(
        lambda: next(
            (
                one
                for one in server.api.get("/deliveries").json()["deliveries"]
                if "the chain ends here" in one["outcome"]
            ),
            None,
        )
    )
    assert ended["results"] == []
    assert len(server.api.get("/runs").json()["runs"]) == 3


def test_a_repository_dispatch_starts_the_flows_that_know_its_type(lab: Lab, make_agent: Agents) -> None:
    text = ON_PUSH.replace(
        "[push, pull_request, workflow_dispatch]", "{repository_dispatch: {types: [data]}}"
    )
    lab.push({FLOW: text})
    body = {"event_type": "data", "client_payload": {"set": "v2"}}
    sent = lab.server.api.post(f"/repositories/{lab.id}/events", json=body)
    assert sent.status_code == 202, sent.text
    assert lab.settled(sent.json()["delivery"])["results"][0]["run"]
    event = make_agent(lab.server).connect().take().spec.contexts["github"]["event"]
    assert (event["action"], event["client_payload"]) == ("data", {"set": "v2"})
    other = lab.server.api.post("/events", json={"event_type": "other"}).json()["delivery"]
    assert lab.settled(other)["results"][0]["why"] == "its `types` leave out 'other'"


# Commit statuses


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    yield recorder
    recorder.stop()


@pytest.mark.parametrize(
    ("provider", "path", "header", "states"),
    [
        ("github", "/repos/acme/lab/statuses/{}", ("Authorization", "Bearer s3cr3t"), ["pending", "failure"]),
        ("gitea", "/repos/acme/lab/statuses/{}", ("Authorization", "token s3cr3t"), ["pending", "failure"]),
        ("gitlab", "/projects/acme%2Flab/statuses/{}", ("PRIVATE-TOKEN", "s3cr3t"), ["pending", "failed"]),
    ],
)
def test_a_run_is_reported_to_its_commit_in_order(
    make_lab: Labs,
    make_agent: Agents,
    recorder: Recorder,
    provider: str,
    path: str,
    header: tuple[str, str],
    states: list[str],
) -> None:
    lab = make_lab(provider, token="ada:s3cr3t", api_url=recorder.url)
    before, after = lab.repository.head, lab.repository.commit({"a": "1"})
    if provider == "gitlab":
        from server.triggers.payloads import gitlab_push

        payload = gitlab_push(before=before, after=after)
        payload["project"]["path_with_namespace"] = "acme/lab"
        headers = {"X-Gitlab-Event": "Push Hook", "X-Gitlab-Token": lab.secret, "Idempotency-Key": "1"}
    else:
        from server.triggers.payloads import github_push

        payload = github_push(before=before, after=after)
        headers = {"X-Gitea-Event": "push", "X-Gitea-Delivery": "1"}
    number = lab.deliver("push", payload, **headers).json()["delivery"]
    run = lab.settled(number)["results"][0]["run"]
    wait_for(lambda: len(recorder.told) == 1)
    finish(make_agent(lab.server).connect(), conclusion=Conclusion.FAILURE)
    wait_for(lambda: len(recorder.told) == 2)
    assert [told[0] for told in recorder.told] == [path.format(after)] * 2
    assert [told[2]["state"] for told in recorder.told] == states
    name, value = header
    assert all(
        {key.lower(): text for key, text in told[1].items()}[name.lower()] == value for told in recorder.told
    )
    body = recorder.told[1][2]
    assert body["target_url"].endswith(f"/status/runs/{run}")
    assert "Train (push)" in (body.get("context"), body.get("name"))


def test_a_report_that_fails_is_sent_again_before_the_next_one(
    make_lab: Labs, make_agent: Agents, recorder: Recorder
) -> None:
    recorder.answers = [503]
    lab = make_lab(token="s3cr3t", api_url=recorder.url)
    lab.push({"a": "1"})
    finish(make_agent(lab.server).connect())
    wait_for(lambda: len(recorder.told) == 2)
    assert [told[2]["state"] for told in recorder.told] == ["pending", "success"]


def test_a_status_of_our_own_starts_no_run_whose_status_would_start_the_next(
    make_lab: Labs, recorder: Recorder
) -> None:
    """At GitHub what is done with a job's own token starts nothing."""
    lab = make_lab(token="s3cr3t", api_url=recorder.url)
    lab.push({FLOW: ON_PUSH.replace("[push, ", "[status, push, ")})
    wait_for(lambda: recorder.told)
    (path, _, body) = recorder.told[0]
    status = {
        "sha": path.rpartition("/")[2],
        "context": body["context"],
        "state": body["state"],
        "repository": {"full_name": "acme/lab"},
        "sender": {"login": "ada"},
    }
    own = lab.settled(lab.deliver("status", status).json()["delivery"])
    assert (own["results"], "reported itself" in own["outcome"]) == ([], True)
    others = lab.settled(lab.deliver("status", {**status, "context": "ci/other"}).json()["delivery"])
    assert others["outcome"] == "1 flow started"
    elsewhere = lab.settled(lab.deliver("status", {**status, "sha": "b" * 40}).json()["delivery"])
    assert "reported itself" not in elsewhere["outcome"]


def test_a_flow_that_is_not_valid_is_told_to_its_commit(make_lab: Labs, recorder: Recorder) -> None:
    lab = make_lab(token="s3cr3t", api_url=recorder.url)
    lab.push({FLOW: "on: push\njobs:\n  a:\n    stepz: []\n"})
    wait_for(lambda: recorder.told)
    (path, _, body) = recorder.told[0]
    assert path.endswith(lab.repository.head)
    assert (body["state"], body["context"]) == ("error", f"{FLOW} (push)")
    assert "stepz" in body["description"]


def test_flows_of_one_name_report_apart_and_a_comment_reports_no_old_error(
    make_lab: Labs, recorder: Recorder
) -> None:
    lab = make_lab(token="s3cr3t", api_url=recorder.url)
    other = ".github/workflows/other.yml"
    bad = ".github/workflows/bad.yml"
    lab.push({FLOW: ON_PUSH, other: ON_PUSH, bad: "on: push\njobs: []\n"})
    comment = {"action": "created", "repository": {"full_name": "acme/lab"}, "sender": {"login": "ada"}}
    lab.settled(lab.deliver("issue_comment", comment).json()["delivery"])
    wait_for(lambda: len(recorder.told) == 3)
    told = sorted((body["context"], body["state"]) for _, _, body in recorder.told)
    assert told == [
        (f"{bad} (push)", "error"),
        ("Train (push)", "pending"),  # of the first file by its name
        (f"Train [{FLOW}] (push)", "pending"),
    ]
    assert not lab.server.sql("select 1 from status_reports where due_at is not null")


def test_a_silent_and_a_slow_host_hold_up_no_other_repository(lab: Lab) -> None:
    """One host takes connections and says nothing, one answers after a while; both have much to do. A third one's push starts."""
    with socket.create_server(("127.0.0.1", 0)) as silent, serve_git(lab.host.root) as slow:
        numbers = []
        for place in range(8):
            name = f"acme/other-{place}"
            make_repository(lab.host.root / name, {FLOW: ON_PUSH}, tags=())
            body = {"url": f"{lab.host.url}/{name}", "provider": "github", "default_branch": "main"}
            other = lab.server.api.post("/repositories", json=body).json()
            host = slow.url if place % 2 else f"http://127.0.0.1:{silent.getsockname()[1]}"
            lab.server.sql("update repositories set url = ? where id = ?", f"{host}/{name}", other["id"])
            numbers += [send_push(lab, other, name, f"{place}-{again}") for again in range(3)]
        slow.seconds = 3.0
        assert lab.push({"a": "1"})["results"][0]["run"]
        left = [lab.server.api.get(f"/deliveries/{number}").json()["status"] for number in numbers]
        assert left.count("waiting") > len(numbers) / 2, left
        slow.seconds = 0.0
        for place, number in enumerate(numbers):
            if place // 3 % 2:
                assert lab.settled(number)["results"] == []  # its commit is in no repository


def send_push(lab: Lab, repository: Any, name: str, identifier: str) -> int:
    body = json.dumps({**github_push(), "repository": {"full_name": name}, "n": identifier}).encode()
    headers = {
        "X-GitHub-Event": "push",
        "X-GitHub-Delivery": identifier,
        "X-Hub-Signature-256": f"sha256={sign_body(repository['secret'], body)}",
    }
    answer = lab.server.http.post(repository["webhook"], content=body, headers=headers)
    return int(answer.json()["delivery"])


async def test_a_host_that_does_not_answer_is_left_alone_longer_and_longer() -> None:
    async with asyncio.TaskGroup() as group:
        lanes = Lanes(group, most=4, most_in_one=2)
        for _ in range(2):
            lanes.note_failure("a", 0.0)
        assert lanes.closed_until("a", 0.0) is None
        closed = []
        for now in (0.0, 100.0, 200.0):
            lanes.note_failure("a", now)
            closed.append(lanes.closed_until("a", now))
        assert closed == [20.0, 140.0, 280.0]
        assert lanes.closed_until("b", 200.0) is None
        done = asyncio.Event()

        async def work() -> None:
            await done.wait()

        lanes.start("a", work())
        assert not lanes.has_room("a")  # one tries for all
        assert lanes.has_room("b")
        lanes.note_answer("a")
        assert lanes.has_room("a")
        for _ in range(3):
            lanes.start("b", work())
        assert not lanes.has_room("c")
        done.set()
    assert lanes.has_room("c")
