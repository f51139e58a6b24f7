"""Every list comes in parts, over HTTP and from the command line: the parts together are the whole."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from server.toolkit_job import Job
from server.vocabulary import ONE_JOB, ServerProcess
from support.commands import clients_closed

from agent.cli import client as cli_client
from agent.cli.main import run_command
from agent.server.http.operation import Operation
from agent.server.process.paging import Page
from agent.server.routes import OPERATIONS

NOWHERE = {"provider": "git", "default_branch": "main"}  # so that the repository need not answer
LISTS = [row for row in OPERATIONS if row.documented and row.handler.__name__.startswith("list_")]


@pytest.mark.parametrize("row", LISTS, ids=lambda row: row.path)
def test_a_list_takes_a_cursor_and_gives_the_next_one(row: Operation) -> None:
    assert row.query is not None
    assert issubclass(row.query, Page)
    answer = row.answers[200]
    assert isinstance(answer, type)
    assert issubclass(answer, msgspec.Struct)
    assert answer.__struct_fields__[-1] == "next"


def fill(server: ServerProcess) -> None:
    """Three of everything that people set up, and of what jobs leave."""
    run = server.submit()
    artifact = server.api.put(f"/runs/{run}/artifacts/a", content=b"x").json()["id"]
    for n in range(3):
        for path, body in (
            (f"/secrets/S{n}", {"value": "x"}),
            (f"/secrets/S{n}?environment=prod", {"value": "x"}),
            (f"/organisation/secrets/S{n}", {"value": "x"}),
            (f"/variables/V{n}", {"value": "x"}),
            (f"/organisation/variables/V{n}", {"value": "x"}),
            (f"/environments/Env-{n}", {}),
            (f"/flows/flow-{n}", {"text": ONE_JOB}),
            (f"/runs/{run}/tags/tag-{n}", {}),
            (f"/artifacts/{artifact}/tags/tag-{n}", {}),
        ):
            assert server.api.put(path, json=body).is_success, path
        server.add_user(f"user-{n}", role="viewer")
        for path, body in (
            ("/users/user-0/tokens", {"name": f"t{n}"}),
            ("/user/tokens", {"name": f"t{n}"}),
            ("/webhooks", {"name": f"hook-{n}", "flow": "flow-0"}),
            ("/repositories", {**NOWHERE, "url": f"http://nowhere.invalid/a/lab-{n}"}),
            ("/registration-tokens", {}),
            ("/projects", {"name": f"project-{n}"}),
        ):
            assert server.api.post(path, json=body).status_code == 201, path


def save_caches(server: ServerProcess) -> None:
    job = Job(server, source={"kind": "git", "url": "u", "ref": "refs/heads/main"})
    for key in ("pip-a", "pip-B", "npm", "PIP-c"):
        made = job.cache("CreateCacheEntry", key=key, version="a").json()
        put = server.http.put(
            made["signed_upload_url"], content=b"x", headers={"x-ms-blob-type": "BlockBlob"}
        )
        assert put.status_code == 201
        assert job.cache("FinalizeCacheEntryUpload", key=key, version="a", size_bytes="1").json()["ok"]
    job.end()


@pytest.fixture(scope="module")
def full(server: ServerProcess) -> ServerProcess:
    save_caches(server)
    fill(server)
    return server


def walk(server: ServerProcess, path: str, key: str, **query: Any) -> Iterator[list[Any]]:
    cursor: str | None = ""
    while cursor is not None:
        answer = server.api.get(path, params={**query, "cursor": cursor})
        assert answer.status_code == 200, answer.text
        yield answer.json()[key]
        cursor = answer.json()["next"]


CASES = [
    ("/secrets", "secrets", 9),
    ("/organisation/secrets", "secrets", 3),
    ("/variables", "variables", 6),
    ("/organisation/variables", "variables", 3),
    ("/environments", "environments", 3),
    ("/flows", "flows", 3),
    ("/webhooks", "webhooks", 3),
    ("/repositories", "repositories", 3),
    ("/tags", "tags", 6),
    ("/runs/2/tags", "tags", 3),
    ("/caches", "caches", 4),
    ("/projects/default/members", "members", 3),
    ("/projects", "projects", 4),
    ("/users", "users", 4),
    ("/users/user-0/tokens", "tokens", 4),
    ("/user/tokens", "tokens", 4),
    ("/registration-tokens", "registration_tokens", 4),
    ("/runs", "runs", 2),
]


@pytest.mark.parametrize(("path", "key", "least"), CASES, ids=[case[0] for case in CASES])
def test_the_parts_of_a_list_are_the_whole_in_its_order(
    full: ServerProcess, path: str, key: str, least: int
) -> None:
    whole = full.api.get(path).json()
    assert whole["next"] is None
    assert len(whole[key]) >= least
    parts = list(walk(full, path, key, limit=2))
    assert [entry for part in parts for entry in part] == whole[key]
    assert all(len(part) == 2 for part in parts[:-1])


def test_caches_are_found_by_how_their_key_begins_capitals_told_apart(full: ServerProcess) -> None:
    found = [row["key"] for part in walk(full, "/caches", "caches", limit=1, prefix="pip-") for row in part]
    assert found == ["pip-B", "pip-a"]  # the last used first


@pytest.mark.parametrize("cursor", ["WyJcdTAwMDAiLCIiLDFd", "Mg", "WzFd"])  # ["\u0000","",1], 2, [1]
@pytest.mark.parametrize("path", ["/tags", "/caches", "/secrets", "/environments"])
def test_a_cursor_of_another_list_is_refused(full: ServerProcess, path: str, cursor: str) -> None:
    assert full.api.get(path, params={"cursor": cursor}).status_code == 422


COMMANDS = [
    ("secret list", "/secrets", "secrets"),
    ("secret list --organisation", "/organisation/secrets", "secrets"),
    ("variable list", "/variables", "variables"),
    ("tag list", "/tags", "tags"),
    ("tag list --run 2", "/runs/2/tags", "tags"),
    ("flow list", "/flows", "flows"),
    ("server repository list", "/repositories", "repositories"),
    ("server webhook list", "/webhooks", "webhooks"),
    ("server user list", "/users", "users"),
    ("server project list", "/projects", "projects"),
    ("run list", "/runs", "runs"),
]


@pytest.fixture
def at(full: ServerProcess, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Iterator[Callable[[str], Any]]:
    """Gives a command's JSON; it reads lists two entries at a time."""
    monkeypatch.setattr(cli_client, "_PAGE", 2)

    def run(words: str) -> Any:
        where = ["--format", "json", "--url", full.url, "--token", full.token]
        assert run_command([*words.split(), *where]) == 0
        return json.loads(capsys.readouterr().out)

    with clients_closed():
        yield run


