"""Triggers: actions that bring records in."""

from collections.abc import Mapping
from typing import Final

from agent.flow.dialects.jumpwire.settings import Action, ConfigKey
from agent.flow.dialects.jumpwire.values import (
    read_amount_of_bytes,
    read_schedules,
    read_slot,
    read_some_texts,
    read_zone,
    whole,
)
from agent.flow.dialects.jumpwire.web import RECEIVED, read_methods, read_path, url
from agent.flow.shapes import (
    ANYTHING,
    FILLED,
    NUMBER,
    TEXT,
    TEXT_OR_TEXTS,
    TEXTS,
    Fields,
    list_of,
    map_of,
    one_of,
    words,
)

_GIGABYTE: Final = 1 << 30
_OPERATIONS: Final = ("insert", "update", "delete", "truncate")
_FORMAT: Final = ConfigKey(
    "format", words("json", "text", "base64"), "What a record is made of: parsed, or the bytes as text.", default="json"
)  # fmt: skip
_MOST_BYTES: Final = ConfigKey(
    "most_bytes", one_of(NUMBER, FILLED), "How large a record may be; a larger one is a dead letter. Ours.",
    read=read_amount_of_bytes, default=1 << 20,
)  # fmt: skip
_COLD_START: Final = words("trim_horizon", "latest")
AMAZON: Final = (
    ConfigKey("endpoint", FILLED, "The address of the service; Amazon's own unless said. Ours.", read=url("http", "https")),
    ConfigKey("region", FILLED, "The region; as the agent's surroundings say unless said. Ours."),
    ConfigKey("access_key", TEXT, "The key's id; as the agent's surroundings say unless said. Ours."),
    ConfigKey("secret_key", TEXT, "The key. Ours."),
)  # fmt: skip
_SHARDS: Final = (
    ConfigKey("stream", FILLED, "The stream's name.", required=True),
    ConfigKey(
        "cold_start", _COLD_START, "Where to begin when nothing was read before: the oldest, or only new.", required=True
    ),
    *AMAZON,
    _FORMAT,
    _MOST_BYTES,
)  # fmt: skip
_LATER_START: Final = ConfigKey(
    "cold_start", _COLD_START, "Where to begin when nothing was read before: the oldest, or only new.", default="trim_horizon"
)  # fmt: skip


def _trigger(name: str, about: str, *settings: ConfigKey, written: str = "", with_key: str = "") -> Action:
    title = f"{written} with {with_key}" if with_key else name
    return Action(name, written or name, about, Fields(title, *settings), is_trigger=True, with_key=with_key)


_TRIGGERS: Final = (
    _trigger("manual", "The records of the file that a run on this machine is started with. Of the documents' older pages."),
    _trigger(
        "receive",
        "The body of each request to an address of the server.",
        ConfigKey("path", FILLED, "The end of the address, as in `/orders`.", read=read_path, required=True),
        ConfigKey(
            "methods", one_of(FILLED, TEXTS), "The methods that count. Ours.", read=read_methods, default=[RECEIVED[0]]
        ),
        ConfigKey("secret", TEXT, "What the sender signs with: HMAC-SHA256 in `X-Hub-Signature-256`. Ours."),
        ConfigKey("token", TEXT, "What the sender shows: `Authorization: Bearer`. Ours."),
        written="webhook",
        with_key="path",
    ),
    _trigger(
        "udp",
        "Each packet that comes to a port of the agent's machine.",
        ConfigKey("port", NUMBER, "The port.", read=whole(1, 65_535), required=True),
        ConfigKey("address", FILLED, "The address to listen at. Ours.", default="0.0.0.0"),  # noqa: S104 - as there
        _FORMAT,
    ),
    _trigger(
        "cron",
        "One record each time. Ours.",
        ConfigKey("schedule", TEXT_OR_TEXTS, "When: five fields, or a list.", read=read_schedules, required=True),
        ConfigKey("time_zone", FILLED, "An IANA time zone, such as `Europe/Berlin`.", read=read_zone, default="UTC"),
        ConfigKey("data", map_of(ANYTHING, name="data", entry_name="field"), "Fields of the record, beside `time`.", default={}),
    ),
    _trigger("kinesis", "Each record of all shards of a stream.", *_SHARDS),
    _trigger(
        "kinesis_consumer",
        "The same, as a consumer with a share of its own.",
        *_SHARDS,
        ConfigKey("consumer", FILLED, "The consumer's name. Ours.", default="jumpwire"),
    ),
    _trigger(
        "postgresql",
        "Each change of a table's rows (logical replication). Ours.",
        ConfigKey("url", FILLED, "`postgresql://user:password@host/database`.", read=url("postgresql", "postgres"), required=True),
        ConfigKey("tables", TEXT_OR_TEXTS, "Tables that count; all of the publication unless said.", read=read_some_texts),
        ConfigKey("publication", FILLED, "The publication's name; one of the flow's own unless said."),
        ConfigKey("slot", FILLED, "The slot's name; one of the flow's own unless said.", read=read_slot),
        ConfigKey(
            "operations", one_of(words(*_OPERATIONS), list_of(words(*_OPERATIONS))), "Changes that count.",
            read=read_some_texts, default=list(_OPERATIONS),
        ),
        ConfigKey(
            "most_lag", one_of(NUMBER, FILLED), "How much of its log the database may have to keep before it is said.",
            read=read_amount_of_bytes, default=_GIGABYTE,
        ),
        _MOST_BYTES,
    ),
    _trigger(
        "nats",
        "Each message of a JetStream stream. Ours.",
        ConfigKey("url", FILLED, "`nats://host:4222`.", read=url("nats", "tls"), required=True),
        ConfigKey("stream", FILLED, "The stream's name.", required=True),
        ConfigKey("subject", FILLED, "Subjects that count; all of the stream unless said."),
        ConfigKey("durable", FILLED, "The consumer's name; one of the flow's own unless said."),
        _LATER_START,
        _FORMAT,
        _MOST_BYTES,
    ),
    _trigger(
        "redis",
        "Each entry of a stream of Redis or Valkey. Ours.",
        ConfigKey("url", FILLED, "`redis://host:6379`.", read=url("redis", "rediss", "valkey", "unix"), required=True),
        ConfigKey("stream", FILLED, "The stream's key.", required=True),
        ConfigKey("group", FILLED, "The group's name; one of the flow's own unless said."),
        _LATER_START,
        ConfigKey("field", FILLED, "The field of an entry that holds the record; none: all of its fields are, as text."),
        _FORMAT,
        _MOST_BYTES,
    ),
)  # fmt: skip
TRIGGERS: Final[Mapping[str, Action]] = {action.name: action for action in _TRIGGERS}
