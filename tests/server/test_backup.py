"""A backup of a busy server makes another one that goes on: old logs, artifacts and secrets are there, jobs run on."""

import contextlib
import io
import sqlite3
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from server.dataset_words import Pusher
from server.toolkit_job import Job
from server.vocabulary import ServerProcess, TestAgent, closing, frames, journal, log, wait_for
from support.postgres import Cluster, run_statement

from agent.errors import AgentError, DamagedError, RefusedError, UsageError
from agent.server.backup import make_backup, restore_backup
from agent.server.store.copy import copy_database
from agent.wire import messages as m

Servers = Callable[..., ServerProcess]


def test_a_copy_of_rows_that_change_all_the_time_comes_to_its_end_in_one_go(tmp_path: Path) -> None:
    file = tmp_path / "flow.db"
    with contextlib.closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE rows (content)")
        database.executemany("INSERT INTO rows VALUES (?)", [(b"x" * 4000,)] * 5000)
        database.commit()
        seen: list[int] = []

        def tell(done: int, of: int) -> None:
            assert len(seen) < 100, "it begins anew with each commit"
            seen.append(done * 100 // of)
            database.execute("INSERT INTO rows VALUES ('late')")
            database.commit()

        copy_database(file, tmp_path / "copy.db", tell)
    assert len(seen) > 3
    assert seen == sorted(seen)
    assert seen[-1] == 100
    with contextlib.closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        assert copy.execute("SELECT count(*) FROM rows").fetchone() == (5000,)


def test_a_busy_server_is_backed_up_and_goes_on_in_either_store(
    make_server: Servers, tmp_path: Path, postgres: Cluster
) -> None:
    server = make_server()
    server.set_secret("DATA_KEY", "hunter2 of the backup")
    old = Job(server, "old")
    old.upload("model", b"weights")
    old.agent.finish(old.assign, journal(old.assign, log("the old log\n")))
    old.agent.disconnect()
    server.archive_journals()
    Pusher(server.api, "images").push({"a/b.txt": b"data"}, tags=["best"])
    run = server.submit()
    agent = TestAgent(server, name="busy", token=server.registration()).connect()
    assign = agent.take()
    half = journal(assign, log("first half\n"), closes=False)
    agent.ship(assign, half)
    wait_for(lambda: server.api.get(f"/jobs/{assign.job}/log").text == "first half\n", "the log")

    file = tmp_path / "backup.tar"
    made = make_backup(server.data, file, database_url=server.database_url)
    assert made.blobs == ""
    assert file.stat().st_mode & 0o777 == 0o600
    key = (server.data / "master.key").read_bytes()
    held = file.read_bytes()
    assert key.strip() not in held
    assert (server.data / "signing.key").read_bytes().strip() not in held
    assert b"hunter2" not in held
    with pytest.raises(UsageError, match="there already"):
        make_backup(server.data, file)
    agent.disconnect()
    number = server.submit()
    server.kill()

    for target, database_url in ((tmp_path / "file", ""), (tmp_path / "shared", postgres.make_database())):
        assert restore_backup(file, target, database_url=database_url).files == made.files
        with pytest.raises(UsageError, match="not empty"):
            restore_backup(file, target)
        (target / "master.key").write_bytes(key)
        (target / "master.key").chmod(0o600)
        server.move(target, database_url)
        assert server.api.get(f"/jobs/{old.assign.job}/log").text == "the old log\n"
        (artifact,) = server.run(old.run)["artifacts"]
        assert server.api.get(f"/artifacts/{artifact['id']}/download").content == b"weights"
        assert server.submit() == number, "numbers go on"
        dataset = Pusher(server.api, "images", create=False)
        assert dataset.read("best") == {"a/b.txt": b"data"}
        assert dataset.push({"a/b.txt": b"more"})["version"] == 2
        assert [entry["name"] for entry in server.api.get("/agents").json()["agents"]] == ["busy", "old"]
        assert server.api.get("/secrets").json()["secrets"][0]["name"] == "DATA_KEY"
        agent.connect(held=(m.HeldJob(assign.job, assign.lease, len(half), is_running=True),))
        assert agent.hear(m.Ack, job=assign.job).offset == len(half)
        agent.ship(assign, frames(log("second half\n"), closing()), wait=False)
        agent.hear(m.Release, job=assign.job)
        assert server.run(run)["conclusion"] == "success"
        assert server.api.get(f"/jobs/{assign.job}/log").text == "first half\nsecond half\n"
        agent.disconnect()
        server.kill()


@pytest.mark.store("postgresql")
def test_a_database_that_is_served_or_not_empty_is_left_alone(make_server: Servers, tmp_path: Path) -> None:
    server = make_server()
    file = tmp_path / "backup.tar"
    make_backup(server.data, file, database_url=server.database_url)
    url, now = server.database_url, time.time()
    with pytest.raises(RefusedError, match="a server works on this database"):
        restore_backup(file, tmp_path / "a", database_url=url, now=now, replaces=True)
    server.submit()
    server.stop()
    with pytest.raises(UsageError, match="the database is not empty"):
        restore_backup(file, tmp_path / "a", database_url=url, now=now)
    assert server.sql("SELECT count(*) FROM runs") == [(1,)]
    assert not (tmp_path / "a").exists()
    restore_backup(file, tmp_path / "a", database_url=url, now=now, replaces=True)
    assert server.sql("SELECT count(*) FROM runs") == [(0,)]
    assert server.sql("SELECT count(*) FROM users") == [(1,)]


def test_a_database_that_no_server_has_used_is_not_backed_up_and_not_touched(
    tmp_path: Path, postgres: Cluster
) -> None:
    url = postgres.make_database()
    with pytest.raises(UsageError, match="there is no server's data here"):
        make_backup(tmp_path, tmp_path / "backup.tar", database_url=url)
    assert run_statement(url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.store("sqlite")
def test_a_backup_without_the_bytes_that_its_rows_name_is_not_made(
    make_server: Servers, tmp_path: Path
) -> None:
    server = make_server()
    run = server.submit()
    assert server.api.put(f"/runs/{run}/artifacts/a", content=b"x").status_code == 201
    (blob,) = (path for path in (server.data / "blobs" / "artifacts").rglob("*") if path.is_file())
    blob.unlink()
    with pytest.raises(AgentError, match="bytes that the rows name are not there"):
        make_backup(server.data, tmp_path / "backup.tar")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("backup")] == []


def repack(file: Path, change: Callable[[list[tuple[str, bytes]]], None]) -> None:
    with tarfile.open(file) as tar:
        entries = [(e.name, tar.extractfile(e).read()) for e in tar if e.isreg()]
    change(entries)
    with tarfile.open(file, "w") as tar:
        for name, data in entries:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))


@pytest.mark.store("sqlite")
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
