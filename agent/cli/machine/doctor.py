"""`agent doctor`: is this machine fit, and where does each setting come from?"""

import argparse
import re
import sys
from collections.abc import Callable, Iterator

from agent.cli.arguments import add_format, describe
from agent.cli.machine.doctor_checks import (
    Finding,
    check_disk,
    check_docker,
    check_gpus,
    check_leftovers,
    check_node,
    check_policy,
    check_run_as,
    check_server,
    check_tool_cache,
    check_tools,
)
from agent.cli.terminal.tables import coloured, print_json, print_table
from agent.config import SETTINGS, Settings, config_file, load_settings
from agent.errors import AgentError
from agent.redaction import redact

CHECKS: dict[str, Callable[[Settings], Iterator[Finding]]] = {
    "tools": check_tools,
    "docker": check_docker,
    "node": check_node,
    "tool cache": check_tool_cache,
    "gpu": check_gpus,
    "disk": check_disk,
    "run as": check_run_as,
    "leftovers": check_leftovers,
    "policy": check_policy,
    "server": check_server,
}
_SECRET_KEYS = ("token", "registration_token", "master_key", "oidc_client_secret")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    describe(parser, "Check this machine and show where each setting comes from.", "agent doctor")
    add_format(parser)
    parser.set_defaults(handler=_doctor)


def examine(settings: Settings) -> Iterator[Finding]:
    """Every check of `CHECKS`, one after the other; a check that breaks is a finding too.

    A tick is given only for what was tried just now, each within a few seconds.
    """
    for name, check in CHECKS.items():
        try:
            yield from check(settings)
        except AgentError as error:
            where = f" ({error.where})" if error.where else ""
            yield Finding(name, "failure", f"{error.what}{where}", error.hint)
        except OSError as error:
            where = f" ({error.filename})" if error.filename else ""
            yield Finding(name, "failure", f"the system says no: {error.strerror or error}{where}")


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
    settings = load_settings()
    rows = [(key, value or _default(settings, key), origin) for key, value, origin in shown]
    print_table(["setting", "value", "from"], rows, sys.stdout, cuts=False)


def _default(settings: Settings, key: str) -> str:
    """What an empty setting means: the place that it stands for, or what its meaning says."""
    places = {
        "state": lambda: settings.state_folder,
        "work_dir": lambda: settings.work_folder,
        "policy": lambda: settings.policy_file,
        "git_config": lambda: settings.git_config,
        "data": lambda: settings.data_folder,
    }
    if key in places:
        try:
            return str(places[key]())
        except AgentError:  # a user without a home has to name it
            return "-"
    (meaning,) = (setting.meaning for setting in SETTINGS if setting.key == key)
    said = re.search(r"\(default: ([^),]+)", meaning)
    return said[1] if said else "-"


def _shown(settings: Settings, key: str) -> tuple[str, str, str]:
    value = "(set)" if key in _SECRET_KEYS and settings[key] else redact(settings[key])
    return key, value, settings.origins[key]
