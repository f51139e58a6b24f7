"""`agent server user|project|audit`: who may do what, and who did."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from agent.cli.arguments import (
    add_command,
    add_server,
    add_subcommands,
    describe,
    read_duration,
    read_number,
    split_pair,
)
from agent.cli.client import connect
from agent.cli.local_files.values import read_value
from agent.cli.server.account_backends import AccountBackend, HttpAccounts, LocalAccounts
from agent.cli.terminal.tables import print_json, print_table
from agent.cli.terminal.times import show_moment, utc_text
from agent.config import load_settings
from agent.errors import UsageError

_ROLES = ("viewer", "runner", "maintainer", "admin", "none")
Place = Callable[[argparse.Namespace], Path | str]


def configure(nouns: Any, add_data: Callable[[argparse.ArgumentParser], None], find_place: Place) -> None:
    """Declare the nouns among those of `agent server`; `find_place` says where the server's rows are."""
    commands = [*_configure_user(nouns), *_configure_project(nouns), _configure_audit(nouns)]
    for command in commands:
        add_data(command)
        add_server(command)
        command.set_defaults(find_place=find_place)


def _configure_user(nouns: Any) -> list[argparse.ArgumentParser]:
    user = nouns.add_parser("user", help="users, their roles and their tokens")
    describe(
        user, "Users, their roles and their tokens.", "agent server user set-role ada runner --project vision"
    )
    commands = add_subcommands(user)
    create = _named(
        commands, "create", _create_user, "Make a user.", "agent server user create ada --password"
    )
    create.add_argument(
        "--admin", action="store_true", help="an admin of the organisation: everything, everywhere"
    )
    create.add_argument("--service", action="store_true", help="a program: tokens, no password")
    _add_password(create)
    listing = add_command(commands, "list", _list_users, "All users.", "agent server user list --admins")
    listing.add_argument("--admins", action="store_true", help="only admins of the organisation")
    disable = _named(
        commands, "disable", _disable, "Lock a user out; ends all tokens.", "agent server user disable ada"
    )
    enable = _named(commands, "enable", _enable, "Let a user in again.", "agent server user enable ada")
    password = _named(
        commands,
        "password",
        _set_password,
        "Set a password.",
        "agent server user password ada < password.txt",
    )
    password.add_argument("--file", dest="password_file", type=Path, metavar="F", help="take it from F")
    role = _named(
        commands,
        "set-role",
        _set_role,
        "Give a role in a project.",
        "agent server user set-role ada runner --project vision",
        "agent server user set-role ada admin --organisation",
    )
    role.add_argument("role", choices=_ROLES, metavar="ROLE", help=", ".join(_ROLES))
    role.add_argument("--project", help="where (AGENT_PROJECT; default: default)")
    role.add_argument(
        "--organisation", action="store_true", help="with admin or none: of the whole organisation"
    )
    token = _named(
        commands,
        "token",
        _create_token,
        "Make a token for the API.",
        "agent server user token robot --role runner",
    )
    token.add_argument("--name", dest="token_name", default="", help="what it is for")
    token.add_argument("--expires", default="90d", metavar="T", help="30d, 12h, or never (default: 90d)")
    token.add_argument("--role", choices=_ROLES[:-1], help="at most this role")
    token.add_argument("--project", help="in this project only")
    return [create, listing, disable, enable, password, role, token]


def _configure_project(nouns: Any) -> list[argparse.ArgumentParser]:
    project = nouns.add_parser("project", help="projects: what runs, secrets and rights belong to")
    describe(
        project, "Projects: what runs, secrets and rights belong to.", "agent server project create vision"
    )
    commands = add_subcommands(project)
    create = _named(
        commands, "create", _create_project, "Make a project.", "agent server project create vision weight=2"
    )
    _add_settings(create)
    listing = add_command(commands, "list", _list_projects, "All projects.", "agent server project list")
    setting = _named(
        commands, "set", _change_project, "Set a project up.", "agent server project set vision max_gpus=8"
    )
    _add_settings(setting)
    archive = _named(
        commands, "archive", _archive, "Let nothing new happen in it.", "agent server project archive vision"
    )
    opening = _named(commands, "open", _open, "Undo archive.", "agent server project open vision")
    return [create, listing, setting, archive, opening]


def _configure_audit(nouns: Any) -> argparse.ArgumentParser:
    audit = add_command(
        nouns,
        "audit",
        _list_audit,
        "Who did what, newest first.",
        "agent server audit --actor ada --since 2026-11-01T00:00:00Z",
    )
    for option, meaning in (
        ("--actor", "a user's name"),
        ("--action", "such as 'PUT /api/v1/secrets/{name}'"),
        ("--project", "in this project"),
        ("--outcome", "done, refused or failed"),
        ("--since", "from this time on (RFC 3339)"),
    ):
        audit.add_argument(option, help=meaning)
    audit.add_argument("--limit", type=read_number, default=50, help="how many (default: 50)")
    return audit


def _named(commands: Any, name: str, handler: Any, meaning: str, *examples: str) -> argparse.ArgumentParser:
    command = add_command(commands, name, handler, meaning, *examples)
    command.add_argument("name", metavar="NAME")
    return command


def _add_password(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--password", action="store_true", help="with a password, from standard input")
    parser.add_argument("--password-file", type=Path, metavar="F", help="with the password in F")


def _add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "settings", nargs="*", metavar="KEY=VALUE", help="docs/accounts.md lists them; KEY=none is no limit"
    )


