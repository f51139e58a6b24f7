"""The server's log as text or as JSON, each line with the request, run and job that it is about.

Never a query string, a header or a body: signatures, tokens and secrets stand there.
"""

import json
import logging
import sys
import time
from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import TextIO

from starlette.requests import Request

_NOTHING: Mapping[str, str] = MappingProxyType({})
_about: ContextVar[Mapping[str, str]] = ContextVar("about", default=_NOTHING)
_NAMED = ("run", "job", "agent")


def set_up_logs(form: str, out: TextIO | None = None) -> None:
    """Log to `out` (standard error) as `text` or `json`."""
    handler = logging.StreamHandler(out or sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else _make_text_formatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)  # it would log whole URLs
    logging.getLogger("httpx").setLevel(logging.WARNING)  # likewise


def _make_text_formatter() -> logging.Formatter:
    """Lines for people; times are UTC and say so."""
    formatter = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    return formatter


def begin_request(request_id: str) -> None:
    """All that is logged from here on in this task is about this request."""
    _about.set({"request_id": request_id})


def note_request(request: Request, template: str) -> None:
    """The request's route, by its template, and what its path names."""
    request.scope["route_template"] = template
    named = {name: str(value) for name, value in request.path_params.items() if name in _NAMED}
    _about.set({**_about.get(), **named})


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The record with its time (seconds since the epoch), what it is about, and its `fields`."""
        line: dict[str, object] = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_about.get(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)
