"""The route table as the tests walk it."""

import re
from dataclasses import dataclass

from starlette.routing import Route, WebSocketRoute

from agent.server.api.routes import make_routes
from agent.server.auth.access import Access
from agent.server.call import Guard


@dataclass(frozen=True)
class HttpRoute:
    verb: str
    path: str
    access: Access

    @property
    def parameters(self) -> list[str]:
        return re.findall(r"\{(\w+)", self.path)

    def filled(self, **values: object) -> str:
        """The path with each parameter as `values` says, else with something of the right form that is not there."""

        def fill(match: re.Match[str]) -> str:
            name, kind = match[1], match[2]
            if name in values:
                return str(values[name])
            return "sha256:" + "0" * 64 if name == "digest" else "999999" if kind else name

        return re.sub(r"\{(\w+)(:\w+)?\}", fill, self.path)

    def __str__(self) -> str:
        return f"{self.verb} {self.path}"


def http_routes() -> list[HttpRoute]:
    routes = []
    for route in make_routes():
        if isinstance(route, WebSocketRoute):
            continue
        assert isinstance(route, Route)
        guard = getattr(route.endpoint, "__self__", None)
        assert isinstance(guard, Guard), f"{route.path} is served without a guard"
        routes += [HttpRoute(verb, route.path, guard.access) for verb in sorted(route.methods or ())]
    return routes
