"""The server's API as the commands use it: the one place where the command line speaks HTTP."""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any

from agent.asking import Answer, ask, open_answer, read_content, read_lines
from agent.config import Settings, load_settings
from agent.errors import NotFoundError, UnreachableError, UsageError
from agent.wire.answers import explain_answer, explain_silence, not_ours

_TIMEOUT_SECONDS = 30.0
_PAGE = 200  # entries of a list at a time
_MOST = 100_000  # of a list that is wanted whole
_MOST_ANSWER_BYTES = 256 << 20
_MOST_ANSWER_SECONDS = 600.0


class BusyError(UnreachableError):
    """The server answered that it can't now; `retry_seconds` is how long it wants to be left alone."""

    def __init__(self, what: str, *, where: str = "", hint: str = "", retry_seconds: float = 1.0) -> None:
        super().__init__(what, where=where, hint=hint)
        self.retry_seconds = retry_seconds


class Contact(Enum):
    """Whether the server of a stream of events answers."""

    THERE = "there"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One server-sent event."""

    id: str
    name: str
    data: Any


class Client:
    """A server's API, with the user's access token. Every failure is an `AgentError`."""

    def __init__(self, url: str, token: str, project: str = "") -> None:
        import httpx

        if not url.startswith(("http://", "https://")):
            raise UsageError(
                "this is not a server's address", where=url, hint="write it as https://flows.example.org"
            )
        self.url = url.rstrip("/")
        self.project = project  # empty: the server's first one
        if not (token.isascii() and token.isprintable()) or " " in token:
            raise UsageError(
                "this is no access token: it has blanks or odd letters in it", hint="`agent login`"
            )
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            self._http = httpx.Client(base_url=self.url, headers=headers, timeout=_TIMEOUT_SECONDS)
        except httpx.InvalidURL as error:
            raise UsageError(f"this is not a server's address: {error}", where=url) from None
        except (OSError, ValueError) as error:  # what the environment says: SSL_CERT_FILE, HTTPS_PROXY
            raise UsageError(
                f"the connection can't be set up: {error}",
                where=url,
                hint="check SSL_CERT_FILE, SSL_CERT_DIR, HTTPS_PROXY, HTTP_PROXY and ALL_PROXY",
            ) from None

    def close(self) -> None:
        """Let the connections go; a command's end does so too."""
        self._http.close()

    def get(self, path: str, **query: Any) -> Any:
        """The JSON at `path`."""
        from urllib.parse import urlencode

        given = urlencode({key: value for key, value in query.items() if value is not None})
        if given:  # not httpx's `params`: they would replace what the path says already
            path += ("&" if "?" in path else "?") + given
        return self._json("GET", path)

    def in_project(self, path: str) -> str:
        """`path`, asked for in the project that was chosen."""
        from urllib.parse import quote

        return f"{path}?project={quote(self.project, safe='')}" if self.project else path

    def list_all(self, path: str, key: str, /, *, most: int = _MOST, **query: Any) -> list[Any]:
        """Up to `most` entries of the list `key` at `path`, page by page."""
        return list(self.read_list(path, key, most=most, **query)[key])

    def read_list(self, path: str, key: str, /, *, most: int = _MOST, **query: Any) -> dict[str, Any]:
        """The same with what else the answer says beside the list."""
        found: list[Any] = []
        page: Any = {}
        while len(found) < most:
            limit = min(most - len(found), _PAGE)
            page = self.get(path, limit=limit, cursor=page.get("next"), **query)
            entries = page.get(key) if isinstance(page, dict) else None
            if not isinstance(entries, list):
                raise not_ours(self.url)
            found += entries
            if page.get("next") is None:
                break
        return {**{name: value for name, value in page.items() if name != "next"}, key: found}

    def text(self, path: str) -> str:
        """The plain text at `path`."""
        return self._send("GET", path).decode("utf-8", "replace")

    def read_bytes(self, path: str, body: Any = None) -> bytes:
        """The bytes at `path`, or those that the server answers to `body`."""
        if body is None:
            return self._send("GET", path, timeout=_TRANSFER_SECONDS)
        return self._send("POST", path, json=body, timeout=_TRANSFER_SECONDS)

    def post(self, path: str, body: Any = None) -> Any:
        """The JSON that the server answers to `body`."""
        return self._json("POST", path, json=body)

    def post_new(self, path: str, body: Any) -> tuple[Any, bool]:
        """Like `post`; and whether something new was made (201), or was there already."""
        response = self._request("POST", path, json=body)
        return json.loads(response.content), response.status_code == 201

    def put(self, path: str, body: Any) -> Any:
        """Like `post`, with PUT."""
        return self._json("PUT", path, json=body)

    def patch(self, path: str, body: Any) -> Any:
        """Like `post`, with PATCH."""
        return self._json("PATCH", path, json=body)

    def delete(self, path: str) -> None:
        """Delete what is at `path`."""
        self._json("DELETE", path)

    def has(self, path: str) -> bool:
        """Whether there is something at `path`."""
        try:
            self._send("HEAD", path)
        except NotFoundError:
            return False
        return True

    def send(self, path: str, chunks: Iterable[bytes], size_bytes: int) -> None:
        """PUT what `chunks` give, `size_bytes` in all: a proxy learns it before the first of them."""
        headers = {"Content-Length": str(size_bytes)}
        self._send("PUT", path, content=chunks, headers=headers, timeout=_TRANSFER_SECONDS)

    def fetch(self, path: str, start: int = 0) -> Iterator[tuple[int, bytes]]:
        """The bytes at `path` in pieces, each with its place; from `start` on where the server can, else from 0."""
        import httpx

        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
        try:
            with open_answer(
                "GET",
                path,
                client=self._http,
                headers=headers,
                follow_redirects=True,
                timeout=_TRANSFER_SECONDS,
            ) as response:
                _check(response, read_content(response) if response.is_error else b"", self.url)
                place = start if response.status_code == httpx.codes.PARTIAL_CONTENT else 0
                for chunk in response.iter_raw(_CHUNK_BYTES):
                    yield place, chunk
                    place += len(chunk)
        except httpx.HTTPError as error:
            raise explain_silence(type(error).__name__, str(error), self.url) from None

    def events(
        self, path: str, last_id: str = "", on_contact: "Callable[[Contact], None]" = lambda _contact: None
    ) -> Iterator[ServerEvent]:
        """The server-sent events at `path`, reconnecting from the last one that came, up to the event `end`.

        `on_contact` hears each time that the server can't be reached, and that it answers.
        """
        import httpx

        failures = 0
        while failures <= _EVENT_RETRIES:
            try:
                for event in self._events_once(path, last_id, lambda: on_contact(Contact.THERE)):
                    failures = 0
                    if event.name == "end":
                        return
                    last_id = event.id or last_id
                    yield event
                failures += 1
            except httpx.ConnectError:
                failures += 1
                on_contact(Contact.LOST)
            except (httpx.HTTPError, UnreachableError):
                failures += 1
            _pause(failures)
        raise UnreachableError("the server went away while its events were followed", where=self.url)

    def _events_once(self, path: str, last_id: str, on_answer: Callable[[], None]) -> Iterator[ServerEvent]:
        headers = {"Last-Event-ID": last_id} if last_id else {}
        with open_answer(
            *("GET", path),
            client=self._http,
            headers=headers,
            timeout=_EVENT_TIMEOUT_SECONDS,
            head_seconds=_EVENT_TIMEOUT_SECONDS,
        ) as response:
            _check(response, read_content(response) if response.is_error else b"", self.url)
            on_answer()
            yield from parse_events(read_lines(response))

    def _json(self, method: str, path: str, **arguments: Any) -> Any:
        body = self._send(method, path, **arguments)
        try:
            return json.loads(body) if body else None
        except ValueError:
            raise not_ours(self.url) from None

    def _send(self, method: str, path: str, **arguments: Any) -> bytes:
        content: bytes = self._request(method, path, **arguments).content
        return content

    def _request(self, method: str, path: str, **arguments: Any) -> Answer:
        with _guarded(self.url):
            response = ask(
                method,
                path,
                client=self._http,
                most_bytes=_MOST_ANSWER_BYTES,
                answer_seconds=_MOST_ANSWER_SECONDS,
                **arguments,
            )
        _check(response, response.content, self.url)
        return response


