"""The policy file of a machine's owner, as a table: `agent.resolve.policy` reads its `[actions]`, `agent.containers.policy_file` the
tables on images and containers; `[attach]`, `[apps]` and `[environment]` are read here. docs/policy.md shows it.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.errors import UsageError

TABLES = ("actions", "images", "containers", "attach", "apps", "environment")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_IDLE_MINUTES = 60.0
_MOST_MINUTES = 7 * 24 * 60


@dataclass(frozen=True, slots=True)
class Rules:
    """All that a policy file says, as it was read when the agent started: a job can't change it any more. Shown as the file."""

    tables: Mapping[str, Mapping[str, Any]]
    file: str

    def __str__(self) -> str:
        return self.file


@dataclass(frozen=True, slots=True)
class AttachPolicy:
    """Whether people may attach to jobs on this machine, and after how long without a word they are let go."""

    allow: bool = True
    idle_minutes: float = _IDLE_MINUTES


@dataclass(frozen=True, slots=True)
class AppsPolicy:
    """Whether people may use, through the server, the apps that jobs open on this machine."""

    allow: bool = True


def read_policy_file(
    file: Path | Rules | None, *, must_exist: bool = False
) -> Mapping[str, Mapping[str, Any]] | None:
    """The tables of the policy in `file`, or those that were read before; None without a file, unless it `must_exist`.

    Raises UsageError when it can't be read or has a table that nobody knows: a rule must not be lost to a typo.
    """
    if file is None:
        return None
    if isinstance(file, Rules):
        return file.tables
    import tomllib

    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        if must_exist:
            raise UsageError(
                "there is no policy file", where=str(file), hint="AGENT_POLICY names it"
            ) from None
        return None
    except OSError as error:
        raise UsageError(f"the policy file can't be read: {error.strerror}", where=str(file)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"the policy file is not valid TOML: {error}", where=str(file)) from None
    expect_keys(data, TABLES, str(file))
    for name, table in data.items():
        if not isinstance(table, dict):
            raise UsageError("a table was expected", where=f"{file}: {name}")
    return data


def load_attach_policy(file: Path | Rules | None, *, must_exist: bool = False) -> AttachPolicy:
    """What `file` says about attaching; without a file everybody whom the server lets may. Raises UsageError."""
    data = read_policy_file(file, must_exist=must_exist)
    if data is None:
        return AttachPolicy()
    table, where = data.get("attach", {}), f"{file}: attach"
    expect_keys(table, ("allow", "idle_minutes"), where)
    minutes = table.get("idle_minutes", _IDLE_MINUTES)
    if isinstance(minutes, bool) or not isinstance(minutes, int | float) or not 0 < minutes <= _MOST_MINUTES:
        raise UsageError(
            "minutes were expected",
            where=f"{where}.idle_minutes",
            hint=f"more than 0, at most {_MOST_MINUTES}",
        )
    return AttachPolicy(read_flag(table, "allow", where, default=True), float(minutes))


def load_apps_policy(file: Path | Rules | None, *, must_exist: bool = False) -> AppsPolicy:
    """What `file` says about apps of jobs; without a file everybody whom the server lets may use them. Raises UsageError."""
    table = (read_policy_file(file, must_exist=must_exist) or {}).get("apps", {})
    where = f"{file}: apps"
    expect_keys(table, ("allow",), where)
    return AppsPolicy(read_flag(table, "allow", where, default=True))


def load_environment(file: Path | Rules | None, *, must_exist: bool = False) -> dict[str, str]:
    """The variables that the owner gives to all jobs: where caches lie that they are to share. Raises UsageError."""
    data = read_policy_file(file, must_exist=must_exist)
    table, where = (data or {}).get("environment", {}), f"{file}: environment"
    for name, value in table.items():
        if _NAME.fullmatch(name) is None or name.startswith(("GITHUB_", "RUNNER_", "ACTIONS_", "INPUT_")):
            raise UsageError(
                f"{name!a} can't be given to jobs", where=where, hint="as HF_HOME or UV_CACHE_DIR"
            )
        if not isinstance(value, str) or "\0" in value:
            raise UsageError("a text was expected", where=f"{where}.{name}", hint='as HF_HOME = "/data/hf"')
    return dict(table)


def expect_keys(table: Mapping[str, object], known: Iterable[str], where: str) -> None:
    """Raises UsageError for a key that is not known."""
    for key in table:
        if key not in known:
            raise UsageError(
                f"unknown key {key!a}", where=where, hint=f"known are {', '.join(sorted(known))}"
            )


def read_texts(table: Mapping[str, object], key: str, where: str, example: str) -> tuple[str, ...] | None:
    """The list of texts under `key`; None where it is absent. Raises UsageError."""
    if key not in table:
        return None
    value = table[key]
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise UsageError("a list of texts was expected", where=f"{where}.{key}", hint=f"as {example}")
    return tuple(value)


def read_flag(table: Mapping[str, object], key: str, where: str, *, default: bool) -> bool:
    """The true or false under `key`. Raises UsageError."""
    value = table.get(key, default)
    if not isinstance(value, bool):
        raise UsageError("write true or false", where=f"{where}.{key}")
    return value