@pytest.mark.parametrize(("words", "path", "key"), COMMANDS, ids=[case[0] for case in COMMANDS])
def test_a_command_shows_all_parts(
    full: ServerProcess, at: Callable[[str], Any], words: str, path: str, key: str
) -> None:
    shown, stored = at(words), full.api.get(path).json()[key]
    assert [{name: row[name] for name in entry} for row, entry in zip(shown, stored, strict=True)] == stored


@pytest.mark.parametrize("noun", ["secret", "variable"])
def test_a_list_of_one_environment_is_the_same_for_people_and_programs(
    full: ServerProcess, at: Callable[[str], Any], noun: str, capsys: Any
) -> None:
    for where in ("", "?environment=canary"):
        assert full.api.put(f"/{noun}s/OF_ONE{where}", json={"value": "1"}).status_code == 200
    shown = at(f"{noun} list --environment canary")
    assert [(entry["name"], entry["environment"]) for entry in shown] == [("OF_ONE", "canary")]
    assert (
        run_command([noun, "list", "--environment", "canary", "--url", full.url, "--token", full.token]) == 0
    )
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_caches_come_with_how_much_room_they_take(full: ServerProcess, at: Callable[[str], Any]) -> None:
    whole = full.api.get("/caches").json()
    del whole["next"]
    assert at("cache list") == whole
    assert [row["key"] for row in at("cache list --prefix PIP")["caches"]] == ["PIP-c"]


def test_the_audit_log_is_shown_as_far_back_as_is_asked(
    full: ServerProcess, at: Callable[[str], Any]
) -> None:
    assert len(at("server audit --limit 5")) == 5
    assert len({row["id"] for row in at("server audit --limit 40")}) == 40
