"""`send` (`webhook` with `url`): each record is sent by HTTP, and goes on (docs/streams-code.md)."""

from collections.abc import Mapping, Sequence

from agent.job.stages.actions.http.requests import read_form
from agent.job.stages.actions.http.sender import Sender, send_all
from agent.job.stages.actions.settings import read_seconds, read_text
from agent.job.stages.stage import Done, StageContext, StageError, Value


class SendStage:
    """See Stage."""

    is_pure = False

    def __init__(self, context: StageContext) -> None:
        """Raises AgentError: what is wrong in the configuration."""
        self._form = read_form(context)
        self._field = read_text(context, "response")
        self._sender = Sender(context, read_seconds(context))

    async def open(self) -> None:
        """See Stage. Nobody is asked yet: a receiver that is down is no reason not to begin."""
        await self._sender.open()

    async def work(self, batch: Sequence[Value]) -> Done:
        """See Stage."""
        return await send_all(batch, self._send)

    async def close(self) -> None:
        """See Stage."""
        await self._sender.close()

    async def _send(self, record: Value) -> Value:
        """The record that goes on."""
        if self._field and not isinstance(record, Mapping):
            raise StageError(
                f"the answer can't be put into the field '{self._field}': the record is no object",
                is_final=True,
            )
        body = self._form.make_body(record)
        answered = await self._sender.send(self._form, record, body, wants_answer=bool(self._field))
        return {**record, self._field: answered} if isinstance(record, Mapping) and self._field else record


def make(context: StageContext) -> SendStage:
    """The stage. Raises AgentError."""
    return SendStage(context)
