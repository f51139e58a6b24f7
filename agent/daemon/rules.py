"""The owner's policy, read once: when the daemon starts, before any job of this daemon runs.

Jobs are handed what was read then, so that what one of them does to the file changes nothing for the next. A file that has
gone is no leave for everything: jobs are refused while it is missing, and so is the next start, until its owner has had a look.
"""

import logging
from pathlib import Path

from agent.config import Settings
from agent.containers.policy_file import load_container_policy
from agent.daemon.state import StateFolder
from agent.errors import RefusedError
from agent.policy import Rules, load_apps_policy, load_attach_policy, load_environment, read_policy_file
from agent.resolve.policy import load_policy
from agent.seal.files import write_private_file

log = logging.getLogger("agent.daemon")


class OwnerRules:
    """What the owner's file said at the start, and whether it is still there."""

    def __init__(self, rules: Rules, seen: bytes | None) -> None:
        self.rules = rules
        self.environment = load_environment(rules)
        self._file = Path(rules.file)
        self._seen = seen
        self._has_warned = False

    @classmethod
    def load(cls, state: StateFolder, settings: Settings) -> "OwnerRules":
        """Read the policy and note where it was. Raises UsageError for one that is missing or is not understood."""
        file = settings.policy_file.absolute()
        seen = _read(file)
        _check_presence(state, file, is_there=seen is not None)
        tables = read_policy_file(file, must_exist=bool(settings["policy"]))
        rules = Rules({} if tables is None else tables, str(file))
        load_policy(rules)
        load_container_policy(rules, settings.container_allow)
        load_attach_policy(rules)
        load_apps_policy(rules)
        return cls(rules, seen)

    def require_presence(self) -> None:
        """Raises RefusedError when there was a policy and its file is gone; says once that another one is there."""
        now = _read(self._file)
        if self._seen is not None and now is None:
            raise RefusedError(
                "the policy of this machine is gone", where=str(self._file), hint="its owner has to see to it"
            )
        if now != self._seen and not self._has_warned:
            self._has_warned = True
            log.warning("%s has changed; what it says now counts when the agent is started again", self._file)


def _check_presence(state: StateFolder, file: Path, *, is_there: bool) -> None:
    noted = _read(state.seen_policy)
    if is_there:
        write_private_file(state.seen_policy, str(file).encode())
    elif noted is not None and noted.decode("utf-8", "replace") == str(file):
        raise RefusedError(
            "the policy of this machine is gone",
            where=str(file),
            hint=f"put it back; to do without one, remove {state.seen_policy}",
        )


def _read(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError:
        return None
