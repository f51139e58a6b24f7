"""A new master key: what is stored under the old one moves to it, and the old one can go."""

import base64
import os
from collections.abc import Callable
from pathlib import Path

from server.vocabulary import ServerProcess, TestAgent

from agent.seal.envelope import MasterKey

FLOW = """\
on: workflow_dispatch
jobs:
  train:
    runs-on: linux
    steps:
      - run: echo ${{ secrets.DATA_KEY }}
"""


def new_key() -> str:
    return base64.b64encode(os.urandom(32)).decode()


def under(server: ServerProcess, key: str) -> set[bool]:
    """Whether the stored records are under this key."""
    key_id = MasterKey.from_text(key).key_id
    records = [
        record
        for column, table in (
            ("sealed", "secrets"),
            ("credentials", "repositories"),
            ("secret", "repositories"),
            ("secret", "webhooks"),
            ("answer", "idempotency_keys"),
            ("sealed", "id_token_keys"),
        )
        for (record,) in server.sql(f"SELECT {column} FROM {table}")
    ]
    assert len(records) == 6
    return {key_id in record[:9] for record in records}


def restart(server: ServerProcess, *keys: str) -> None:
    server.stop()
    server._settings["master_key"] = " ".join(keys)
    server.start()


def test_all_that_is_stored_moves_to_a_new_key_and_the_old_one_can_go(
    make_server: Callable[..., ServerProcess], make_agent: Callable[..., TestAgent], tmp_path: Path
) -> None:
    old, new = new_key(), new_key()
    server = make_server(master_key=old)
    server.set_secret("DATA_KEY", "hunter2")
    repository = {
        "name": "code",
        "provider": "github",
        "url": "https://example.com/a/b",
        "default_branch": "main",
    }
    private = {"secret": "s" * 20, "token": "user:token"}
    made = server.api.post("/repositories", json={**repository, **private})
    assert made.status_code == 201, made.text
    text = {"text": 'on: workflow_dispatch\njobs: {a: {runs-on: x, steps: [{run: "true"}]}}\n'}
    assert server.api.put("/flows/nightly", json=text).status_code in (200, 201)
    hook = server.api.post("/webhooks", json={"name": "start", "flow": "nightly"})
    assert hook.status_code == 201, hook.text
    headers = {"Idempotency-Key": "once"}
    token = server.api.post("/user/tokens", json={"name": "t"}, headers=headers).json()
    keys = server.http.get("/.well-known/jwks").json()
    assert under(server, old) == {True}

    restart(server, new, old)
    assert under(server, new) == {True}
    assert "6 stored secrets are under the new master key now, 0 could not be moved" in server.log.read_text()
    restart(server, new)
    assert server.http.get("/.well-known/jwks").json() == keys
    assert server.api.post("/user/tokens", json={"name": "t"}, headers=headers).json() == token
    secret = {"Authorization": f"Bearer {hook.json()['secret']}"}
    started = server.http.post("/hooks/start", headers=secret)
    assert started.status_code in (200, 201, 202), started.text
    server.submit(FLOW)
    agent = make_agent(server).connect()
    assert agent.open(agent.take(), "DATA_KEY") == "hunter2"
