"""The data folder: what a server keeps on disk, and the lock that lets only one server have it.

DATA/ (0700)   flow.db  blobs/  journals/  master.key  signing.key  server.json  lock  address (while it runs)
"""

import base64
import fcntl
import json
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from agent.errors import AgentError, DamagedError
from agent.ids import ENTROPY_BYTES, make_id
from agent.seal.envelope import MasterKey
from agent.seal.files import make_private_folder, read_private_file, write_private_file


@dataclass(frozen=True, slots=True)
class DataFolder:
    """An opened data folder."""

    root: Path
    server_id: str
    master_key: MasterKey = field(repr=False)
    signing_key: bytes = field(repr=False)  # runtime tokens and signed URLs hang on it
    database_url: str = field(default="", repr=False)  # empty: the file flow.db

    @property
    def database(self) -> Path | str:
        """The SQLite file, or PostgreSQL's URL."""
        return self.database_url or self.root / "flow.db"

    @property
    def blobs(self) -> Path:
        """Artifacts and snapshots."""
        return self.root / "blobs"

    @property
    def journals(self) -> Path:
        """A file for each (job, lease)."""
        return self.root / "journals"

    @property
    def code(self) -> Path:
        """Repositories of runs, as git reads them: a cache."""
        return self.root / "code"

    @property
    def wheelhouse(self) -> Path:
        """Wheels for agents on machines without a package index; the operator's to make."""
        return self.root / "wheelhouse"

    @property
    def address(self) -> Path:
        """Holds the URL that the running server listens on."""
        return self.root / "address"

    def read_address(self) -> str:
        """The URL that the running server listens on; empty when none runs."""
        try:
            return self.address.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return ""


def open_data_folder(root: Path, master_key: str = "", database_url: str = "") -> DataFolder:
    """The folder at `root`, made with its keys when it is new.

    `master_key` is the text of a key from elsewhere; empty: the file `master.key`. Raises RefusedError when others
    can look into the folder, UsageError for a bad key.
    """
    make_folders(root)
    if not database_url:
        touch_database(root)
    file = root / "master.key"
    master = MasterKey.from_text(master_key) if master_key else MasterKey.load_or_create(file)
    server_id, signing_key = _server_id(root / "server.json"), _signing_key(root / "signing.key")
    return DataFolder(root, server_id, master, signing_key, database_url)


def make_folders(root: Path) -> None:
    """The folder and those in it. Raises RefusedError when others can look into it."""
    make_private_folder(root)
    for name in ("blobs", "journals"):
        make_private_folder(root / name)


def touch_database(root: Path) -> None:
    """The file of an embedded server's database, for its eyes only: SQLite gives its other files the mode of the first."""
    (root / "flow.db").touch(mode=0o600)


def lock_data_folder(root: Path) -> int:
    """Take the folder for this process; the descriptor holds it until it is closed or the process ends.

    Raises AgentError when another server has it.
    """
    make_private_folder(root)
    descriptor = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise AgentError(
            "another server is running on this data folder",
            where=str(root),
            hint="stop it first, or start this one with another --data",
        ) from None
    return descriptor


def write_server_id(file: Path, server: str) -> None:
    """Say in a new file which server this is."""
    text = json.dumps({"version": 1, "server": server})
    write_private_file(file, text.encode() + b"\n", replace=False)


def _server_id(file: Path) -> str:
    if not file.exists():
        write_server_id(file, make_id("server", secrets.token_bytes(ENTROPY_BYTES)))
    try:
        server = json.loads(file.read_text(encoding="utf-8"))["server"]
    except (ValueError, KeyError, TypeError):
        raise DamagedError(
            "the server's identity can't be read", where=str(file), hint="restore a backup"
        ) from None
    return str(server)


def _signing_key(file: Path) -> bytes:
    if not file.exists():
        write_private_file(file, base64.b64encode(secrets.token_bytes(32)) + b"\n", replace=False)
    return base64.b64decode(read_private_file(file, forbidden=0o077, advice="0600"))
