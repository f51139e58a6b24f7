"""Actions by the names that files have for them. Two names mean a trigger or a stage that sends: config, or what comes before, tells."""

from typing import Final

from agent.flow.dialects.jumpwire.settings import UNKNOWN, Action
from agent.flow.dialects.jumpwire.table.stages import STAGES
from agent.flow.dialects.jumpwire.table.triggers import TRIGGERS
from agent.flow.nodes import Node
from agent.flow.reading import Reader
from agent.flow.tidied import list_fields, text_of

# By the name in files, where it says which action is meant.
_NAMED: Final = {
    **{action.written: action for action in (*TRIGGERS.values(), *STAGES.values()) if not action.with_key},
    "flatten": STAGES["map"],
}
_WEBHOOK: Final = "webhook"
_KINESIS: Final = "kinesis"
KNOWN: Final = (*(name for name in _NAMED if "/" not in name), _WEBHOOK)
_MEANT: Final = {
    "receive": "`webhook` with `path` is",
    "send": "`webhook` with `url` is",
    "http": "`webhook` with `url` sends, with `path` it receives",
    "code": "`javascript` and `python` have `code`",
    "node": "`javascript` has `code`",
    "js": "`javascript` has `code`",
    "schedule": "`cron` has `schedule`",
    "hydrate": "`webhook` with `url` and `response` hands on what another system answers",
}


def list_meant(name: str) -> list[Action]:
    """The actions that a name of `KNOWN` may mean."""
    if name == _WEBHOOK:
        return [TRIGGERS["receive"], STAGES["send"]]
    return [TRIGGERS[_KINESIS], STAGES["put_kinesis"]] if name == _KINESIS else [_NAMED[name]]


def find_action(reader: Reader, node: Node | None, config: Node | None, *, has_predecessors: bool) -> Action:
    """The action of a stage; `UNKNOWN`, and reported, where there is none of that name."""
    name = text_of(node)
    if node is None or not name:
        return UNKNOWN
    if name == _WEBHOOK:
        return _choose_webhook(reader, config, has_predecessors=has_predecessors)
    if name == _KINESIS and has_predecessors:
        return STAGES["put_kinesis"]
    if "/" in name:
        return STAGES["uses"]
    if name not in _NAMED:
        hint = _MEANT.get(name.lower(), "")
        what = f"there is no action '{name[:80]}'"
        if hint:
            reader.report(node, what, hint)
        else:
            reader.report_unknown(
                node, what, name, list(KNOWN), f"known are {', '.join(KNOWN)}, and any `owner/repo@ref`"
            )  # fmt: skip
    return _NAMED.get(name, UNKNOWN)


def _choose_webhook(reader: Reader, config: Node | None, *, has_predecessors: bool) -> Action:
    fields = list_fields(config)
    if "path" in fields and "url" in fields:
        reader.report(
            fields["url"],
            "a webhook has `path` or `url`, not both",
            "with `path` it brings records in, with `url` it sends them",
        )
        return UNKNOWN
    if "path" in fields or "url" in fields:
        return TRIGGERS["receive"] if "path" in fields else STAGES["send"]
    return STAGES["send"] if has_predecessors else TRIGGERS["receive"]
