"""Of which level of a project a request is: the project itself, or one of its environments."""

import msgspec

from agent.server.http.call import Call
from agent.server.people.vault import check_environment
from agent.server.store.settings import Level


class LevelQuery(msgspec.Struct, forbid_unknown_fields=True):
    """An environment of the project; without it, the project itself."""

    environment: str = ""


def read_level(call: Call) -> Level:
    """The level that the query names. Raises UsageError for what can't be an environment's name."""
    return Level(call.project.id, check_environment(call.query(LevelQuery).environment))
