"""`agent flow deploy|undeploy|deployments`: flows of stages that the server keeps alive."""

import argparse
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

from agent.cli.flow.stored import add_remote, connect_remote
from agent.errors import UsageError

_MOST_REPLICAS = 100


def configure(commands: Any) -> None:
    """Declare the sub-commands among those of `agent flow`."""
    deploy = add_remote(
        commands,
        "deploy",
        _deploy,
        "Keep a flow of stages alive on the server's agents; again: replace it by another text of it.",
        "agent flow deploy relay.yaml",
        "agent flow deploy relay.yaml --replicas 2 --labels edge",
    )
    deploy.add_argument("file", type=Path, metavar="FILE")
    deploy.add_argument("--name", default="", help="what the deployment is called (default: the flow's name)")
    deploy.add_argument("--dialect", help="read as this language instead of finding out")
    deploy.add_argument("--replicas", type=int, default=1, metavar="N", help="so many runs (default: 1)")
    deploy.add_argument(
        "--labels", default="", metavar="L,…", help="only on agents that have all of these labels"
    )
    deploy.add_argument(
        "--source",
        choices=["git", "snapshot", "none"],
        help="the code that goes along (default: snapshot in git)",
    )
    deploy.add_argument(
        "--exclude", action="append", default=[], metavar="NAME", help="leave this out of the snapshot"
    )
    deploy.add_argument(
        "--yes", action="store_true", help="send a large snapshot (AGENT_SNAPSHOT_LIMIT) unasked"
    )
    undeploy = add_remote(
        commands,
        "undeploy",
        _undeploy,
        "Let a deployment end: what is on its way comes to its end.",
        "agent flow undeploy 'Relay big orders'",
    )
    undeploy.add_argument("name", metavar="NAME")
    add_remote(
        commands,
        "deployments",
        _list,
        "The flows that are kept alive, and how their runs stand.",
        "agent flow deployments",
    )


def _deploy(arguments: argparse.Namespace) -> int:
    from agent.cli.flow.snapshot import read_care
    from agent.cli.flow.submit import SubmitOptions, read_parcel, send_parcel
    from agent.cli.terminal.tables import plain, print_json

    options = SubmitOptions(
        file=arguments.file,
        dialect=arguments.dialect,
        source=arguments.source,
        care=read_care(arguments.exclude, shows=arguments.format == "text", is_sure=arguments.yes),
    )
    if not 1 <= arguments.replicas <= _MOST_REPLICAS:
        raise UsageError(
            f"a deployment has 1 to {_MOST_REPLICAS} replicas",
            where=f"--replicas {arguments.replicas}",
            hint="`agent flow undeploy` lets it end",
        )
    parcel = read_parcel(options)
    client = connect_remote(arguments)
    body = {
        **send_parcel(client, options, parcel),
        "name": arguments.name,
        "replicas": arguments.replicas,
        "labels": [label.strip() for label in arguments.labels.split(",") if label.strip()],
    }
    done, is_new = client.post_new(client.in_project("/api/v1/deployments"), body)
    for warning in done["warnings"]:
        sys.stderr.write(f"warning: {plain(warning)}\n")
    if arguments.format == "json":
        print_json(done["deployment"], sys.stdout)
        return 0
    deployed = done["deployment"]
    word = "is deployed" if is_new else f"is deployed, generation {deployed['generation']}"
    sys.stdout.write(f"{plain(deployed['name'])} {word}; `agent flow deployments` shows how it stands\n")
    project = quote(arguments.project or client.project or "default", safe="")
    for path in deployed["paths"]:
        sys.stdout.write(f"  receives at {client.url}/streams/{project}{plain(path)}\n")
    return 0


def _undeploy(arguments: argparse.Namespace) -> int:
    from agent.cli.terminal.tables import plain, print_json

    client = connect_remote(arguments)
    path = client.in_project(f"/api/v1/deployments/{quote(arguments.name, safe='')}")
    waiting = sum(queue["records"] for queue in client.get(path)["queues"])
    client.delete(path)
    if arguments.format == "json":
        print_json({"undeployed": arguments.name, "records_waiting": waiting}, sys.stdout)
        return 0
    kept = f"; {waiting} records wait in its queue, for when it is deployed again" if waiting else ""
    sys.stdout.write(f"{plain(arguments.name)} receives nothing more, and its runs drain{kept}\n")
    return 0


def _list(arguments: argparse.Namespace) -> int:
    from agent.cli.terminal.tables import print_json, print_table

    client = connect_remote(arguments)
    found = client.list_all(client.in_project("/api/v1/deployments"), "deployments")
    if arguments.format == "json":
        print_json(found, sys.stdout)
        return 0
    rows = [
        [
            row["name"] if place is row["places"][0] else "",
            f"{place['number'] + 1}/{row['replicas']}" if row["replicas"] else "–",
            place["state"],
            place["run"] or "",
            place["generation"] or "",
            sum(queue["records"] for queue in row["queues"]) if place is row["places"][0] else "",
            ", ".join(row["paths"]) if place is row["places"][0] else "",
            place["message"],
        ]
        for row in found
        for place in row["places"]
    ]
    print_table(
        ["deployment", "replica", "state", "run", "generation", "queued", "receives at", "note"],
        rows,
        sys.stdout,
    )
    return 0
