"""A new master key: what is stored under the old one moves to it, and the old one can go."""

import base64
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from server.vocabulary import ServerProcess, TestAgent

from agent.errors import UsageError
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


def test_a_server_without_the_key_of_its_database_does_not_start_and_makes_none(
    make_server: Callable[..., ServerProcess], make_agent: Callable[..., TestAgent]
) -> None:
    server = make_server()
    server.set_secret("DATA_KEY", "hunter2")
    server.stop()
    key = server.data / "master.key"
    elsewhere = key.rename(server.data.with_name("kept.key"))
    if server.database_url:
        server.sql(
            "DELETE FROM installation"
        )  # as after a restore: the first server that comes makes it anew
    with pytest.raises(AssertionError, match="has no master key, and what is in its database is under one"):
        server.start()
    assert not key.exists()
    if server.database_url:
        assert server.sql("SELECT count(*) FROM installation") == [(0,)]
    elsewhere.rename(key)
    server.start()
    server.submit(FLOW)
    agent = make_agent(server).connect()
    assert agent.open(agent.take(), "DATA_KEY") == "hunter2"


def test_a_database_under_one_key_starts_with_no_other_until_somebody_says_that_it_is_lost(
    make_server: Callable[..., ServerProcess], make_agent: Callable[..., TestAgent]
) -> None:
    old, new = new_key(), new_key()
    server = make_server(master_key=old)
    server.set_secret("DATA_KEY", "hunter2")
    gone = MasterKey.from_text(old).key_id.hex()
    with pytest.raises(
        AssertionError, match=f"under another master key than this server has .{gone}."
    ) as refused:
        restart(server, new)
    assert "`lost:IDENTIFIER`" in str(refused.value)
    server._settings["master_key"] = old
    server.start()
    restart(server, new, f"lost:{gone}")
    server.set_secret("DATA_KEY", "hunter3")
    restart(server, new)
    server.submit(FLOW)
    agent = make_agent(server).connect()
    assert agent.open(agent.take(), "DATA_KEY") == "hunter3"


@pytest.mark.parametrize("word", ["lost:", "lost:12", "lost:zz", "lost:00112233445566778899"])
def test_a_lost_key_is_named_by_its_identifier(word: str) -> None:
    with pytest.raises(UsageError, match="no master key's identifier"):
        MasterKey.from_text(f"{new_key()} {word}")
