"""What is wrong with a flow of stages is said at its place, with what to do; what is odd there is warned of."""

import pytest
from support.flows import check_flow

from agent.flow.problems import Severity

# The stage under test is the second of three, so that it has a place, a predecessor and a successor.
FRAME = "name: f\nstages:\n- {{name: in, action: manual, out: [s]}}\n- {{name: s, action: {}, config: {}}}\n"
FIRST = "name: f\nstages:\n- {{name: in, action: {}, config: {}}}\n"


def find(text: str, severity: Severity = Severity.ERROR) -> list[str]:
    return [
        f"{found.position.line}:{found.position.column}: {found.message}{f' ({found.hint})' if found.hint else ''}"
        for found in check_flow(text, "f.yml", "jumpwire")
        if found.severity is severity
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("stages: []", "1:1: Required property is missing: name"),
        ("name: f", "1:1: Required property is missing: stages"),
        ("name: f\nstages: []\njobs: {}", "3:1: Unexpected value 'jobs' (known here: name, stages)"),
        ("name: f\nstages: []", ("2:9: the flow has no trigger: nothing brings records in (one of `manual`, `webhook` with `path`, "
         "`udp`, `cron`, `kinesis`, `kinesis_consumer`, `postgresql`, `nats`, `redis`)")),
        ("name: f\nstages: {a: b}", "2:9: A mapping was not expected (expected a list)"),
        ("name: 5\nstages: [{name: a, action: manual}]", "1:7: Unexpected value '5' (in quotes it is text: '5')"),
        ("name: ''\nstages: [{name: a, action: manual}]", "1:7: Unexpected value '' (a value is missing: expected text)"),
        ("name: f\nstages: [{action: manual}]", "2:10: Required property is missing: name"),
        ("name: f\nstages: [{name: a}]", "2:10: Required property is missing: action"),
        ("name: f\nstages: [{name: a, action: manual, outs: [b]}]", "2:36: Unexpected value 'outs' (did you mean `out`?)"),
        ("name: f\nstages: [{name: a, action: manual, with: {}}]", "2:36: Unexpected value 'with' (known here: name, action, config, out)"),
        ("name: f\nstages: [{name: a, action: manual, config: }]", "2:44: Unexpected value '' (a value is missing: expected a mapping)"),
        ("name: f\nstages: [{name: a, action: manual, config: [x]}]", "2:44: A sequence was not expected (expected a mapping)"),
        ("name: f\nstages: [{name: a, action: manual, out: {b: c}}]", "2:41: A mapping was not expected (expected text or a list)"),
        ("name: f\nstages: [{name: a, action: manual, out: [1]}, {name: '1', action: noop}]",
         "2:42: Unexpected value '1' (in quotes it is text: '1')"),
        ("name: f\nstages: [5]", "2:10: Unexpected value '5'"),
    ],
)  # fmt: skip
def test_the_form_is_the_documents(text: str, complaint: str) -> None:
    assert complaint in find(text)


