"""`slack`: a message for each record, by an incoming webhook (docs/streams-code.md).

Source: api.slack.com/messaging/webhooks, api.slack.com/reference/messaging/attachments; a webhook takes about one message a second.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Final

from agent.errors import AgentError
from agent.flow.expressions import write_value
from agent.job.stages.actions.http.answers import dump_body
from agent.job.stages.actions.http.requests import RequestForm, read_url
from agent.job.stages.actions.http.sender import Sender, send_all
from agent.job.stages.actions.settings import read_seconds, read_text
from agent.job.stages.stage import Done, StageContext, StageError, Value

_COLOURS: Final[Mapping[str, str]] = {
    "error": "#a30200",
    "warn": "#daa038",
    "info": "#439fe0",
    "success": "#2eb886",
}
_MOST_TEXT: Final = 3000  # characters: Slack folds longer ones away
_FIELD: Final = re.compile(r"\{([\w.-]+)\}")
_ESCAPES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


class SlackStage:
    """See Stage."""

    is_pure = False

    def __init__(self, context: StageContext) -> None:
        """Raises AgentError: what is wrong in the configuration."""
        level = str(context.config.get("level") or "info").lower()
        if level not in _COLOURS:
            raise AgentError(f"`level` is none of {', '.join(_COLOURS)}: '{level}'", where=context.name)
        self._colour = _COLOURS[level]
        self._text = read_text(context, "text")
        headers = [("Content-Type", "application/json")]
        self._form = RequestForm(read_url(context), "POST", headers, (), None, has_record=False)
        self._sender = Sender(context, read_seconds(context))
        self._refusal: StageError | None = None  # of this batch: Slack wants to be left alone for a while

    async def open(self) -> None:
        """See Stage."""
        await self._sender.open()

    async def work(self, batch: Sequence[Value]) -> Done:
        """See Stage. One after the other: that is how they are read."""
        self._refusal = None
        return await send_all(batch, self._send, at_once=1)

    async def close(self) -> None:
        """See Stage."""
        await self._sender.close()

    async def _send(self, record: Value) -> Value:
        if self._refusal is not None:
            raise self._refusal
        text = write_message(self._text, record)
        body = dump_body({"attachments": [{"color": self._colour, "text": text, "fallback": text}]})
        try:
            await self._sender.send(self._form, record, body)
        except StageError as error:
            if error.after:
                self._refusal = error
            raise
        return record


def make(context: StageContext) -> SlackStage:
    """The stage. Raises AgentError."""
    return SlackStage(context)


def write_message(text: str, record: Value) -> str:
    """`text` with the record's fields where they are named (`{user.name}`); without a text, the record as it is."""
    if not text:
        shown = record if isinstance(record, str) else json.dumps(record, ensure_ascii=False)
        return _escape(shown)[:_MOST_TEXT]
    return _FIELD.sub(lambda found: _read_field(record, found), text)[:_MOST_TEXT]


def _read_field(record: Value, found: "re.Match[str]") -> str:
    value = record
    for name in found[1].split("."):
        if not isinstance(value, Mapping) or name not in value:
            return found[0]
        value = value[name]
    return _escape(write_value(value))


def _escape(text: str) -> str:
    """What a record says is text for Slack, and no link, and nobody is called by it (`<!channel>`)."""
    return "".join(_ESCAPES.get(character, character) for character in text)
