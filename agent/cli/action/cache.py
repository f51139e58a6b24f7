"""`agent action cache`: the store of fetched actions on this machine."""

from typing import Any, TextIO

from agent.cli.terminal.progress import size_text
from agent.cli.terminal.tables import print_json, print_table
from agent.cli.terminal.times import show_moment
from agent.config import load_settings, read_size
from agent.resolve import ActionStore
from agent.resolve.store import StoredCommit


def run_cache(what: str, to: str | None, work_folder: str | None, output_format: str, out: TextIO) -> int:
    """`list`, `prune` or `size`. Raises UsageError for a `to` that is not a size."""
    settings = load_settings({"work_dir": work_folder})
    store = ActionStore(settings.work_folder / "_actions")
    limit = settings.actions_limit_bytes if to is None else read_size(to, "--to")
    if what == "prune":
        return _prune(store, limit, output_format, out)
    if what == "size":
        return _showsize_text(store, limit, output_format, out)
    return _list(store, output_format, out)


def _list(store: ActionStore, output_format: str, out: TextIO) -> int:
    entries = store.list_commits()[::-1]
    if output_format == "json":
        print_json([_describe(entry) for entry in entries], out)
        return 0
    rows = [
        [entry.url, entry.commit[:12], size_text(entry.size_bytes), show_moment(entry.used, out)]
        for entry in entries
    ]
    print_table(["repository", "commit", "size", "last used"], rows, out)
    return 0


def _prune(store: ActionStore, limit: int, output_format: str, out: TextIO) -> int:
    gone = store.prune(limit)
    freed = sum(entry.size_bytes for entry in gone)
    if output_format == "json":
        print_json({"removed": [_describe(entry) for entry in gone], "freed_bytes": freed}, out)
    else:
        what = "1 commit" if len(gone) == 1 else f"{len(gone)} commits"
        out.write(f"{what} removed, {size_text(freed)} freed, {size_text(store.used_bytes)} left\n")
    return 0


def _showsize_text(store: ActionStore, limit: int, output_format: str, out: TextIO) -> int:
    used = store.used_bytes
    if output_format == "json":
        print_json({"used_bytes": used, "limit_bytes": limit, "folder": str(store.root)}, out)
    else:
        out.write(f"{size_text(used)} of {size_text(limit)} in {store.root}\n")
    return 0


def _describe(entry: StoredCommit) -> dict[str, Any]:
    return {
        "repository": entry.url,
        "commit": entry.commit,
        "size_bytes": entry.size_bytes,
        "used": entry.used,
    }
