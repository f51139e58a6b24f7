"""Stages that are no triggers: actions that records come to."""

from collections.abc import Mapping
from typing import Final

from agent.flow.dialects.jumpwire.retry import DEFAULTS, RETRY_SHAPE, read_retry
from agent.flow.dialects.jumpwire.settings import Action, ConfigKey
from agent.flow.dialects.jumpwire.table.triggers import AMAZON
from agent.flow.dialects.jumpwire.values import (
    number,
    read_conversions,
    read_pattern,
    read_some_texts,
    read_texts,
    whole,
)
from agent.flow.dialects.jumpwire.web import read_headers, read_method, url
from agent.flow.shapes import (
    ANYTHING,
    BOOLEAN,
    FILLED,
    NUMBER,
    SCALAR,
    TEXT,
    TEXT_OR_TEXTS,
    Fields,
    Shape,
    list_of,
    map_of,
    one_of,
    words,
)

MANY: Final = 1_000_000
_DAY: Final = 86_400
_WORLD: Final = url("http", "https")
_HEADERS: Final = map_of(SCALAR, name="headers", entry_name="header")
SHARED: Final = (
    ConfigKey(
        "retry", RETRY_SHAPE, "How often, and when, a record that failed is tried again. Ours.",
        read=read_retry, default=DEFAULTS,
    ),
    ConfigKey(
        "concurrency", NUMBER, "How many batches it works on at once; more than 1 gives up their order. Ours.",
        read=whole(1, 1000), default=1,
    ),
)  # fmt: skip
_TIMEOUT: Final = ConfigKey(
    "timeout",
    NUMBER,
    "Seconds that a record may take. Ours.",
    read=number(0.001, _DAY, "seconds"),
    default=30,
)


def _stage(
    name: str, about: str, *settings: ConfigKey, written: str = "", with_key: str = "", entries: Shape | None = None
) -> Action:  # fmt: skip
    title = f"{written} with {with_key}" if with_key else name
    return Action(
        name, written or name, about, Fields(title, *settings, *SHARED, entries=entries, entry_name="input"), with_key=with_key
    )  # fmt: skip


def _program(name: str, about: str, *settings: ConfigKey) -> Action:
    return _stage(
        name,
        about,
        ConfigKey("code", FILLED, "The program; or `file`."),
        ConfigKey("file", FILLED, "Its path in the run's code; or `code`."),
        *settings,
        _TIMEOUT,
    )