@pytest.mark.parametrize(
    ("stages", "complaints"),
    [
        ("- {name: a, action: manual}\n- {name: a, action: noop}",
         ["4:10: there are two stages 'a': a name is a stage's own (the other one stands in line 3)"]),
        ("- {name: a, action: manual, out: [shpe]}\n- {name: shape, action: noop}",
         ["3:35: there is no stage 'shpe' (did you mean `shape`?)",
          "4:10: nothing reaches 'shape': no stage names it in its `out`, and `noop` is no trigger (name it in the `out` of the stage that comes before it)"]),
        ("- {name: a, action: noop, out: b}\n- {name: b, action: noop}",
         [("3:1: the flow has no trigger: nothing brings records in (one of `manual`, `webhook` with `path`, "
          "`udp`, `cron`, `kinesis`, `kinesis_consumer`, `postgresql`, `nats`, `redis`)")]),
        ("- {name: t, action: manual, out: a}\n- {name: a, action: noop, out: b}\n- {name: b, action: noop, out: [c, a]}\n- {name: c, action: noop}",
         ["5:36: the stages go in a circle: a -> b -> a (records must come to an end: leave one `out` out)"]),
        ("- {name: t, action: manual}\n- {name: a, action: noop, out: [a]}",
         ["4:33: the stages go in a circle: a -> a (records must come to an end: leave one `out` out)"]),
        ("- {name: t, action: manual, out: u}\n- {name: u, action: udp, config: {port: 9}}",
         ["3:34: 'u' is a trigger (`udp`): nothing can be handed to it (a trigger stands at the beginning)"]),
        ("- {name: t, action: manual, out: u}\n- {name: u, action: webhook, config: {path: /x}}",
         ["3:34: 'u' is a trigger (`webhook` with `path`): nothing can be handed to it (a trigger stands at the beginning)"]),
        ("- {name: t, action: manual}\n- {name: a, action: noop, out: b}\n- {name: b, action: noop}",
         ["4:10: nothing reaches 'a': no stage names it in its `out`, and `noop` is no trigger (name it in the `out` of the stage that comes before it)"]),
        ("- {name: t, action: manul}\n- {name: a, action: noop}",
         ["3:21: there is no action 'manul' (did you mean `manual`?)",
          "4:10: nothing reaches 'a': no stage names it in its `out`, and `noop` is no trigger (name it in the `out` of the stage that comes before it)"]),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_graph_is_said_once(stages: str, complaints: list[str]) -> None:
    assert find(f"name: f\nstages:\n{stages}\n") == complaints


def test_a_long_circle_is_shown_with_its_ends() -> None:
    chain = "".join(f"- {{name: s{index}, action: noop, out: s{(index + 1) % 40}}}\n" for index in range(40))
    (complaint,) = find(f"name: f\nstages:\n- {{name: t, action: manual, out: s0}}\n{chain}")
    assert complaint.startswith("43:34: the stages go in a circle: s0 -> s1 -> ")
    assert "s10 -> … -> s0 " in complaint


@pytest.mark.parametrize(
    ("action", "complaint"),
    [
        ("webhok", "3:22: there is no action 'webhok' (did you mean `webhook`?)"),
        ("receive", "3:22: there is no action 'receive' (`webhook` with `path` is)"),
        ("code", "3:22: there is no action 'code' (`javascript` and `python` have `code`)"),
        ("zzz", ("3:22: there is no action 'zzz' (known are manual, udp, cron, kinesis, kinesis_consumer, postgresql, nats, redis, "
         "delay, error, noop, field_map, filter, json_decode, merge_data, zip, reduce, map, slack, put_kinesis, javascript, python, run, "
         "flatten, webhook, and any `owner/repo@ref`)")),
    ],
)  # fmt: skip
def test_an_unknown_action_is_said_with_what_may_be_meant(action: str, complaint: str) -> None:
    assert find(FIRST.format(action, "{}")) == [complaint]


@pytest.mark.parametrize(
    ("action", "config", "complaint"),
    [
        ("webhook", "{}", "3:39: `webhook` needs `path` in its config (the end of the address, as in `/orders`)"),
        ("webhook", "{host: h}", "3:39: `webhook` needs `path` in its config (before 2021-09-28 a webhook had `host`; write `path`, as in `/orders`)"),
        ("webhook", "{path: /x, url: 'http://h'}", "3:55: a webhook has `path` or `url`, not both (with `path` it brings records in, with `url` it sends them)"),
        ("webhook", "{path: 'a b'}", "3:46: 'a b' is no path of a webhook (as in `/orders`: letters, digits, `.`, `~`, `_`, `-` and `/`)"),
        ("webhook", "{path: ../x}", "3:46: '../x' is no path of a webhook (as in `/orders`: letters, digits, `.`, `~`, `_`, `-` and `/`)"),
        ("webhook", "{path: /x, methods: [PSOT]}", "3:60: there is no method 'PSOT' (did you mean `POST`?)"),
        ("udp", "{port: 99999}", "3:42: expected a whole number from 1 to 65,535, found 99999"),
        ("udp", "{port: '9'}", "3:42: Unexpected value '9' (write a number, without quotes)"),
        ("udp", "{port: 9, format: xml}", "3:53: Unexpected value 'xml' (one of json, text, base64)"),
        ("cron", "{schedule: '* * *'}", "3:47: '* * *' is no time (five fields: minute hour day month weekday)"),
        ("cron", "{schedule: ['0 0 * * *', 'x']}", "3:61: 'x' is no time (five fields: minute hour day month weekday)"),
        ("cron", "{schedule: 0 0 31 2-4/2 *}", "3:47: '0 0 31 2-4/2 *' never comes (there is no such day in these months)"),
        ("postgresql", "{url: 'postgres://h/d', tables: []}", "3:74: the list is empty (name one, or leave the key out)"),
        ("cron", "{schedule: []}", "3:47: there is no time (five fields: minute hour day month weekday)"),
        ("cron", "{cron: '0 0 * * *'}", "3:36: `cron` needs `schedule` in its config (the time is `schedule`)"),
        ("cron", "{schedule: '0 0 * * *', time_zone: Europe/Berln}", "3:71: there is no time zone 'Europe/Berln' (an IANA name, such as `Europe/Berlin` or `UTC`)"),
        ("cron", "{schedule: '0 0 * * *', time_zone: ../../etc/passwd}", "3:71: there is no time zone '../../etc/passwd' (an IANA name, such as `Europe/Berlin` or `UTC`)"),
        ("kinesis", "{stream: s}", "3:39: `kinesis` needs `cold_start` in its config (where to begin when nothing was read before: the oldest, or only new)"),
        ("kinesis", "{stream: s, cold_start: now}", "3:63: Unexpected value 'now' (one of trim_horizon, latest)"),
        ("kinesis", "{stream: s, cold_start: latest, endpoint: nowhere}", "3:81: 'nowhere' is no address (it begins with http:// or https:// and names a host)"),
        ("postgresql", "{url: 'mysql://h/d'}", "3:48: 'mysql://h/d' is no address (it begins with postgresql:// or postgres:// and names a host)"),
        ("postgresql", "{url: 'postgres://h/d', slot: A-b}", "3:72: 'A-b' is no name of a slot (at most 63 small letters, digits and `_` (PostgreSQL))"),
        ("postgresql", "{url: 'postgres://h/d', operations: [insrt]}", "3:79: Unexpected value 'insrt' (did you mean `insert`?)"),
        ("postgresql", "{url: 'postgres://h/d', most_lag: lots}", "3:76: 'lots' is not a size (bytes, or as in `2 GiB` and `500 MB`)"),
        ("nats", "{stream: s}", "3:36: `nats` needs `url` in its config (`nats://host:4222`)"),
    ],
)  # fmt: skip
def test_a_triggers_config_is_checked(action: str, config: str, complaint: str) -> None:
    assert find(FIRST.format(action, config)) == [complaint]


@pytest.mark.parametrize(
    ("action", "config", "complaint"),
    [
        ("delay", "{seconds: -1}", "expected seconds from 0 to 31,622,400, found -1"),
        ("delay", "{}", "`delay` needs `seconds` in its config (how long)"),
        ("field_map", "{convert: {a: integer}}", "nothing is converted to 'integer' (did you mean `int`?)"),
        ("field_map", "{convert: {a: date}}", "nothing is converted to 'date' (one of int, float, string, bool)"),
        ("field_map", "{rename: [a]}", "A sequence was not expected (expected a mapping)"),
        ("filter", "{field: a}", "`filter` needs `match` or `pattern` in its config (a value, or a regular expression)"),
        ("filter", "{match: a}", "`filter` needs `field` in its config (the field to look at, or many: one that matches is enough)"),
        ("filter", "{field: a, pattern: '('}", "'(' is no regular expression: missing ), unterminated subpattern at position 0 (Python's `re` reads it)"),
        ("filter", "{field: a, match: a, reject_matches: 'no'}", "Unexpected value 'no' (write true or false, without quotes)"),
        ("merge_data", "{data: [a]}", "A sequence was not expected (expected a mapping)"),
        ("zip", "{event_limit: 0}", "expected a whole number from 1 to 1,000,000, found 0"),
        ("reduce", "{}", "`reduce` needs `concat_field` or `merge: true` in its config"),
        ("reduce", "{merge: false}", "`reduce` needs `concat_field` or `merge: true` in its config"),
        ("reduce", "{merge: true, concat_field: a}", "`reduce` has `concat_field` or `merge: true`, not both (leave one of them out)"),
        ("webhook", "{}", "`webhook` needs `url` in its config (the address)"),
        ("webhook", "{url: 'ftp://h'}", "'ftp://h' is no address (it begins with http:// or https:// and names a host)"),
        ("webhook", "{url: 'http://h:x/'}", "'http://h:x/' is no address (it begins with http:// or https:// and names a host)"),
        ("webhook", "{url: 'http://h', method: psot}", "there is no method 'psot' (did you mean `post`?)"),
        ("webhook", "{url: 'http://h', headers: [[a]]}", "a header is a pair: its name, its value (as in `- {Authorization: Bearer x}`)"),
        ("webhook", "{url: 'http://h', headers: {'a b': c}}", "'a b' is no name of a header"),
        ("webhook", '{url: "http://h", headers: {a: "b\\nc"}}', "the header 'a' has more than one line"),
        ("webhook", "{url: 'http://h', timeout: 0}", "expected seconds from 0.001 to 86,400, found 0"),
        ("slack", "{url: 'http://h', level: warning}", "Unexpected value 'warning' (did you mean `warn`?)"),
        ("javascript", "{}", "the program is missing: `code`, or `file`"),
        ("python", "{code: x, file: y}", "the program is `code` or `file`, not both (leave one of them out)"),
        ("noop", "{retry: 0}", "expected a whole number from 1 to 1,000,000, found 0"),
        ("noop", "{retry: {attemps: 3}}", "Unexpected value 'attemps' (did you mean `attempts`?)"),
        ("noop", "{retry: {jitter: 2}}", "expected a number from 0 to 1, found 2"),
        ("noop", "{retry: often}", "Unexpected value 'often' (write a number, without quotes)"),
        ("noop", "{concurrency: 1.5}", "expected a whole number from 1 to 1,000, found 1.5"),
        ("noop", "{retry: 2, retry: 3}", "'retry' is already defined"),
        ("kinesis", "{partition_key: k}", "`kinesis` needs `stream` in its config (the stream's name)"),
    ],
)  # fmt: skip
def test_a_stages_config_is_checked(action: str, config: str, complaint: str) -> None:
    (found,) = find(FRAME.format(action, config))
    place, _, words = found.partition(": ")
    assert place.startswith("4:")
    assert words == complaint.replace("`kinesis` needs", "`put_kinesis` needs")


@pytest.mark.parametrize(
    ("action", "config", "complaint"),
    [
        ("filter", "{field: a, match: b, reject_matchs: false}", "4:58: `filter` has no `reject_matchs` in its config: it has no effect (did you mean `reject_matches`?)"),
        ("noop", "{x: 1}", "4:36: `noop` has no `x` in its config: it has no effect (known here: retry, concurrency)"),
        ("filter", "{field: a, match: b, pattern: c}", "4:67: `pattern` has no effect: `match` wins (leave one of them out)"),
        ("slack", "{url: 'http://h', text: '${{ a }}'}", "4:60: `${{ }}` is not of this language: it stays text (a secret is `${secret.NAME}`; what a record holds is for the stages to read)"),
        ("slack", "{url: 'http://h', text: '${ secret.A }'}", "4:60: `${ secret.A }` names no secret: it stays text (as in `${secret.API_KEY}`: letters, digits, `_` and `-`, beginning with a letter or `_`)"),
        ("slack", "{url: 'http://h', text: '${secret.1}'}", "4:60: `${secret.1}` names no secret: it stays text (as in `${secret.API_KEY}`: letters, digits, `_` and `-`, beginning with a letter or `_`)"),
        ("zip", "{}", "4:10: only one stage hands records to 's': each makes a list of one (`zip` joins the records of several stages: name it in the `out` of each)"),
        ("kinesis", "{stream: s, cold_start: latest}", "4:50: `put_kinesis` has no `cold_start` in its config: it has no effect (known here: stream, partition_key, endpoint, region, access_key, secret_key, retry, concurrency)"),
    ],
)  # fmt: skip
def test_what_is_odd_is_warned_of(action: str, config: str, complaint: str) -> None:
    text = FRAME.format(action, config)
    assert find(text) == []
    assert find(text, Severity.WARNING) == [complaint]


@pytest.mark.parametrize(
    ("action", "config", "place"), [("webhook", "{path: /x}", "/x"), ("udp", "{port: 9}", "port 9")]
)
def test_two_triggers_do_not_listen_at_one_place(action: str, config: str, place: str) -> None:
    stage = f"action: {action}, config: {config}}}"
    assert find(f"name: f\nstages:\n- {{name: a, {stage}\n- {{name: b, {stage}\n") == [
        f"4:10: 'a' and 'b' both listen at {place} (one trigger may have several `out`)"
    ]


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ('"a\\nb"', "may not hold the character U+000A, which nobody would see"),
        ('"a\\u202eb"', "may not hold the character U+202E, which nobody would see"),
        ("x" * 201, "has more than 200 characters"),
    ],
)
def test_a_name_can_be_seen_and_has_a_length(name: str, complaint: str) -> None:
    assert find(f"name: f\nstages: [{{name: {name}, action: manual}}]") == [
        f"2:17: the name of a stage {complaint}"
    ]
    assert find(f"name: {name}\nstages: [{{name: a, action: manual}}]") == [
        f"1:7: the name of a flow {complaint}"
    ]


