"""The states of an app: a port that a job opens for people, as its journal tells them and the server stores them.

waiting --something listens on its port--> ready
ready --nothing does any more--> gone
gone --something listens there again--> ready
waiting --the job has ended--> gone
ready, gone, waiting --another attempt at the job begins--> waiting
"""

from enum import StrEnum
from typing import Final

from agent.states import Transitions

TOKEN_MARK = "{token}"  # noqa: S105 - in what an app opens: its token, which steps find as APP_TOKEN_0, ...


def sealed_name(place: int) -> str:
    """By which name the token of the app at `place` is among a job's sealed secrets: none that a flow can name."""
    return f"app-token/{place}"


class AppState(StrEnum):
    """How an app stands."""

    WAITING = "waiting"  # nothing has listened on its port yet
    READY = "ready"
    GONE = "gone"


APPS: Final = Transitions(
    "app",
    frozenset({AppState.WAITING}),
    {
        AppState.WAITING: frozenset({AppState.READY, AppState.GONE, AppState.WAITING}),
        AppState.READY: frozenset({AppState.GONE, AppState.WAITING}),
        AppState.GONE: frozenset({AppState.READY, AppState.WAITING}),
    },
)