_TRANSFER_SECONDS = 120.0  # of silence
_CHUNK_BYTES = 256 << 10
_EVENT_RETRIES = 30
_EVENT_TIMEOUT_SECONDS = 60.0  # the server sends a comment at least every 15 s


def connect(
    settings: Settings | None = None,
    *,
    url: str | None = None,
    token: str | None = None,
    project: str | None = None,
) -> Client:
    """The server that the settings name. Raises UsageError when there is no URL or no token."""
    settings = settings or load_settings({"url": url, "token": token, "project": project})
    if not settings["url"]:
        raise UsageError("no server is set", hint="`agent login --url URL`, or set AGENT_URL")
    if not settings["token"]:
        raise UsageError(
            "no access token is set", where=settings["url"], hint="`agent login`, or set AGENT_TOKEN"
        )
    return Client(settings["url"], settings["token"], settings["project"])


def connect_from_job(
    *, url: str | None = None, token: str | None = None, project: str | None = None
) -> Client:
    """As `connect`; within a job, where nothing else is said, the job's own server, token and project.

    A config file on the agent's machine is somebody's own, and does not count there. Raises UsageError.
    """
    settings = load_settings({"url": url, "token": token, "project": project})
    own = os.environ.get("ACTIONS_RESULTS_URL", ""), os.environ.get("ACTIONS_RUNTIME_TOKEN", "")
    is_said = {settings.origins["url"], settings.origins["token"]} & {"flag", "AGENT_URL", "AGENT_TOKEN"}
    if all(own) and not is_said:
        return Client(*own)
    return connect(settings)


