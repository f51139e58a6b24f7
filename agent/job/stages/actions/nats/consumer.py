"""The durable consumer: made once, and compared with what the flow says before it is used.

nats-py's own `pull_subscribe` takes an existing durable as it is, whatever is asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.errors import AgentError
from agent.job.stages.actions.connecting.holding import HeldBookmark
from agent.job.stages.actions.connecting.libraries import load_library
from agent.job.stages.actions.connecting.marks import draw_name
from agent.job.stages.stage import StageContext

ACK_WAIT_SECONDS = 30.0
_IN_FLIGHT = 10_000


@dataclass(frozen=True, slots=True)
class Consumer:
    """A consumer that may be used."""

    stream: str
    name: str
    ack_wait: float  # seconds
    most_in_flight: int


async def prepare_consumer(context: StageContext, jetstream: Any, mark: HeldBookmark) -> Consumer:
    """There is the consumer that the flow wants; the mark says so. Raises AgentError, and the library's errors."""
    config = context.config
    stream, subject = str(config["stream"]), str(config.get("subject") or "")
    made = await _created(jetstream, stream)
    known: Mapping[str, object] = mark.value if isinstance(mark.value, Mapping) else {}
    name = str(config.get("durable") or known.get("drawn") or draw_name(context.name))
    found = await _look(context, jetstream, stream, name)
    if found is None:
        if known.get("durable") == name and known.get("stream") == made:
            raise AgentError(
                f"the consumer '{name}' of the stream '{stream}' is gone, and with it what had been settled",
                hint=f"make it again where reading should go on (nats consumer add {stream} {name} --pull --ack explicit --deliver ...), "
                "or name another `durable`, which begins by `cold_start`",
            )
        found = await _make(context, jetstream, stream, name, subject)
        context.say(f"made the consumer '{name}'")
    _compare(context, found.config, name, subject)
    drawn = known.get("drawn") or ("" if config.get("durable") else name)
    mark.value = {"durable": name, "drawn": drawn, "stream": made}
    backoff = found.config.backoff or []
    wait = float(backoff[0] if backoff else found.config.ack_wait or ACK_WAIT_SECONDS)
    most = found.config.max_ack_pending or _IN_FLIGHT
    return Consumer(stream, name, wait, most if most > 0 else _IN_FLIGHT)


async def _created(jetstream: Any, stream: str) -> str:
    """When the stream was made: one of the same name that is made anew is another."""
    errors = load_library("nats.js.errors", stream)
    try:
        return str((await jetstream.stream_info(stream)).created)
    except errors.NotFoundError:
        raise AgentError(
            f"there is no stream '{stream}'", hint=f"make it: nats stream add {stream}"
        ) from None


async def _look(context: StageContext, jetstream: Any, stream: str, name: str) -> Any:
    errors = load_library("nats.js.errors", context.name)
    try:
        return await jetstream.consumer_info(stream, name)
    except errors.NotFoundError:
        return None


async def _make(context: StageContext, jetstream: Any, stream: str, name: str, subject: str) -> Any:
    api = load_library("nats.js.api", context.name)
    is_latest = context.config.get("cold_start") == "latest"
    return await jetstream.add_consumer(
        stream,
        api.ConsumerConfig(
            durable_name=name,
            deliver_policy=api.DeliverPolicy.NEW if is_latest else api.DeliverPolicy.ALL,
            ack_policy=api.AckPolicy.EXPLICIT,
            ack_wait=ACK_WAIT_SECONDS,
            max_deliver=-1,
            max_ack_pending=_IN_FLIGHT,
            filter_subject=subject or None,
        ),
    )


def _compare(context: StageContext, config: Any, name: str, subject: str) -> None:
    hint = f"name another `durable`, or remove it: nats consumer rm {context.config['stream']} {name}"
    if config.deliver_subject:
        raise AgentError(f"the consumer '{name}' is a push consumer", hint=hint)
    if str(getattr(config.ack_policy, "value", config.ack_policy)) != "explicit":
        raise AgentError(f"the consumer '{name}' has no explicit acknowledgements", hint=hint)
    theirs = config.filter_subject or ",".join(config.filter_subjects or [])
    if subject and theirs != subject:
        raise AgentError(
            f"the consumer '{name}' has the subject '{theirs or '>'}', where the flow says '{subject}'",
            hint=hint,
        )
    if config.max_deliver and config.max_deliver > 0:
        context.warn(
            f"the consumer '{name}' gives each record at most {config.max_deliver} times (max_deliver): one whose flow is killed as "
            "often is lost without a word; -1 bounds nothing"
        )
