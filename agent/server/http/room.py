"""The room's parts: what keeps requests within bounds."""

from dataclasses import dataclass

from agent.server.http.bodies import Bodies
from agent.server.people.auth.rates import Rates


@dataclass(frozen=True, slots=True)
class HttpRoom:
    """`bodies` counts bytes in memory, `rates` requests a second."""

    bodies: Bodies
    rates: Rates
