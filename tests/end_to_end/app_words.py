"""The words of the tests about apps: a run that has one, and visitors to its origin."""

import socket
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
from support.lab import PATIENCE_SECONDS, Lab, wait_for
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin


class Visitor:
    """A browser at an app's origin: keeps its cookies, follows no redirect."""

    def __init__(self, lab: Lab, link: str, server: str = "") -> None:
        """`server` is where it finds the host of the app; the lab's own without a word."""
        self.link = link
        parts = urlsplit(link)
        self.host = parts.netloc
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self.cookies: dict[str, str] = {}
        self.http = httpx.Client(base_url=server or lab.url, timeout=PATIENCE_SECONDS)

    def ask(self, path: str, method: str = "GET", **more: Any) -> httpx.Response:
        headers = {"Host": self.host, "Accept": "text/html", **more.pop("headers", {})}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        self.http.cookies.clear()
        answer = self.http.request(method, path, headers=headers, **more)
        for said in answer.headers.get_list("set-cookie"):
            name, _, value = said.partition(";")[0].partition("=")
            self.cookies[name] = value
        return answer

    def enter(self) -> httpx.Response:
        return self.ask(self.link.removeprefix(self.origin))

    def open_socket(self, path: str, **more: Any) -> ClientConnection:
        """A websocket of a page of the app."""
        address = urlsplit(str(self.http.base_url))
        given = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        return connect(
            f"ws://{self.host}{path}",
            sock=socket.create_connection((address.hostname, address.port)),
            additional_headers=given,
            origin=Origin(self.origin),
            max_size=None,
            proxy=None,
            **more,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()


def app_of(lab: Lab, run: int) -> dict[str, Any]:
    (app,) = lab.get("run", "apps", str(run))["apps"]
    return dict(app)


def wait_for_app(lab: Lab, run: int, state: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        apps = lab.get("run", "apps", str(run))["apps"]
        return dict(apps[0]) if apps and apps[0]["state"] == state else None

    return dict(wait_for(look, f"the app to be {state}"))


def link_of(lab: Lab, run: int) -> str:
    """A fresh link into the run's one app, as `agent run open` prints it."""
    done = lab.agent("run", "open", str(run))
    assert done.code == 0, done.err
    return done.out.strip()


def visit(lab: Lab, run: int) -> Visitor:
    """Somebody who has followed a link of the command line."""
    visitor = Visitor(lab, link_of(lab, run))
    answer = visitor.enter()
    assert answer.status_code == 303, answer.text
    return visitor
