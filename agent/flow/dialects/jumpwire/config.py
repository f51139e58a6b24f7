"""A stage's `config`: held against the table of its action, completed with defaults, and looked at as a whole."""

from collections.abc import Callable
from copy import deepcopy
from typing import Final

from agent.flow.dialects.jumpwire.settings import UNKNOWN, Action, ConfigKey
from agent.flow.members import find_close
from agent.flow.nodes import Mapping, Node, Scalar, key_text, plain
from agent.flow.reading import Reader

_OLDER: Final = {
    ("receive", "host"): "before 2021-09-28 a webhook had `host`; write `path`, as in `/orders`",
    ("receive", "url"): "with `url` a webhook sends",
    ("cron", "cron"): "the time is `schedule`",
    ("cron", "timezone"): "the time zone is `time_zone`",
}


def read_config(reader: Reader, action: Action, place: Node, node: Node | None) -> dict[str, object]:
    """The config of a stage with that action, complete. `place` is the action's, where there is no config."""
    if action is UNKNOWN:
        return {}
    written = _list_written(reader, node)
    config: dict[str, object] = {}
    nodes: dict[str, Node] = {}
    for name, (key, value) in written.items():
        setting = action.config.keys.get(name)
        if isinstance(setting, ConfigKey):
            nodes[name] = value
            config[name] = _read_value(reader, setting, value)
        elif action.config.entries is not None:
            config[name] = plain(value)
        else:
            _warn_of_key(reader, action, key)
    where = node if isinstance(node, Mapping) else place
    for setting in action.settings:
        if setting.name not in config:
            _complete(reader, action, setting, where, config, written)
    check = _CHECKS.get(action.name)
    if check is not None:
        check(reader, where, nodes, config)
    return config


def _list_written(reader: Reader, node: Node | None) -> dict[str, tuple[Scalar, Node]]:
    written: dict[str, tuple[Scalar, Node]] = {}
    for key, value in node.pairs if isinstance(node, Mapping) else ():
        name = key_text(key)
        if name in written:
            reader.report(key, f"'{name[:80]}' is already defined")
        written.setdefault(name, (key, value))
    return written


def _read_value(reader: Reader, setting: ConfigKey, node: Node) -> object:
    """The value, read where it has the shape that it should have."""
    before = reader.problem_count
    tidied = reader.read(node, setting.shape)
    return setting.read(reader, tidied) if reader.problem_count == before else plain(node)


def _complete(
    reader: Reader, action: Action, setting: ConfigKey, where: Node, config: dict[str, object], written: dict[str, tuple[Scalar, Node]]
) -> None:  # fmt: skip
    if setting.required:
        older = next(
            (hint for (name, key), hint in _OLDER.items() if name == action.name and key in written), ""
        )
        what = f"`{action.written}` needs `{setting.name}` in its config"
        reader.report(
            where, what, older or f"{setting.about[0].lower()}{setting.about[1:]}".removesuffix(".")
        )
    elif setting.default is not None:
        config[setting.name] = deepcopy(setting.default)


def _warn_of_key(reader: Reader, action: Action, key: Scalar) -> None:
    name = key_text(key)
    names = list(action.config.keys)
    close = find_close(name, names)
    hint = _OLDER.get((action.name, name)) or (f"did you mean `{close}`?" if close else "")
    reader.warn(
        key,
        f"{action.title} has no `{name[:80]}` in its config: it has no effect",
        hint or f"known here: {', '.join(names)}",
    )


def _check_filter(reader: Reader, where: Node, nodes: dict[str, Node], config: dict[str, object]) -> None:
    if "match" in config and "pattern" in config:
        reader.warn(nodes["pattern"], "`pattern` has no effect: `match` wins", "leave one of them out")
        del config["pattern"]
    elif "match" not in config and "pattern" not in config:
        reader.report(
            where, "`filter` needs `match` or `pattern` in its config", "a value, or a regular expression"
        )


def _check_reduce(reader: Reader, where: Node, nodes: dict[str, Node], config: dict[str, object]) -> None:
    merges = config.get("merge") is True
    if merges and "concat_field" in config:
        reader.report(
            nodes["merge"], "`reduce` has `concat_field` or `merge: true`, not both", "leave one of them out"
        )
    elif not merges and "concat_field" not in config:
        reader.report(where, "`reduce` needs `concat_field` or `merge: true` in its config")


def _check_program(reader: Reader, where: Node, nodes: dict[str, Node], config: dict[str, object]) -> None:
    if "code" in config and "file" in config:
        reader.report(nodes["file"], "the program is `code` or `file`, not both", "leave one of them out")
    elif "code" not in config and "file" not in config:
        reader.report(where, "the program is missing: `code`, or `file`")


_Check = Callable[[Reader, Node, dict[str, Node], dict[str, object]], None]
_CHECKS: Final[dict[str, _Check]] = {
    "filter": _check_filter,
    "reduce": _check_reduce,
    "javascript": _check_program,
    "python": _check_program,
}
