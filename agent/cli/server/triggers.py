"""`agent server repository|delivery|webhook`: what starts flows by themselves, over the server's API."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from agent.cli.arguments import (
    CommandParser,
    add_command,
    add_format,
    add_project,
    add_server,
    add_subcommands,
    describe,
    read_number,
)
from agent.cli.client import Client, connect
from agent.cli.terminal.tables import plain, print_json, print_table
from agent.cli.terminal.times import show_moment
from agent.errors import NotFoundError

Handler = Callable[[argparse.Namespace], int]


def configure(nouns: Any) -> None:
    """Declare the nouns."""
    _configure_repository(
        _add_noun(nouns, "repository", "Repositories whose pushes and requests start flows.")
    )
    _configure_delivery(_add_noun(nouns, "delivery", "What arrived, and what became of it."))
    _configure_webhook(_add_noun(nouns, "webhook", "Webhooks by name, each of which starts a flow."))


def _add_noun(nouns: Any, name: str, meaning: str) -> Any:
    parser: CommandParser = nouns.add_parser(name, help=meaning[0].lower() + meaning[1:-1])
    describe(parser, meaning, f"agent server {name} list")
    return add_subcommands(parser)


def _add(commands: Any, name: str, handler: Handler, meaning: str, example: str) -> CommandParser:
    parser = add_command(commands, name, handler, meaning, example)
    add_format(parser)
    add_server(parser)
    add_project(parser)
    return parser


def _configure_repository(commands: Any) -> None:
    add = _add(
        commands,
        "add",
        _add_repository,
        "Connect a repository; prints its webhook's URL and secret, once.",
        "agent server repository add https://github.com/acme/lab --token-file token.txt",
    )
    add.add_argument("repository", metavar="URL")
    add.add_argument("--name", help="what it is called here (default: OWNER/NAME of the URL)")
    add.add_argument("--provider", choices=["github", "gitea", "gitlab", "git"], help="gitea is Forgejo too")
    add.add_argument("--branch", help="the default branch (default: the repository says)")
    add.add_argument("--folder", action="append", metavar="DIR", help="where flows are, instead of the usual")
    add.add_argument(
        "--forks", choices=["approve", "run", "never"], help="requests from forks (default: approve)"
    )
    add.add_argument("--api-url", metavar="URL", help="the host's API, where it can't be told from the URL")
    add.add_argument(
        "--token-file",
        type=Path,
        metavar="F",
        help="TOKEN or USER:TOKEN, for git and commit statuses; - is standard input",
    )
    add.add_argument("--no-status", action="store_true", help="report no commit statuses")
    _add(commands, "list", _list_repositories, "All repositories.", "agent server repository list")
    for name, handler, meaning in (
        ("sync", _sync_repository, "Fetch, and look at its flows again."),
        ("remove", _remove_repository, "Forget a repository; its runs stay."),
    ):
        parser = _add(commands, name, handler, meaning, f"agent server repository {name} acme/lab")
        parser.add_argument("repository", metavar="NAME")


def _configure_delivery(commands: Any) -> None:
    listing = _add(commands, "list", _list_deliveries, "The newest.", "agent server delivery list")
    listing.add_argument("--status", choices=["waiting", "held", "done", "failed"])
    listing.add_argument("--limit", type=read_number, default=20, help="how many (default: 20)")
    for name, handler, meaning in (
        ("show", _show_delivery, "What became of each flow."),
        ("approve", _approve_delivery, "Let what a fork's request wants to run go on."),
        ("repeat", _repeat_delivery, "Work it off again; nothing starts twice."),
    ):
        parser = _add(commands, name, handler, meaning, f"agent server delivery {name} 12")
        parser.add_argument("delivery", type=read_number, metavar="DELIVERY")


def _configure_webhook(commands: Any) -> None:
    add = _add(
        commands,
        "add",
        _add_webhook,
        "Make a webhook; prints its URL and secret, once.",
        "agent server webhook add nightly --flow retrain",
    )
    add.add_argument("name", metavar="NAME")
    add.add_argument(
        "--flow", required=True, metavar="FLOW", help="a stored flow's name, or any one's number"
    )
    _add(commands, "list", _list_webhooks, "All webhooks.", "agent server webhook list")
    remove = _add(
        commands, "remove", _remove_webhook, "Forget a webhook.", "agent server webhook remove nightly"
    )
    remove.add_argument("name", metavar="NAME")


def _connect(arguments: argparse.Namespace) -> Client:
    return connect(url=arguments.url, token=arguments.token, project=arguments.project)


def _add_repository(arguments: argparse.Namespace) -> int:
    body: dict[str, Any] = {
        "url": arguments.repository,
        "name": arguments.name,
        "provider": arguments.provider,
        "default_branch": arguments.branch,
        "folders": arguments.folder,
        "forks": arguments.forks,
        "api_url": arguments.api_url,
        "reports_status": False if arguments.no_status else None,
    }
    if arguments.token_file is not None:
        from agent.cli.local_files.values import read_value

        is_standard_input = str(arguments.token_file) == "-"
        body["token"] = read_value(None if is_standard_input else arguments.token_file, "the token")
    client = _connect(arguments)
    made = client.post(
        client.in_project("/api/v1/repositories"),
        {name: value for name, value in body.items() if value is not None},
    )
    if arguments.format == "json":
        print_json(made, sys.stdout)
        return 0
    sys.stdout.write(f"{plain(made['name'])} is connected\n")
    if made["webhook"]:
        sys.stdout.write(
            f"  webhook: {made['webhook']}\n  secret:  {made['secret']}  (it is not shown again)\n"
        )
    return _tell_problem(made)


def _list_repositories(arguments: argparse.Namespace) -> int:
    client = _connect(arguments)
    found = client.list_all(client.in_project("/api/v1/repositories"), "repositories")
    if arguments.format == "json":
        print_json(found, sys.stdout)
        return 0
    rows = [
        [
            row["name"],
            row["provider"],
            row["default_branch"],
            row["head"][:12],
            show_moment(row["synced"], sys.stdout),
            row["problem"],
        ]
        for row in found
    ]
    print_table(["repository", "provider", "branch", "commit", "looked at", "problem"], rows, sys.stdout)
    return 0


def _sync_repository(arguments: argparse.Namespace) -> int:
    client = _connect(arguments)
    synced = client.post(f"/api/v1/repositories/{_find(client, arguments.repository)}/sync")
    if arguments.format == "json":
        print_json(synced, sys.stdout)
    else:
        sys.stdout.write(f"{plain(synced['name'])} is at {synced['head'][:12] or 'no commit'}\n")
    return _tell_problem(synced)


def _remove_repository(arguments: argparse.Namespace) -> int:
    client = _connect(arguments)
    client.delete(f"/api/v1/repositories/{_find(client, arguments.repository)}")
    return _done(arguments, {"removed": arguments.repository}, f"{arguments.repository} is forgotten")


def _find(client: Client, name: str) -> str:
    found = client.list_all(client.in_project("/api/v1/repositories"), "repositories")
    for row in found:
        if name in (row["name"], row["id"]):
            return str(row["id"])
    names = ", ".join(row["name"] for row in found)
    raise NotFoundError(f"there is no repository '{name}'", hint=f"there are {names or 'none'}")


def _tell_problem(row: dict[str, Any]) -> int:
    if row["problem"]:
        sys.stderr.write(f"agent: it can't be read: {plain(row['problem'])}\n")
    return 1 if row["problem"] else 0


def _list_deliveries(arguments: argparse.Namespace) -> int:
    client = _connect(arguments)
    path = client.in_project("/api/v1/deliveries")
    found = client.list_all(path, "deliveries", most=arguments.limit, status=arguments.status)
    if arguments.format == "json":
        print_json(found, sys.stdout)
        return 0
    rows = [
        [
            row["id"],
            row["event"],
            row["subject"],
            row["status"],
            row["outcome"],
            show_moment(row["received"], sys.stdout),
        ]
        for row in found
    ]
    print_table(["delivery", "event", "about", "status", "what became of it", "received"], rows, sys.stdout)
    return 0


def _show_delivery(arguments: argparse.Namespace) -> int:
    return _tell_delivery(arguments, _connect(arguments).get(f"/api/v1/deliveries/{arguments.delivery}"))


def _approve_delivery(arguments: argparse.Namespace) -> int:
    path = f"/api/v1/deliveries/{arguments.delivery}/approve"
    return _tell_delivery(arguments, _connect(arguments).post(path))


def _repeat_delivery(arguments: argparse.Namespace) -> int:
    path = f"/api/v1/deliveries/{arguments.delivery}/repeat"
    return _tell_delivery(arguments, _connect(arguments).post(path))


def _tell_delivery(arguments: argparse.Namespace, row: dict[str, Any]) -> int:
    if arguments.format == "json":
        print_json(row, sys.stdout)
        return 0
    said = f"{row['event']} {row['action']} {row['subject']}".strip()
    sys.stdout.write(f"delivery {row['id']}  {plain(said)}  {row['status']}\n{plain(row['outcome'])}\n\n")
    rows = [
        [one["flow"], one["event"], one["run"] or "", "; ".join([one["why"], *one["problems"]])]
        for one in row["results"]
    ]
    if rows:
        print_table(["flow", "event", "run", "why not"], rows, sys.stdout, cuts=False)
    return 0


def _add_webhook(arguments: argparse.Namespace) -> int:
    client = _connect(arguments)
    flow = int(arguments.flow) if arguments.flow.isdecimal() else arguments.flow
    made = client.post(client.in_project("/api/v1/webhooks"), {"name": arguments.name, "flow": flow})
    return _done(arguments, made, f"{made['url']}\nsecret: {made['secret']}  (it is not shown again)")


def _list_webhooks(arguments: argparse.Namespace) -> int:
    client = _connect(arguments)
    found = client.list_all(client.in_project("/api/v1/webhooks"), "webhooks")
    if arguments.format == "json":
        print_json(found, sys.stdout)
        return 0
    rows = [[row["name"], row["flow"], row["url"], show_moment(row["created"], sys.stdout)] for row in found]
    print_table(["webhook", "flow", "url", "created"], rows, sys.stdout)
    return 0


def _remove_webhook(arguments: argparse.Namespace) -> int:
    _connect(arguments).delete(f"/api/v1/webhooks/{quote(arguments.name, safe='')}")
    return _done(arguments, {"removed": arguments.name}, f"webhook {arguments.name} is forgotten")


def _done(arguments: argparse.Namespace, facts: Any, words: str) -> int:
    if arguments.format == "json":
        print_json(facts, sys.stdout)
    else:
        sys.stdout.write(f"{words}\n")
    return 0
