"""Requests, as a stage's configuration asks for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from agent.errors import AgentError
from agent.flow.expressions import to_text
from agent.job.stages.actions.http.answers import dump_body
from agent.job.stages.stage import StageContext, Value

METHODS: Final = ("post", "head", "get", "delete", "trace", "options", "put", "patch")
_WITHOUT_RECORD: Final = frozenset(
    {"get", "head", "trace", "options"}
)  # a body means nothing there (RFC 9110)
_CONTROLS: Final = frozenset("\r\n\0")
_PAIR: Final = 2


@dataclass(frozen=True, slots=True)
class RequestForm:
    """What all requests of a stage have in common."""

    url: str
    method: str  # in capitals
    headers: Sequence[tuple[str, str]]
    params: Sequence[tuple[str, str]]
    body: bytes | None  # None: the record's, where `has_record`
    has_record: bool

    def make_body(self, record: Value) -> bytes | None:
        """The body of the request for a record."""
        return dump_body(record) if self.has_record else self.body


def read_form(context: StageContext) -> RequestForm:
    """The form. Raises AgentError: what is wrong in the stage's configuration."""
    config, where = context.config, context.name
    method = str(config.get("method") or "post").lower()
    if method not in METHODS:
        raise AgentError(f"`method` is none of {', '.join(METHODS)}: '{method}'", where=where)
    written = config.get("body")
    body, kind = _read_body(written)
    has_record = written is None and config.get("event_body", True) is True and method not in _WITHOUT_RECORD
    headers = read_pairs(config.get("headers"), "headers", where)
    if any(not name or _CONTROLS & set(name + value) for name, value in headers):
        raise AgentError("`headers` has a name or a value that no header can have", where=where)
    names = {name.lower() for name, _value in headers}
    if "content-type" not in names and (kind or has_record):
        headers.append(("Content-Type", kind or "application/json"))
    return RequestForm(
        read_url(context),
        method.upper(),
        headers,
        read_pairs(config.get("params"), "params", where),
        body,
        has_record,
    )


def read_url(context: StageContext) -> str:
    """`url`. Raises AgentError."""
    url = context.config.get("url")
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
        is_one = parts is not None and parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        is_one = False
    if not is_one:
        raise AgentError("`url` is no address that begins with http:// or https://", where=context.name)
    return str(url)


def read_pairs(written: object, key: str, where: str) -> list[tuple[str, str]]:
    """Names and values: of a mapping, of a list of mappings, or of a list of pairs. Raises AgentError."""
    pairs: list[tuple[str, str]] = []
    items = [written] if isinstance(written, Mapping) else written or []
    if not isinstance(items, list | tuple):
        raise AgentError(f"`{key}` is a mapping, or a list of mappings or of pairs", where=where)
    for item in items:
        if isinstance(item, Mapping):
            pairs += [pair for name, value in item.items() for pair in _spread(str(name), value)]
        elif isinstance(item, list | tuple) and len(item) == _PAIR:
            pairs.append((to_text(item[0]), to_text(item[1])))
        else:
            raise AgentError(f"`{key}` has an item that is no mapping and no pair", where=where)
    return pairs


def _spread(name: str, value: object) -> list[tuple[str, str]]:
    """One of each value, where there are several."""
    values = value if isinstance(value, list | tuple) else [value]
    return [(name, to_text(item)) for item in values]


def _read_body(written: object) -> tuple[bytes | None, str]:
    """A body that is always the same, and its kind: a text as it is, anything else as JSON."""
    if written is None:
        return None, ""
    if isinstance(written, str):
        return written.encode("utf-8", "backslashreplace"), "text/plain; charset=utf-8"
    return dump_body(written), "application/json"
