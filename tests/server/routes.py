"""The route table as the tests walk it."""

import re
from dataclasses import dataclass

from agent.server.people.auth.access import Access
from agent.server.routes import OPERATIONS

_KNOWN = {"digest": "sha256:" + "0" * 64, "problem": "refused", "file": "style.css"}


@dataclass(frozen=True)
class HttpRoute:
    verb: str
    path: str
    access: Access
    page: bool = False
    part: bool = False

    @property
    def parameters(self) -> list[str]:
        return re.findall(r"\{(\w+)", self.path)

    def filled(self, **values: object) -> str:
        """The path with each parameter as `values` says, else with something of the right form that is not there."""

        def fill(match: re.Match[str]) -> str:
            name, kind = match[1], match[2]
            if name in values:
                return str(values[name])
            return "999999" if kind else _KNOWN.get(name, name)

        return re.sub(r"\{(\w+)(:\w+)?\}", fill, self.path)

    def __str__(self) -> str:
        return f"{self.verb} {self.path}"


def http_routes() -> list[HttpRoute]:
    rows = [HttpRoute(row.verb, row.path, row.access, row.is_page, row.is_part) for row in OPERATIONS]
    return rows + [HttpRoute("HEAD", row.path, row.access, row.page) for row in rows if row.verb == "GET"]
