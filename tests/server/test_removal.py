"""What goes from the tables, and what stays: old deliveries, and all that hangs on a run."""

import time
from collections.abc import Callable

from server.toolkit_job import finished_run
from server.vocabulary import ServerProcess

from agent.server.store.schema import metadata

Servers = Callable[..., ServerProcess]
DAY = 86_400.0


def kinds(server: ServerProcess) -> list[str]:
    """Let go what is too old: of which kinds it was."""
    answer = server.api.post("/retention")
    assert answer.status_code == 200, answer.text
    return sorted(item["kind"] for item in answer.json()["items"])


def add_delivery(server: ServerProcess, number: int, **values: object) -> None:
    columns = {
        "id": number,
        "project": 1,
        "scope": "project/1",
        "identifier": f"i{number}",
        "depth": 0,
        "replay_key": f"r{number}",
        "provider": "platform",
        "event": "push",
        "action": "",
        "subject": "",
        "payload": "{...}",
        "status": "done",
        "is_approved": False,
        "attempt": 1,
        "due_at": None,
        "outcome": "",
        "results": "[]",
        "received_at": 1.0,
        "finished_at": 1.0,
        **values,
    }
    marks = ", ".join("?" * len(columns))
    server.sql(f"INSERT INTO deliveries ({', '.join(columns)}) VALUES ({marks})", *columns.values())


def test_old_deliveries_go_and_what_could_be_sent_again_is_remembered(make_server: Servers) -> None:
    server = make_server()
    repository = {
        "name": "code",
        "provider": "github",
        "url": "https://example.com/a/b",
        "default_branch": "main",
        "secret": "x" * 20,
    }
    made = server.api.post("/repositories", json=repository)
    assert made.status_code == 201, made.text
    run = server.submit()
    for number in (1, 2, 3, 4, 5, 6):
        add_delivery(server, number)
    server.sql("UPDATE deliveries SET received_at = ? WHERE id = 2", time.time())
    server.sql("UPDATE deliveries SET due_at = ?, status = 'waiting' WHERE id = 3", time.time() + 1000)
    server.sql(
        'INSERT INTO origins (run, start, delivery, flow, "commit", is_trusted, depth)'
        " VALUES (?, 'x', 4, 'f', 'c', TRUE, 0)",
        run,
    )
    scope = made.json()["id"]
    server.sql("UPDATE deliveries SET scope = ?, provider = 'github' WHERE id = 5", scope)
    server.sql("UPDATE deliveries SET scope = 'one that was removed', provider = 'github' WHERE id = 6")
    for _ in range(2):
        shown = server.api.get("/retention").json()["items"]
        assert [item["name"].partition(":")[0] for item in shown] == ["1", "5", "6"]
    assert kinds(server) == ["delivery"] * 3
    assert server.sql("SELECT id, replay_key, payload FROM deliveries ORDER BY id") == [
        *((2, "r2", "{...}"), (3, "r3", "{...}"), (4, "r4", "{...}")),
        (5, "r5", ""),
    ]
    listed = server.api.get("/deliveries").json()["deliveries"]
    assert [delivery["id"] for delivery in listed] == [4, 3, 2]
    assert server.api.get("/deliveries/5").status_code == 404
    assert kinds(server) == []
    assert server.api.delete(f"/repositories/{scope}").status_code == 204
    assert kinds(server) == ["delivery"]


# What hangs on a run without being removed with it, and why.
OUTLIVES_RUNS = {"audit", "deliveries", "caches"}


def test_a_run_takes_every_row_with_it_that_hangs_on_it(make_server: Servers) -> None:
    server = make_server()
    run, kept = finished_run(server, "a"), finished_run(server, "b")
    job = server.job(run)["id"]
    now = time.time()
    one_of_each: dict[str, dict[str, object]] = {
        "run_attempts": {"run": run, "attempt": 1, "state": "{}", "actor": ""},
        "approvals": {"job": job, "actor": "a", "run": run, "attempt": 1, "commit": "", "key": "train"}
        | {"environment": "prod", "is_approved": True, "comment": "", "created_at": now},
        "group_members": {"name": "g", "run": run, "attempt": 1, "member": "", "is_inside": True},
        "group_letters": {"name": "g", "run": run, "attempt": 1, "member": "", "kind": "kept-by-the-test"}
        | {"cancel_in_progress": False, "queue": "single", "reason": ""},
        "origins": {"run": run, "start": "x", "flow": "f", "commit": "", "is_trusted": True, "depth": 0},
        "annotations": {"job": job, "lease": 1, "offset": 7, "record": "{}"},
        "summaries": {"job": job, "lease": 1, "offset": 8, "step": 0, "text": "x"},
        "status_reports": {"repository": "R", "run": run, "commit": "", "context": "", "state": "success"}
        | {"description": "", "attempt": 1, "problem": ""},
        "idempotency_keys": {"owner": f"job/{job}", "key": "k", "digest": "", "created_at": now},
        "steps": {"job": job, "lease": 1, "step": 9, "id": "", "name": "", "state": "", "outputs": "{}"},
    }
    repository = {
        "name": "code",
        "provider": "git",
        "url": "https://example.com/a/b",
        "default_branch": "main",
    }
    made = server.api.post("/repositories", json=repository)
    assert made.status_code == 201, made.text
    one_of_each["status_reports"]["repository"] = made.json()["id"]
    for table, values in one_of_each.items():
        columns = ", ".join(f'"{name}"' for name in values)
        marks = ", ".join("?" * len(values))
        server.sql(f"INSERT INTO {table} ({columns}) VALUES ({marks})", *values.values())
    server.archive_journals()
    before = rows_about(server, run, job)
    assert set(one_of_each) | {"runs", "jobs", "leases", "events", "artifacts", "archives"} <= set(before)
    assert server.api.patch("/projects/default", json={"settings": {"keep_runs_days": 30}}).status_code == 200
    server.sql("UPDATE runs SET finished_at = finished_at - ? WHERE id = ?", 31 * DAY, run)
    assert kinds(server) == ["run"]
    assert set(rows_about(server, run, job)) <= OUTLIVES_RUNS
    assert server.run(kept)["conclusion"] == "success"


def rows_about(server: ServerProcess, run: int, job: str) -> dict[str, int]:
    """How many rows of each table name the run or its job."""
    found = {}
    for table in metadata.sorted_tables:
        names = {"runs": "id = ?", "jobs": "run = ?", "tags": "thing = ?"}
        where = names.get(table.name) or ("run = ?" if "run" in table.columns else "")
        value: object = run
        if not where and "job" in table.columns:
            where, value = "job = ?", job
        if table.name == "idempotency_keys":
            where, value = "owner = ?", f"job/{job}"
        if where:
            ((count,),) = server.sql(f"SELECT count(*) FROM {table.name} WHERE {where}", value)
            found |= {table.name: count} if count else {}
    return found
