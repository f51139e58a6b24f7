"""The OpenAPI document: what it says, and that the running server does as it says, whatever it is sent.

By hand, longer: `SCHEMATHESIS_EXAMPLES=200 .venv/bin/python -m pytest tests/server/test_openapi.py -n 0`.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from server.vocabulary import ServerProcess

from agent.server.http.openapi import make_document
from agent.server.routes import OPERATIONS

Servers = Callable[..., ServerProcess]
EXAMPLES = os.environ.get("SCHEMATHESIS_EXAMPLES", "1")
IS_BY_HAND = EXAMPLES != "1"
# The edges of every type are tried on one store, by hand on both: they are many, and what a store makes of a value that
# has passed them is the other tests' business. In CI each operation gets all that its types allow, and every sixth
# value that they don't.
COVERED = ("sqlite", "postgresql") if IS_BY_HAND else ("sqlite",)
EVERY = "1" if IS_BY_HAND else "6"
GENEROUS = {"failures_per_minute": 10**9, "requests_per_second": 0}


def test_the_document_is_made_of_the_rows(server: ServerProcess) -> None:
    document = server.http.get("/api/v1/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    described = {(verb.upper(), path) for path, verbs in document["paths"].items() for verb in verbs}
    rows = {(row.verb, re.sub(r":\w+\}", "}", row.path)) for row in OPERATIONS if row.documented}
    assert described == rows
    ids = [said["operationId"] for verbs in document["paths"].values() for said in verbs.values()]
    assert len(ids) == len(set(ids))


def test_an_operation_says_what_goes_in_and_comes_out() -> None:
    paths = make_document(OPERATIONS)["paths"]
    listing = paths["/api/v1/runs"]["get"]
    parameters = {parameter["name"]: parameter for parameter in listing["parameters"]}
    assert {"limit", "cursor", "status", "project"} <= set(parameters)
    assert parameters["limit"]["schema"]["maximum"] == 200
    assert set(listing["responses"]) >= {"200", "400", "401", "403", "404", "429"}
    submitting = paths["/api/v1/runs"]["post"]
    assert "Idempotency-Key" in {parameter["name"] for parameter in submitting["parameters"]}
    assert submitting["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/RunBody")
    assert paths["/healthz"]["get"]["security"] == []


@pytest.mark.timeout(1800)
def test_no_request_breaks_the_server_or_gets_an_answer_that_is_not_in_the_document(
    make_server: Servers, tmp_path: Path
) -> None:
    server = make_server(limits=GENEROUS)
    server.submit()
    check(server, fuzz(server, server.token, tmp_path, phases="fuzzing"))


@pytest.mark.timeout(1800)
@pytest.mark.store(*COVERED)
def test_nor_does_one_at_the_edges_of_its_types(make_server: Servers, tmp_path: Path) -> None:
    server = make_server(limits=GENEROUS)
    server.submit()
    check(server, fuzz(server, server.token, tmp_path, phases="coverage"))


@pytest.mark.timeout(1800)
@pytest.mark.store(
    "sqlite"
)  # what a role may is decided above the store; the stores are told apart by the test before
@pytest.mark.parametrize("role", ["viewer", "maintainer"])
def test_nor_does_one_of_a_smaller_role(make_server: Servers, tmp_path: Path, role: str) -> None:
    server = make_server(limits=GENEROUS)
    server.submit()
    check(server, fuzz(server, token_of(server, role), tmp_path, phases="fuzzing"))


def check(server: ServerProcess, done: "subprocess.CompletedProcess[str]") -> None:
    """Nothing was found by schemathesis, nor by the server itself."""
    assert done.returncode == 0, done.stdout[-20_000:]
    log = server.log.read_text()
    assert "undocumented answer" not in log
    assert "Traceback" not in log


def token_of(server: ServerProcess, role: str) -> str:
    """A token of a user who has this role in `default`."""
    made = server.api.post("/users", json={"name": f"a-{role}", "kind": "service"})
    assert made.status_code == 201, made.text
    member = server.api.put(f"/projects/default/members/a-{role}", json={"role": role})
    assert member.is_success, member.text
    token = server.api.post(f"/users/a-{role}/tokens", json={})
    assert token.status_code == 201, token.text
    return str(token.json()["token"])


def fuzz(
    server: ServerProcess, token: str, folder: Path, *, phases: str
) -> "subprocess.CompletedProcess[str]":
    """Schemathesis over the document. Streams have no end; they are tested where they are at home."""
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        *("--config-file", str(Path(__file__).with_name("schemathesis.toml"))),
        *("run", f"{server.url}/api/v1/openapi.json"),
        *("--header", f"Authorization: Bearer {token}"),
        *("--checks", "all", "--exclude-path-regex", "/events$"),
        *("--phases", phases, "--seed", "11", "--max-examples", EXAMPLES),
        *("--continue-on-failure", "--request-timeout", "60", "--no-color"),
    ]
    environment = {
        **os.environ,
        "SCHEMATHESIS_HOOKS": "schemathesis_hooks",
        "SCHEMATHESIS_EVERY": EVERY,
        "PYTHONPATH": str(Path(__file__).parent),
    }
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