def parse_events(lines: Iterator[str]) -> Iterator[ServerEvent]:
    """Server-sent events from the lines of a stream (HTML Living Standard, 9.2.6)."""
    fields: dict[str, list[str]] = {}
    for line in lines:
        if line.startswith(":"):
            continue
        if line:
            name, _colon, value = line.partition(":")
            fields.setdefault(name, []).append(value.removeprefix(" "))
            continue
        if "data" in fields:
            data = json.loads("\n".join(fields["data"]))
            yield ServerEvent(fields.get("id", [""])[-1], fields.get("event", ["message"])[-1], data)
        fields = {}


def ask_openly(url: str, path: str, seconds: float) -> Answer:
    """The server's answer to anybody, whatever it is. Raises UnreachableError, and UsageError for what is no address."""
    with _guarded(url):
        return ask("GET", f"{url.rstrip('/')}{path}", timeout=seconds)


def _check(response: Any, body: bytes, url: str) -> None:
    """Raise what the server's answer means, when it is no success."""
    if response.status_code < 300:
        return
    error = explain_answer(response.status_code, response.headers, body, url)
    if isinstance(error, UnreachableError):
        wait = response.headers.get("Retry-After", "")
        seconds = float(wait) if wait.isdigit() else 1.0
        raise BusyError(error.what, where=url, hint=error.hint, retry_seconds=seconds)
    raise error


@contextmanager
def _guarded(url: str) -> Iterator[None]:
    """All that keeps a request from an answer is an AgentError."""
    import httpx

    try:
        yield
    except httpx.HTTPError as error:
        raise explain_silence(type(error).__name__, str(error), url) from None
    except UnicodeEncodeError as error:
        if url.isascii():  # it is in what was to be sent, which is not shown: it may be a secret
            raise UsageError(
                "what is to be sent is not UTF-8 text",
                hint="write the words of the command line, and names of files, as UTF-8",
            ) from None
        raise UsageError(f"this is not a server's address: {error}", where=url) from None
    except (httpx.InvalidURL, UnicodeError) as error:
        raise UsageError(f"this is not a server's address: {error}", where=url) from None


def _pause(failures: int) -> None:
    import time

    time.sleep(min(0.1 * 2**failures, 5.0))
