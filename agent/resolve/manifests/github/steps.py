"""The steps of a composite action: nodes in, `StepSpec`s out.

Source: actions/runner `WorkflowTemplateConverter.ConvertToSteps`, `action_yaml.json`: a step has exactly these keys, and a
`run` needs its `shell`. Ids are `agent.flow.identifiers`'.
"""

from types import MappingProxyType

from agent.flow.expressions import ExpressionError, to_condition, to_text
from agent.flow.identifiers import StepIds, name_action
from agent.flow.problems import Problem
from agent.flow.source import Mapping, Node, Scalar, Sequence, key_text, plain
from agent.resolve.manifests.github.templates import STEP, STEP_IF, check_condition, check_template
from agent.spec.job import SpecStepKind, StepSpec

RUN_KEYS = frozenset({"name", "id", "if", "run", "shell", "env", "continue-on-error", "working-directory"})
USES_KEYS = frozenset({"name", "id", "if", "uses", "with", "env", "continue-on-error"})
_TEMPLATES = ("name", "run", "shell", "working-directory", "with", "env", "continue-on-error")


def read_steps(steps: Sequence, problems: list[Problem]) -> tuple[StepSpec, ...]:
    """The steps in their order; what is wrong is appended to `problems`."""
    ids = StepIds()
    mappings = [node for node in steps.items if _is_mapping(node, problems)]
    for node in mappings:
        _take_written(node, ids, problems)
    return tuple(_read_step(node, ids, problems) for node in mappings)


def _is_mapping(node: Node, problems: list[Problem]) -> bool:
    if isinstance(node, Mapping):
        return True
    problems.append(
        Problem(node.position, "A mapping was expected", "a step is `- run: ...` or `- uses: ...`")
    )
    return False


def _take_written(node: Node, ids: StepIds, problems: list[Problem]) -> None:
    """Take the identifier that the author wrote, if there is one."""
    assert isinstance(node, Mapping)
    identifier = node.find("id")
    written = _text(identifier)
    complaint = ids.add(written) if written else ""
    if complaint and identifier is not None:
        problems.append(Problem(identifier.position, complaint))


def _read_step(node: Node, ids: StepIds, problems: list[Problem]) -> StepSpec:
    assert isinstance(node, Mapping)
    pairs = {key_text(key): value for key, value in node.pairs}
    kind = SpecStepKind.USES if "uses" in pairs else SpecStepKind.RUN
    _check_keys(node, pairs, kind, problems)
    for key in _TEMPLATES:
        check_template(pairs.get(key), STEP, problems)
    uses = _text(pairs.get("uses"))
    written_id = _text(pairs.get("id"))
    inputs = plain(pairs["with"]) if "with" in pairs else None
    return StepSpec(
        kind=kind,
        id=written_id or ids.generate(name_action(uses)),
        name=_template(pairs.get("name")),
        condition=_read_condition(pairs.get("if"), problems),
        run=_template(pairs.get("run")),
        shell=_text(pairs.get("shell")) or None,  # a template, as nowhere else
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
        condition = to_condition(_text(node))
    except ExpressionError as error:
        assert node is not None  # no condition is always readable
        problems.append(Problem(node.position, error.message))
        return "success()"
    check_condition(node, STEP_IF, problems)
    return condition


def _template(node: Node | None) -> object:
    return None if node is None else plain(node)


def _text(node: Node | None) -> str:
    return to_text(node.value) if isinstance(node, Scalar) else ""
