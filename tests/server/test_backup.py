"""A backup of a busy server makes another one that goes on: old logs, artifacts and secrets are there, jobs run on."""

import io
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from server.toolkit_job import Job
from server.vocabulary import ServerProcess, TestAgent, journal, log, wait_for

from agent.errors import DamagedError, UsageError
from agent.server.backup import make_backup, restore_backup

pytestmark = pytest.mark.store("sqlite")
Servers = Callable[..., ServerProcess]


def archive(server: ServerProcess) -> None:
    server.stop()
    with closing(sqlite3.connect(server.data / "flow.db", timeout=20)) as database, database:
        database.execute("UPDATE archives SET due_at = 1 WHERE due_at IS NOT NULL")
    server.start()
    wait_for(
        lambda: (
            list((server.data / "blobs").glob("logs/*/*")) and not list((server.data / "journals").iterdir())
        )
    )


def test_a_busy_server_is_backed_up_and_goes_on_elsewhere(make_server: Servers, tmp_path: Path) -> None:
    server = make_server()
    server.set_secret("DATA_KEY", "hunter2 of the backup")
    old = Job(server, "old")
    old.upload("model", b"weights")
    old.agent.finish(old.assign, journal(old.assign, log("the old log\n")))
    old.agent.disconnect()
    archive(server)
    run = server.submit()
    agent = TestAgent(server, name="busy", token=server.registration()).connect()
    assign = agent.take()
    half = journal(assign, log("first half\n"), closes=False)
    agent.ship(assign, half)
    wait_for(lambda: server.api.get(f"/jobs/{assign.job}/log").text == "first half\n", "the log")

    file = tmp_path / "backup.tar"
    made = make_backup(server.data, file)
    assert made.blobs == ""
    assert file.stat().st_mode & 0o777 == 0o600
    held = file.read_bytes()
    assert (server.data / "master.key").read_bytes().strip() not in held
    assert (server.data / "signing.key").read_bytes().strip() not in held
    assert b"hunter2" not in held
    with pytest.raises(UsageError, match="there already"):
        make_backup(server.data, file)
    key = (server.data / "master.key").read_bytes()
    agent.disconnect()
    server.kill()

    target = tmp_path / "elsewhere"
    assert restore_backup(file, target).files == made.files
    with pytest.raises(UsageError, match="not empty"):
        restore_backup(file, target)
    (target / "master.key").write_bytes(key)
    (target / "master.key").chmod(0o600)
    server.data, server._settings["data"] = target, str(target)
    server.start()
    assert server.api.get(f"/jobs/{old.assign.job}/log").text == "the old log\n"
    (artifact,) = server.run(old.run)["artifacts"]
    assert server.api.get(f"/artifacts/{artifact['id']}/download").content == b"weights"
    assert server.run(run)["status"] == "running"
    assert server.api.get(f"/jobs/{assign.job}/log").text == "first half\n"
    assert [entry["name"] for entry in server.api.get("/agents").json()["agents"]] == ["busy", "old"]


def repack(file: Path, change: Callable[[list[tuple[str, bytes]]], None]) -> None:
    with tarfile.open(file) as tar:
        entries = [(e.name, tar.extractfile(e).read()) for e in tar if e.isreg()]
    change(entries)
    with tarfile.open(file, "w") as tar:
        for name, data in entries:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))


@pytest.mark.parametrize("fault", ["changed", "missing", "more", "escapes", "link", "short", "other"])
def test_a_backup_that_was_changed_restores_nothing(make_server: Servers, tmp_path: Path, fault: str) -> None:
    server = make_server()
    server.submit()
    file, target = tmp_path / "backup.tar", tmp_path / "target"
    make_backup(server.data, file)
    if fault == "changed":
        repack(file, lambda entries: entries.__setitem__(0, (entries[0][0], entries[0][1][:-1] + b"x")))
    elif fault == "missing":
        repack(file, lambda entries: entries.pop(0))
    elif fault == "more":
        repack(file, lambda entries: entries.insert(0, ("blobs/artifacts/1", b"x")))
    elif fault == "escapes":
        repack(file, lambda entries: entries.insert(0, ("blobs/../../escaped", b"x")))
    elif fault == "link":
        with tarfile.open(file, "w") as tar:
            entry = tarfile.TarInfo("flow.db")
            entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(entry)
    elif fault == "short":
        file.write_bytes(file.read_bytes()[:4096])
    else:
        file.write_bytes(b"this is no tar file")
    with pytest.raises(DamagedError):
        restore_backup(file, target)
    assert not target.exists()
    assert not (tmp_path / "escaped").exists()
    assert not target.with_name("target.restoring").exists()
