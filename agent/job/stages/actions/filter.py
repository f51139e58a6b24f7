"""`filter`: drops the records of which a field matches, or passes only those (`reject_matches: false`).

`match` is the whole value, as JSON has it; `pattern` is a regular expression that is found anywhere in a text (a value that is
none is written as JSON first). Of several fields any one suffices; `match` wins over `pattern`.
"""

import json
import re
from collections.abc import Callable, Sequence
from itertools import compress

from agent.errors import AgentError
from agent.job.stages.actions.pure import PureStage
from agent.job.stages.stage import Done, StageContext, Value

_MISSING = object()


def make(context: StageContext) -> PureStage:
    """A filter. Raises AgentError when its config has neither `match` nor `pattern`, or a pattern that is none."""
    config = context.config
    named = config["field"]
    fields = [named] if isinstance(named, str) else [str(name) for name in _listed(named)]
    rejects = config.get("reject_matches", True) is not False
    if "match" in config:
        find = _match_value(fields, config["match"], rejects=rejects)
    elif "pattern" in config:
        find = _match_pattern(fields, str(config["pattern"]), rejects=rejects)
    else:
        raise AgentError("a filter needs `match` or `pattern`", where=context.name)

    def work(batch: Sequence[Value]) -> Done:
        passes = find(batch)
        if all(passes):
            return Done(batch)
        return Done(list(compress(batch, passes)), list(compress(range(len(batch)), passes)))

    return PureStage(work)


Find = Callable[[Sequence[Value]], list[bool]]  # which records pass


def _match_value(fields: Sequence[str], wanted: object, *, rejects: bool) -> Find:
    if len(fields) == 1 and isinstance(wanted, str):
        return _match_text(fields[0], wanted, rejects=rejects)

    def is_wanted(found: object) -> bool:
        # Python takes true for 1; JSON does not.
        return found == wanted and isinstance(found, bool) is isinstance(wanted, bool)

    return _match_any(fields, is_wanted, rejects=rejects)


def _match_text(field: str, wanted: str, *, rejects: bool) -> Find:
    """The usual case, quickly."""

    def find(batch: Sequence[Value]) -> list[bool]:
        try:
            if rejects:
                return [value.get(field) != wanted for value in batch]  # type: ignore[attr-defined]
            return [value.get(field) == wanted for value in batch]  # type: ignore[attr-defined]
        except AttributeError:  # a record that is no object has no field
            return [
                (isinstance(value, dict) and value.get(field) == wanted) is not rejects for value in batch
            ]

    return find


def _match_any(fields: Sequence[str], is_wanted: Callable[[object], bool], *, rejects: bool) -> Find:
    return lambda batch: [
        (isinstance(value, dict) and any(is_wanted(value.get(field, _MISSING)) for field in fields))
        is not rejects
        for value in batch
    ]


def _match_pattern(fields: Sequence[str], pattern: str, *, rejects: bool) -> Find:
    try:
        search = re.compile(pattern).search
    except (re.error, RecursionError) as error:
        raise AgentError(f"`pattern` is no regular expression: {error}") from None

    def is_found(value: object) -> bool:
        if value is _MISSING:
            return False
        return search(value if isinstance(value, str) else json.dumps(value)) is not None

    return _match_any(fields, is_found, rejects=rejects)


def _listed(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else [value]