def _backend(arguments: argparse.Namespace) -> AccountBackend:
    """Over HTTP when a URL is said; else in the database, where there is one; else over HTTP as logged in."""
    place: Path | str = arguments.find_place(arguments)
    is_here = isinstance(place, str) or (place / "flow.db").exists() or hasattr(arguments, "data")
    if arguments.url is None and (is_here or not load_settings()["url"]):
        return LocalAccounts(place)
    return HttpAccounts(connect(url=arguments.url, token=arguments.token))


def _create_user(arguments: argparse.Namespace) -> int:
    password = None
    if arguments.password or arguments.password_file:
        password = read_value(arguments.password_file, "password")
    kind = "service" if arguments.service else "person"
    made = _backend(arguments).create_user(arguments.name, kind, admin=arguments.admin, password=password)
    return _say(arguments, made, f"user {made['name']} is made")


def _list_users(arguments: argparse.Namespace) -> int:
    shown = [user for user in _backend(arguments).list_users() if user["admin"] or not arguments.admins]
    rows = [
        [
            user["name"],
            user["kind"],
            "admin" if user["admin"] else "",
            user["signs_in_by"],
            show_moment(user["disabled"], sys.stdout),
        ]
        for user in shown
    ]
    return _table(arguments, shown, ["name", "kind", "organisation", "signs in by", "disabled"], rows)


def _disable(arguments: argparse.Namespace) -> int:
    changed = _backend(arguments).change_user(arguments.name, disabled=True)
    return _say(arguments, changed, f"user {changed['name']} is disabled; their tokens are ended")


def _enable(arguments: argparse.Namespace) -> int:
    changed = _backend(arguments).change_user(arguments.name, disabled=False)
    return _say(arguments, changed, f"user {changed['name']} is enabled")


def _set_password(arguments: argparse.Namespace) -> int:
    password = read_value(arguments.password_file, "password")
    changed = _backend(arguments).change_user(arguments.name, password=password)
    return _say(arguments, changed, f"the password of {changed['name']} is set")


def _set_role(arguments: argparse.Namespace) -> int:
    backend, role = _backend(arguments), arguments.role
    if arguments.organisation:
        if role not in ("admin", "none"):
            raise UsageError("of the organisation one is admin or nothing", where="--organisation")
        changed = backend.change_user(arguments.name, admin=role == "admin")
        return _say(arguments, changed, f"{arguments.name}: {role} of the organisation")
    project = load_settings({"project": arguments.project})["project"] or "default"
    backend.set_role(arguments.name, project, None if role == "none" else role)
    answer = {"name": arguments.name, "project": project, "role": role}
    return _say(arguments, answer, f"{arguments.name}: {role} in {project}")


def _create_token(arguments: argparse.Namespace) -> int:
    made = _backend(arguments).create_token(
        arguments.name,
        token_name=arguments.token_name,
        expires_seconds=read_duration(arguments.expires, "--expires"),
        role=arguments.role,
        project=arguments.project,
    )
    return _say(arguments, made, made["token"])


def _create_project(arguments: argparse.Namespace) -> int:
    made = _backend(arguments).create_project(arguments.name, _read_settings(arguments.settings))
    return _say(arguments, made, f"project {made['name']} is made")


def _list_projects(arguments: argparse.Namespace) -> int:
    shown = _backend(arguments).list_projects()
    rows = [
        [
            entry["name"],
            entry["settings"]["weight"],
            entry["settings"]["description"],
            show_moment(entry["archived"], sys.stdout),
        ]
        for entry in shown
    ]
    return _table(arguments, shown, ["name", "weight", "description", "archived"], rows)


def _change_project(arguments: argparse.Namespace) -> int:
    settings = _read_settings(arguments.settings)
    if not settings:
        raise UsageError("nothing is to be set", where="KEY=VALUE", hint="such as weight=2")
    changed = _backend(arguments).change_project(arguments.name, settings, archived=None)
    return _say(arguments, changed, f"project {changed['name']} is set up")


def _archive(arguments: argparse.Namespace) -> int:
    changed = _backend(arguments).change_project(arguments.name, {}, archived=True)
    return _say(arguments, changed, f"project {changed['name']} is archived")


def _open(arguments: argparse.Namespace) -> int:
    changed = _backend(arguments).change_project(arguments.name, {}, archived=False)
    return _say(arguments, changed, f"project {changed['name']} is open")


def _list_audit(arguments: argparse.Namespace) -> int:
    names = ("actor", "action", "project", "outcome", "since", "limit")
    given = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    shown = _backend(arguments).list_audit(**given)
    rows = [
        [utc_text(row["time"]), row["actor"], row["outcome"], row["action"], row["target"], row["address"]]
        for row in shown
    ]
    return _table(arguments, shown, ["time", "who", "outcome", "action", "on", "from"], rows)


def _read_settings(pairs: Sequence[str]) -> dict[str, Any]:
    """Settings as JSON: numbers as numbers, `none` as no limit, everything else as text."""
    return {key: _value(text) for key, text in (split_pair(pair, "KEY=VALUE") for pair in pairs)}


def _value(text: str) -> str | int | float | None:
    if text == "none":
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _say(arguments: argparse.Namespace, data: Any, text: str) -> int:
    if arguments.format == "json":
        print_json(data, sys.stdout)
    else:
        sys.stdout.write(f"{text}\n")
    return 0


def _table(arguments: argparse.Namespace, data: Any, titles: list[str], rows: list[list[Any]]) -> int:
    if arguments.format == "json":
        print_json(data, sys.stdout)
    else:
        print_table(titles, rows, sys.stdout)
    return 0
