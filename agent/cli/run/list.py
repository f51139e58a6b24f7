"""`agent run list`: the newest runs, each on one line."""

import time
from collections.abc import Mapping
from typing import Any, TextIO
from urllib.parse import quote

from agent.cli.client import Client
from agent.cli.terminal.tables import duration, plain, print_json, print_table
from agent.cli.terminal.times import seconds_of, show_moment
from agent.spec.run_names import name_run

_TITLES = ["run", "name", "flow", "state", "branch", "event", "by", "created", "took", "url"]
_BRANCHES = "refs/heads/"


def list_runs(client: Client, *, status: str | None, limit: int, output_format: str, out: TextIO) -> int:
    """Print up to `limit` runs of the client's project, the newest first. JSON: the API's entries, and more facts to each."""
    found = client.list_all("/api/v1/runs", "runs", most=limit, status=status, project=client.project or None)
    now = time.time()
    runs = [{**run, **facts_of(run, client.url, now)} for run in found]
    if output_format == "json":
        print_json(runs, out)
        return 0
    rows = [
        [
            run["id"],
            name_run(run["id"]),
            _name(run),
            _state(run),
            run["branch"] or _short_ref(run["ref"]),
            _event(run),
            run["actor"],
            show_moment(run["created"], out),
            duration(run["duration_seconds"]),
            run["url"],
        ]
        for run in runs
    ]
    print_table(_TITLES, rows, out, state=3, spare=len(_TITLES) - 1)
    return 0


def facts_of(run: Mapping[str, Any], server: str, now: float) -> dict[str, Any]:
    """What the API's entry of a run does not say in so many words: how long it took, or has taken until `now` (seconds
    since the epoch; null before its start), the ref and the branch of its code (empty for none), and its page.
    """
    ref = str((run.get("source") or {}).get("ref", ""))
    return {
        "duration_seconds": duration_of(run, now),
        "ref": ref,
        "branch": ref.removeprefix(_BRANCHES) if ref.startswith(_BRANCHES) else "",
        "url": page_of(run, server),
    }


def duration_of(run: Mapping[str, Any], now: float) -> float | None:
    """How many seconds the run took, or has taken until `now`; None before its start."""
    started, finished = seconds_of(run["started"]), seconds_of(run["finished"])
    return None if started is None else round(max((now if finished is None else finished) - started, 0.0), 3)


def page_of(run: Mapping[str, Any], server: str) -> str:
    """The run's page for browsers: where the server says that it is, else below the address that we know."""
    return str(run.get("url") or f"{server.rstrip('/')}/status/runs/{quote(str(run['id']), safe='')}")


def _name(run: Mapping[str, Any]) -> str:
    """The flow's name, and the run's own where it has another (`run-name`)."""
    flow, own = str(run["name"]), str(run["run_name"])
    return flow if own in ("", flow) else f"{flow}: {own}"


def _state(run: Mapping[str, Any]) -> str:
    """With the jobs that wait for somebody to look."""
    state = str(run["conclusion"] or run["status"])
    held = run.get("held", ())  # a server before this version does not say
    return state + (f", held: {plain(', '.join(held))}" if held else "")


def _event(run: Mapping[str, Any]) -> str:
    """What started it: an event, or a deployment that is kept alive."""
    deployment = run.get("deployment", "")
    return f"deployment {plain(deployment)}" if deployment else str(run["event"])


def _short_ref(ref: str) -> str:
    return ref.removeprefix("refs/tags/").removeprefix("refs/")
