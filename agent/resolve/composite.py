"""The steps of a composite action: nodes in, `StepSpec`s out.

Source: actions/runner `WorkflowTemplateConverter.ConvertToSteps`, `IdBuilder.cs`, `action_yaml.json`: a step has
exactly these keys, a `run` needs its `shell`, and what has no `id` is given one that begins with `__`.
"""

import re
from types import MappingProxyType

from agent.flow.expressions import ExpressionError, to_condition, to_text
from agent.flow.problems import Problem
from agent.flow.source import Mapping, Node, Scalar, Sequence, key_text, plain
from agent.spec.job import SpecStepKind, StepSpec

RUN_KEYS = frozenset({"name", "id", "if", "run", "shell", "env", "continue-on-error", "working-directory"})
USES_KEYS = frozenset({"name", "id", "if", "uses", "with", "env", "continue-on-error"})
LONGEST_ID = 99

_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_NOT_IN_ID = re.compile(r"[^A-Za-z0-9_-]")


def read_steps(steps: Sequence, problems: list[Problem]) -> tuple[StepSpec, ...]:
    """The steps in their order; what is wrong is appended to `problems`."""
    ids = _Ids(problems)
    mappings = [node for node in steps.items if _is_mapping(node, problems)]
    for node in mappings:
        ids.reserve(node)
    return tuple(_read_step(node, ids, problems) for node in mappings)


def _is_mapping(node: Node, problems: list[Problem]) -> bool:
    if isinstance(node, Mapping):
        return True
    problems.append(
        Problem(node.position, "A mapping was expected", "a step is `- run: ...` or `- uses: ...`")
    )
    return False


class _Ids:
    """Hands out the identifiers of one action's steps."""

    def __init__(self, problems: list[Problem]) -> None:
        self._problems = problems
        self._taken: set[str] = set()  # lower-case: identifiers differ by more than case

    def reserve(self, step: Node) -> None:
        """Take the identifier that the author wrote, if there is one."""
        assert isinstance(step, Mapping)
        node = step.find("id")
        written = _text(node)
        if node is None or not written:
            return
        reason = ""
        if not _ID.fullmatch(written) or len(written) > LONGEST_ID:
            reason = (
                "is invalid. IDs may only contain alphanumeric characters, '_', and '-'. IDs must start with a letter "
                "or '_' and must be less than 100 characters."
            )
        elif written.startswith("__"):
            reason = "is invalid. IDs starting with '__' are reserved."
        elif written.lower() in self._taken:
            reason = "may not be used more than once within the same scope."
        if reason:
            self._problems.append(Problem(node.position, f"The identifier '{written}' {reason}"))
        self._taken.add(written.lower())

    def generate(self, uses: str) -> str:
        """An identifier for a step without one: `__run`, `__actions_checkout`, `__run_2`."""
        base = "__" + _NOT_IN_ID.sub("_", _subject(uses))
        candidate, count = base[:LONGEST_ID], 1
        while candidate.lower() in self._taken:
            count += 1
            suffix = f"_{count}"
            candidate = base[: LONGEST_ID - len(suffix)] + suffix
        self._taken.add(candidate.lower())
        return candidate


def _subject(uses: str) -> str:
    """What a generated identifier is made of."""
    if not uses:
        return "run"
    if uses.startswith("docker://"):
        return uses.removeprefix("docker://")
    if uses.startswith("./"):
        return "self"
    if uses.startswith("$/"):
        return "selfRepository"
    segments = [segment for segment in uses.partition("@")[0].split("/") if segment]
    return "/".join(segments[:2]) if len(segments) > 1 else "run"


def _read_step(node: Node, ids: _Ids, problems: list[Problem]) -> StepSpec:
    assert isinstance(node, Mapping)
    pairs = {key_text(key): value for key, value in node.pairs}
    kind = SpecStepKind.USES if "uses" in pairs else SpecStepKind.RUN
    _check_keys(node, pairs, kind, problems)
    uses = _text(pairs.get("uses"))
    written_id = _text(pairs.get("id"))
    inputs = plain(pairs["with"]) if "with" in pairs else None
    return StepSpec(
        kind=kind,
        id=written_id or ids.generate(uses),
        name=_template(pairs.get("name")),
        condition=_read_condition(pairs.get("if"), problems),
        run=_template(pairs.get("run")),
        shell=_text(pairs.get("shell")) or None,
        working_directory=_template(pairs.get("working-directory")),
        uses=uses or None,
        with_=MappingProxyType(inputs if isinstance(inputs, dict) else {}),
        env=_template(pairs.get("env")),
        continue_on_error=_template(pairs.get("continue-on-error")) or False,
        place=str(node.position),
    )


def _check_keys(node: Mapping, pairs: dict[str, Node], kind: SpecStepKind, problems: list[Problem]) -> None:
    known = USES_KEYS if kind is SpecStepKind.USES else RUN_KEYS
    for written, _ in node.pairs:
        if key_text(written) not in known:
            hint = f"a step of a composite action knows {', '.join(sorted(known))}"
            problems.append(Problem(written.position, f"Unexpected value '{key_text(written)}'", hint))
    for key in ("uses",) if kind is SpecStepKind.USES else ("run", "shell"):
        if not _text(pairs.get(key)):
            hint = "in a composite action each `run:` names its `shell:`" if key == "shell" else ""
            place = pairs.get(key, node).position
            problems.append(Problem(place, f"Required property is missing: {key}", hint))
    for key in ("with", "env"):
        value = pairs.get(key)
        if isinstance(value, Sequence) or (
            key == "with" and isinstance(value, Scalar) and value.value is not None
        ):
            problems.append(Problem(value.position, "A mapping was expected"))


def _read_condition(node: Node | None, problems: list[Problem]) -> str:
    try:
        return to_condition(_text(node))
    except ExpressionError as error:
        assert node is not None  # no condition is always readable
        problems.append(Problem(node.position, error.message))
        return "success()"


def _template(node: Node | None) -> object:
    return None if node is None else plain(node)


def _text(node: Node | None) -> str:
    return to_text(node.value) if isinstance(node, Scalar) else ""
