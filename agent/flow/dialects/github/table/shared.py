"""Keys that a flow and a job both have: permissions, concurrency, defaults of `run` steps."""

from agent.flow.shapes import BOOLEAN, FILLED, Fields, Key, Shape, mapping, one_of, words

_ANY = words("read", "write", "none")
_READ = words("read", "none")
_WRITE = words("write", "none")

_PERMISSION_LEVELS: dict[str, Shape] = {
    "actions": _ANY,
    "artifact-metadata": _ANY,
    "attestations": _ANY,
    "checks": _ANY,
    "code-quality": _ANY,
    "contents": _ANY,
    "copilot-requests": _WRITE,
    "deployments": _ANY,
    "discussions": _ANY,
    "drives": _ANY,
    "id-token": _WRITE,
    "issues": _ANY,
    "models": _READ,
    "packages": _ANY,
    "pages": _ANY,
    "pull-requests": _ANY,
    "repository-projects": _ANY,
    "security-events": _ANY,
    "statuses": _ANY,
    "vulnerability-alerts": _READ,
}
PERMISSION_FIELDS = Fields(
    "permissions",
    *(Key(name, shape, f"Access to {name.replace('-', ' ')}.") for name, shape in _PERMISSION_LEVELS.items()),
)
# As soon as one permission is named, those that are not named are `none`.
PERMISSIONS = one_of(words("read-all", "write-all"), mapping(PERMISSION_FIELDS))

CONCURRENCY = Fields(
    "concurrency",
    Key("group", FILLED, "The group's name, under 400 characters; case does not matter.", required=True),
    Key("cancel-in-progress", BOOLEAN, "Cancel the running member instead of waiting for it."),
    Key(
        "queue",
        words("single", "max"),
        "How many may wait: one, whom a newer replaces, or up to 100 in order. "
        "`max` cannot be joined with `cancel-in-progress: true`.",
    ),
)

RUN_DEFAULTS = Fields(
    "defaults.run",
    Key("shell", FILLED, "The shell of steps that name none."),
    Key("working-directory", FILLED, "Where scripts run that name no place."),
)