_STAGES: Final = (
    _stage(
        "delay",
        "Hands a record on after a while.",
        ConfigKey("seconds", NUMBER, "How long.", read=number(0, 366 * _DAY, "seconds"), required=True),
    ),
    _stage("error", "Fails, whatever comes: to try out what a flow does then."),
    _stage("noop", "Hands a record on as it is. Of the documents' older pages."),
    _stage(
        "field_map",
        "Takes, drops, renames and converts fields.",
        ConfigKey("take", TEXT_OR_TEXTS, "Fields to keep; renamed and converted ones are kept too.", read=read_texts),
        ConfigKey("drop", TEXT_OR_TEXTS, "Fields to leave out.", read=read_texts),
        ConfigKey("rename", map_of(FILLED, name="rename", entry_name="field"), "By field, its new name."),
        ConfigKey(
            "convert", map_of(FILLED, name="convert", entry_name="field"), "By field, `int`, `float`, `string` or `bool`.",
            read=read_conversions,
        ),
    ),
    _stage(
        "filter",
        "Drops records, or lets through no others.",
        ConfigKey("field", TEXT_OR_TEXTS, "The field to look at, or many: one that matches is enough.", read=read_some_texts, required=True),
        ConfigKey("match", SCALAR, "What the field has to be, exactly; it wins over `pattern`."),
        ConfigKey("pattern", TEXT, "A regular expression that is found in the field.", read=read_pattern),
        ConfigKey("reject_matches", BOOLEAN, "Records that match are dropped; false: only they go on.", default=True),
    ),
    _stage(
        "json_decode",
        "Reads text as JSON.",
        ConfigKey("field", FILLED, "The field that holds the text; the record itself unless said. Ours."),
    ),
    _stage(
        "merge_data",
        "Adds fields to a record.",
        ConfigKey("data", map_of(ANYTHING, name="data", entry_name="field"), "The fields; they win.", required=True),
    ),
    _stage(
        "zip",
        "Waits for a record of each stage before it, and hands them on as one list.",
        ConfigKey("event_limit", NUMBER, "How many records of each stage before it may wait.", read=whole(1, MANY), default=100),
    ),
    _stage(
        "reduce",
        "Makes one record of a list of records.",
        ConfigKey("concat_field", FILLED, "The field whose values become one list; or `merge`."),
        ConfigKey("merge", BOOLEAN, "All fields into one record, later ones win; or `concat_field`."),
    ),
    _stage(
        "map",
        "Hands on each item of a list as a record of its own. Ours; `flatten` is another name of it.",
        ConfigKey("field", FILLED, "The field that holds the list; the record itself unless said."),
        ConfigKey("keep", BOOLEAN, "The record's other fields go with each.", default=False),
    ),
    _stage(
        "send",
        "Sends a record to an address.",
        ConfigKey("url", FILLED, "The address.", read=_WORLD, required=True),
        ConfigKey("method", FILLED, "`get`, `head`, `post`, `put`, `patch`, `delete`, `options` or `trace`.", read=read_method, default="post"),
        ConfigKey("headers", one_of(_HEADERS, list_of(one_of(_HEADERS, list_of(SCALAR)))), "Headers.", read=read_headers, default=[]),
        ConfigKey("event_body", BOOLEAN, "The record is the body.", default=True),
        ConfigKey("body", ANYTHING, "Another body. Of the documents' older pages."),
        ConfigKey("params", map_of(one_of(SCALAR, list_of(SCALAR)), name="params", entry_name="parameter"), "The address's query.", default={}),
        ConfigKey("response", FILLED, "The field that the answer is handed on in; unless said, the record goes on as it came. Ours."),
        _TIMEOUT,
        written="webhook",
        with_key="url",
    ),
    _stage(
        "slack",
        "Sends a message to a channel of Slack.",
        ConfigKey("url", FILLED, "The address of the channel's incoming webhook.", read=_WORLD, required=True),
        ConfigKey("level", words("error", "warn", "info", "success"), "How it looks.", default="info"),
        ConfigKey("text", FILLED, "The message, with `{field}` for a field of the record; the record unless said. Ours."),
    ),
    _stage(
        "put_kinesis",
        "Puts a record on a stream. `kinesis` after another stage is this too.",
        ConfigKey("stream", FILLED, "The stream's name.", required=True),
        ConfigKey("partition_key", FILLED, "The field whose value chooses the shard; chance unless said."),
        *AMAZON,
    ),
    _program("javascript", "A function of Node's, in a process of its own."),
    _program(
        "python",
        "A function of Python's, in a process of its own. Ours.",
        ConfigKey("requirements", TEXT_OR_TEXTS, "What pip installs for it: packages, or a file that lists them."),
    ),
    _stage(
        "run",
        "A command that reads a record a line and writes a record a line. Ours.",
        ConfigKey("run", FILLED, "The command.", required=True),
        ConfigKey("shell", FILLED, "The shell, as of a step."),
        ConfigKey("env", map_of(TEXT, name="env", entry_name="variable"), "Variables of its environment.", default={}),
        _TIMEOUT,
    ),
    _stage(
        "uses",
        "An action that reads a record a line and writes a record a line: `owner/repo@v1`, `./path`, `docker://image`. Ours.",
        _TIMEOUT,
        written="owner/repo@v1",
        entries=ANYTHING,
    ),
)  # fmt: skip
STAGES: Final[Mapping[str, Action]] = {action.name: action for action in _STAGES}
