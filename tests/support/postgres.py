"""A real PostgreSQL for tests: one cluster a process, a fresh database a test, gone at the end.

A machine without PostgreSQL skips what needs it and says so; in CI that is a failure.
"""

import asyncio
import os
import pwd
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

# Without fsync: what a killed server process leaves behind is whole all the same, and no power is cut in a test.
_SETTINGS = (
    "fsync=off full_page_writes=off listen_addresses= max_connections=200 shared_buffers=32MB timezone=UTC"
)


def find_binary(name: str) -> Path | None:
    """Where `initdb`, `postgres` or `pg_ctl` is; the newest of several."""
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda file: file.parts[-3])
    if installed:
        return installed[-1]
    found = shutil.which(name)
    return Path(found).resolve() if found else None


class Cluster:
    """A running PostgreSQL in a folder of its own, reached over a unix socket."""

    def __init__(self, folder: Path, settings: str = "") -> None:
        self.folder = folder
        self._data = folder / "data"
        self._settings = f"{_SETTINGS} unix_socket_directories={folder} {settings}"
        self._made = 0
        self._template = ""
        self._lock = threading.Lock()
        options = ["--auth=trust", "--username=flows", "--encoding=UTF8", "--no-locale", "--no-sync"]
        self._run("initdb", "--pgdata", str(self._data), *options)
        self.start()

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = " ".join(f"-c {setting}" for setting in self._settings.split())
        self._run(
            "pg_ctl",
            *("start", "--wait", "--silent", "--pgdata", str(self._data)),
            *("--options", options, "--log", str(self.folder / "log")),
        )

    def stop(self, mode: str = "immediate") -> None:
        """Stop it; `immediate` is as a crash is."""
        self._run("pg_ctl", "stop", "--wait", "--silent", "--mode", mode, "--pgdata", str(self._data))

    def restart(self) -> None:
        """Crash, and come back."""
        self.stop()
        self.start()

    def url(self, database: str) -> str:
        """How a database of this cluster is named to `--database-url`."""
        return f"postgresql://flows@/{database}?host={quote(str(self.folder), safe='')}"

    def make_database(self) -> str:
        """A new empty database: its URL."""
        return self._make("template0")

    def make_store(self) -> str:
        """A new database with this version's schema: its URL. The schema is built once, and copied."""
        with self._lock:
            if not self._template:
                name = "flows_template"
                self.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
                migrate_aside(self.url(name))
                self._template = name
        return self._make(self._template)

    def _make(self, template: str) -> str:
        with self._lock:
            self._made += 1
            name = f"flows_{self._made}"
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.url(name)

    def execute(self, statement: str, database: str = "postgres") -> str:
        """Run a statement as psql does: what it prints."""
        command = ["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--command", statement]
        return self._run(
            "psql", "--host", str(self.folder), "--username", "flows", "--dbname", database, *command
        )

    @cached_property
    def _owner(self) -> str | None:
        """PostgreSQL does not run as root."""
        if os.geteuid() != 0:
            return None
        shutil.chown(self.folder, "postgres")
        return pwd.getpwnam("postgres").pw_name

    def _run(self, name: str, *arguments: str) -> str:
        binary = find_binary(name)
        assert binary is not None, f"{name} is not installed"
        with tempfile.TemporaryFile() as out:  # a pipe would stay open for as long as the server lives
            done = subprocess.run(
                [binary, *arguments],
                user=self._owner,
                extra_groups=[] if self._owner else None,
                cwd=self.folder,
                stdout=out,
                stderr=subprocess.STDOUT,
                check=False,
            )
            out.seek(0)
            text = out.read().decode(errors="replace")
        assert done.returncode == 0, f"{name} failed: {text}"
        return text.strip()


def migrate_aside(database: Path | str) -> None:
    """Bring a database to this version's schema, from a thread: the caller's may have a loop that runs."""
    from agent.server.store.migrate import migrate

    thread = threading.Thread(target=lambda: asyncio.run(migrate(database)))
    thread.start()
    thread.join()


def run_statement(url: str, statement: str, *values: object) -> list[tuple[Any, ...]]:
    """The rows of a statement on the database at `url`; each `?` in it is one of `values`."""
    import asyncpg

    numbers = count(1)
    numbered = re.sub(r"\?", lambda _: f"${next(numbers)}", statement)

    async def run() -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(url)
        try:
            return [tuple(row) for row in await connection.fetch(numbered, *values)]
        finally:
            await connection.close()

    return asyncio.run(run())


@contextmanager
def run_cluster(settings: str = "") -> Iterator[Cluster]:
    """A cluster, stopped and removed at the end; `settings` are NAME=VALUE, with spaces between them."""
    if find_binary("initdb") is None:
        message = "PostgreSQL is not installed: apt-get install postgresql"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    folder = Path(tempfile.mkdtemp(prefix="pg-"))  # short: a socket's path has little room
    try:
        cluster = Cluster(folder, settings)
        try:
            yield cluster
        finally:
            cluster.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