def test_two_webhooks_without_a_path_are_told_that_alone() -> None:
    stages = "- {name: a, action: webhook, config: {}}\n- {name: b, action: webhook, config: {}}\n"
    assert [complaint.partition(" (")[0] for complaint in find(f"name: f\nstages:\n{stages}")] == [
        "3:38: `webhook` needs `path` in its config", "4:38: `webhook` needs `path` in its config",
    ]  # fmt: skip


def test_a_pattern_that_takes_long_to_make_is_refused_and_none_makes_python_warn() -> None:
    assert find(FRAME.format("filter", f"{{field: a, pattern: '{'(a|b)' * 500}'}}")) == [
        "4:57: the regular expression has more than 2,000 characters"
    ]
    assert check_flow(FRAME.format("filter", "{field: a, pattern: '[[a]'}"), "f.yml") == []


def test_of_very_many_stages_a_few_are_named() -> None:
    stages = "".join(f"- {{name: s{index}, action: manual, out: [nobody]}}\n" for index in range(300))
    assert find(f"name: f\nstages:\n{stages}")[0].endswith(", s10, s11, ...)")


def test_an_out_that_is_named_twice_counts_once() -> None:
    text = "name: f\nstages: [{name: a, action: manual, out: [b, b]}, {name: b, action: noop}]"
    assert find(text, Severity.WARNING) == ["2:45: 'b' is named twice (it gets each record once)"]


def test_other_dollars_are_text_and_nobody_is_warned_of_them() -> None:
    text = FRAME.format("slack", "{url: 'http://h', text: '${HOME} $5 ${secret.A} ${secrets.a-b}'}")
    assert check_flow(text, "f.yml") == []


def test_thousands_of_stages_are_read_in_no_time_that_grows_with_their_square() -> None:
    count = 5000
    chain = "".join(f"- {{name: s{index}, action: zip, out: s{index + 1}}}\n" for index in range(count))
    text = f"name: f\nstages:\n- {{name: t, action: manual, out: s0}}\n{chain}- {{name: s{count}, action: noop}}\n"
    assert find(text) == []
