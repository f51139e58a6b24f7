"""`agent run apps`, `open`, `forward`: the ports that a run's jobs open for people."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agent.cli.arguments import add_command, read_number
from agent.cli.client import Client, connect
from agent.cli.terminal.tables import plain, print_json, print_table
from agent.errors import AgentError, NotFoundError, UsageError

App = Mapping[str, Any]


def add_apps(commands: Any, add_common: Callable[[argparse.ArgumentParser], None]) -> None:
    """Declare the sub-commands."""
    listing = add_command(
        commands, "apps", _list, "The ports that a run's jobs open for people.", "agent run apps 12"
    )
    listing.add_argument("run", type=read_number, metavar="RUN")
    add_common(listing)
    opening = _add(
        commands, add_common, "open", _open, "A link into an app, for a browser: good once, for a minute."
    )
    opening.add_argument("--browser", action="store_true", help="open it, instead of printing it")
    forward = _add(
        commands,
        add_common,
        "forward",
        _forward,
        "A port of this machine that leads to an app, until ctrl-C.",
    )
    forward.add_argument(
        "--port", type=read_number, metavar="N", help="the local port (default: the app's, or a free one)"
    )


def _add(
    commands: Any,
    add_common: Callable[[argparse.ArgumentParser], None],
    name: str,
    handler: Callable[[argparse.Namespace], int],
    meaning: str,
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = add_command(
        commands, name, handler, meaning, f"agent run {name} 12 notebook"
    )
    parser.add_argument("run", type=read_number, metavar="RUN")
    parser.add_argument(
        "app", nargs="?", metavar="APP", help="its name, or JOB/NAME; not needed where there is one"
    )
    add_common(parser)
    return parser


def list_apps(run: Mapping[str, Any]) -> list[App]:
    """The apps of a run's jobs, each with its `job` and `job_id`."""
    return [
        {**app, "job": job["key"], "job_id": job["id"]}
        for job in run["jobs"]
        for app in job.get("apps") or ()
    ]


def show_apps(apps: Sequence[App], out: Any) -> None:
    """A table of them, for people."""
    rows = [[app["name"], app["job"], app["state"], str(app["port"] or ""), app["message"]] for app in apps]
    print_table(["app", "job", "state", "port", "why"], rows, out, cuts=False)


def choose_app(run: Mapping[str, Any], wanted: str | None) -> App:
    """The app that is meant. Raises NotFoundError, UsageError, AgentError when there is none to use."""
    apps = list_apps(run)
    where = f"run {run['id']}"
    if not apps:
        raise NotFoundError("the run's jobs open no apps", where=where, hint="see docs/apps.md")
    names = ", ".join(f"{app['job']}/{app['name']}" for app in apps)
    found = [app for app in apps if wanted in (None, app["name"], f"{app['job']}/{app['name']}")]
    if not found:
        raise NotFoundError(f"the run has no app '{wanted}'", where=where, hint=f"it has {names}")
    left = [app for app in found if app["state"] != "gone"] or found[:1]
    if len(left) > 1:
        raise UsageError("several apps are there", where=where, hint=f"name one of {names}")
    if left[0]["state"] == "gone":
        raise AgentError(f"the app {left[0]['job']}/{left[0]['name']} is gone", where=where)
    return left[0]


def _list(arguments: argparse.Namespace) -> int:
    client = connect(url=arguments.url, token=arguments.token)
    apps = list_apps(client.get(f"/api/v1/runs/{arguments.run}"))
    if arguments.format == "json":
        print_json({"apps": [{**app, "url": client.url + app["path"]} for app in apps]}, sys.stdout)
    elif apps:
        show_apps(apps, sys.stdout)
        sys.stdout.write(
            f"\n`agent run open {arguments.run} APP` gives a link, `agent run forward` a local port\n"
        )
    else:
        sys.stdout.write("the run's jobs open no apps\n")
    return 0


def _open(arguments: argparse.Namespace) -> int:
    from urllib.parse import quote

    client = connect(url=arguments.url, token=arguments.token)
    app = _find(client, arguments)
    link = client.post(f"/api/v1/jobs/{app['job_id']}/apps/{quote(app['name'], safe='')}/link")
    if arguments.format == "json":
        print_json(link, sys.stdout)
    else:
        sys.stdout.write(f"{plain(link['url'])}\n")
    if arguments.browser:
        import webbrowser

        if not webbrowser.open(link["url"]):
            raise AgentError("no browser could be opened here", hint="open the link above within a minute")
    return 0


def _forward(arguments: argparse.Namespace) -> int:
    from agent.cli.run.forward import forward

    client = connect(url=arguments.url, token=arguments.token)
    return forward(client, _find(client, arguments), arguments.port, output_format=arguments.format)


def _find(client: Client, arguments: argparse.Namespace) -> App:
    return choose_app(client.get(f"/api/v1/runs/{arguments.run}"), arguments.app)
