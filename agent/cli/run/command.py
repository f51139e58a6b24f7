"""`agent run`: the runs on the server."""

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from agent.cli.arguments import (
    add_command,
    add_format,
    add_project,
    add_server,
    add_subcommands,
    describe,
    read_number,
    read_run,
)
from agent.cli.artifact import add_download, read_download
from agent.cli.artifact_download import download_artifacts
from agent.cli.client import Client, connect
from agent.cli.run.apps import add_apps, list_apps, show_apps
from agent.cli.run.follow import follow_job, follow_run, show_job_so_far, write_raw_log
from agent.cli.run.list import facts_of, list_runs, page_of
from agent.cli.run.metrics import add_metrics
from agent.cli.run.stage_rates import show_stages
from agent.cli.run.steering import add_steering
from agent.cli.terminal.output import safe_text
from agent.cli.terminal.progress import size_text
from agent.cli.terminal.screen import JsonScreen, Screen, TextScreen
from agent.cli.terminal.screens import make_screen
from agent.cli.terminal.tables import coloured, duration, plain, print_json, print_table, wants_colour
from agent.cli.terminal.times import show_moment
from agent.errors import NotFoundError, UsageError
from agent.spec.status import RunStatus


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands."""
    describe(parser, "Look at, follow and steer the runs on the server.", "agent run list")
    commands = add_subcommands(parser)
    listing = add_command(commands, "list", _list, "The newest runs.", "agent run list --status running")
    listing.add_argument("--limit", type=read_number, default=20, help="how many (default: 20)")
    listing.add_argument("--status", choices=[str(status) for status in RunStatus])
    add_project(listing)
    _add_common(listing)
    show = _add_run(commands, "show", _show, "A run, its jobs, and why those that wait do so.")
    show.add_argument("--attempt", type=read_number, metavar="N", help="an earlier attempt of it")
    logs = _add_run(commands, "logs", _logs, "The output of a run's jobs.")
    logs.add_argument("-f", "--follow", action="store_true", help="until the run ends")
    logs.add_argument("--job", metavar="KEY", help="only this job")
    logs.add_argument(
        "--raw", action="store_true", help="each byte as it was printed, progress bars and colours too"
    )
    _add_run(commands, "watch", _watch, "Follow a run until it ends; exit 1 when it fails.")
    add_metrics(commands)
    cancel = _add_run(commands, "cancel", _cancel, "End a run; steps that run always() get their turn.")
    cancel.add_argument("--force", action="store_true", help="now, without asking any condition")
    add_steering(commands, _add_common)
    add_apps(commands, _add_common)
    download = _add_run(
        commands, "download", _download, "Download a run's artifacts, each into a folder of its name."
    )
    add_download(download)


def _add_run(commands: Any, name: str, handler: Callable[[argparse.Namespace], int], meaning: str) -> Any:
    parser = add_command(commands, name, handler, meaning, f"agent run {name} 12")
    parser.add_argument("run", type=read_run, metavar="RUN")
    _add_common(parser)
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    add_format(parser)
    add_server(parser)


def _connect(arguments: argparse.Namespace) -> Client:
    return connect(url=arguments.url, token=arguments.token)


def _list(arguments: argparse.Namespace) -> int:
    client = connect(url=arguments.url, token=arguments.token, project=arguments.project)
    return list_runs(
        client,
        status=arguments.status,
        limit=arguments.limit,
        output_format=arguments.format,
        out=sys.stdout,
    )


def _show(arguments: argparse.Namespace) -> int:
    client = _connect(arguments)
    run = client.get(f"/api/v1/runs/{arguments.run}", attempt=arguments.attempt)
    if arguments.format == "json":
        print_json(run, sys.stdout)
        return 0
    out = sys.stdout
    name = coloured(plain(run["run_name"]), "bold", out)
    attempt = f"  attempt {run['attempt']}" if run["attempt"] > 1 else ""
    out.write(f"run {run['id']}  {name}{attempt}  {_state(run)}  {_course(run, client.url)}\n")
    out.write(f"{plain(page_of(run, client.url))}\n\n")
    rows = [[_show_key(job), _state(job), job["agent"] or "", _explain(job)] for job in run["jobs"]]
    print_table(["job", "state", "agent", "why"], rows, out, state=1, cuts=False)
    show_stages(client, arguments.run, out)
    apps = list_apps(run)
    if apps:
        out.write("\n")
        show_apps(apps, out)
    if run["artifacts"]:
        out.write("\n")
        artifacts = [[entry["name"], size_text(entry["size_bytes"])] for entry in run["artifacts"]]
        print_table(["artifact", "size"], artifacts, out)
    for summary in run["summaries"]:
        colours = wants_colour(out)
        text = "".join(f"  {safe_text(line, colours=colours)}\n" for line in summary["text"].splitlines())
        out.write(f"\nSummary of {plain(summary['job'])}\n{text}")
    return 0


def _logs(arguments: argparse.Namespace) -> int:
    client = _connect(arguments)
    if arguments.raw and (arguments.follow or arguments.format == "json"):
        raise UsageError("--raw goes with neither --follow nor --format json")
    if arguments.follow and not arguments.job:
        follow_run(client, arguments.run, _screen(arguments, shows_jobs=True))
        return 0
    run = client.get(f"/api/v1/runs/{arguments.run}")
    jobs = [job for job in run["jobs"] if arguments.job in (None, job["key"], job["id"])]
    if not jobs:
        known = ", ".join(job["key"] for job in run["jobs"])
        raise NotFoundError(
            f"the run has no job '{arguments.job}'", where=f"run {run['id']}", hint=f"it has {known}"
        )
    if not any(job["started"] for job in jobs):
        has_ended = run["status"] == "completed"
        what = "the run ended before a job of it had begun" if has_ended else "nothing has begun yet"
        sys.stderr.write(f"{what}: `agent run show {run['id']}` says why\n")
    for job in jobs:
        if not job["started"]:
            continue
        screen = _screen(arguments, shows_jobs=len(jobs) > 1)
        if arguments.raw:
            write_raw_log(client, job["id"], sys.stdout)
        elif job["conclusion"] or arguments.follow:
            follow_job(client, job["id"], screen)
        else:
            show_job_so_far(client, job["id"], screen)
    return 0


def _watch(arguments: argparse.Namespace) -> int:
    whole = f"agent run logs {arguments.run}"
    screen = make_screen(arguments.format, sys.stdout, shows_jobs=True, whole=whole)
    conclusion = follow_run(_connect(arguments), arguments.run, screen)
    return 0 if conclusion in ("success", "skipped") else 1


def _cancel(arguments: argparse.Namespace) -> int:
    _connect(arguments).post(
        f"/api/v1/runs/{arguments.run}/cancel", {"reason": "cancelled by a person", "force": arguments.force}
    )
    if arguments.format == "json":
        print_json({"run": arguments.run, "cancelled": True}, sys.stdout)
    else:
        sys.stdout.write(f"run {arguments.run} is being cancelled\n")
    return 0


def _download(arguments: argparse.Namespace) -> int:
    return download_artifacts(
        _connect(arguments), arguments.run, read_download(arguments), arguments.format, sys.stdout
    )


def _screen(arguments: argparse.Namespace, *, shows_jobs: bool) -> Screen:
    return (
        JsonScreen(sys.stdout)
        if arguments.format == "json"
        else TextScreen(sys.stdout, shows_jobs=shows_jobs)
    )


def _show_key(job: Mapping[str, Any]) -> str:
    return str(job["key"]) + (f" (attempt {job['attempt']})" if job["attempt"] > 1 else "")


def _explain(job: Mapping[str, Any]) -> str:
    """Why it waits, or how it ended; of one that goes on from a checkpoint also what was lost."""
    resumed = job.get("resumed") or {}
    return "; ".join(filter(None, (job["waiting"] or job["message"], resumed.get("lost"))))


def _state(thing: Mapping[str, Any]) -> str:
    return str(thing["conclusion"] or thing["status"])


def _course(run: Mapping[str, Any], server: str) -> str:
    """Whose it is, of which branch, since when and for how long: `by ada, main, 3 min ago, took 12s`."""
    facts = facts_of(run, server, time.time())
    took = duration(facts["duration_seconds"])
    words = [
        f"by {plain(run['actor'])}" if run["actor"] else "",
        plain(facts["branch"] or facts["ref"]),
        show_moment(run["created"], sys.stdout),
        took and (f"took {took}" if run["finished"] else f"for {took}"),
    ]
    return ", ".join(word for word in words if word)
