"""`run-name`: what to show for one run."""

from agent.errors import UsageError
from agent.flow.expressions import PLANNING, ExpressionError, evaluate_text, spending, to_text
from agent.flow.model import Flow
from agent.plan.state import RunStart

_LONGEST = 1000


def name_run(flow: Flow, request: RunStart) -> str:
    """The run's name: `run-name` evaluated; where there is none, or it is blank, the flow's title.

    Raises UsageError when it can't be evaluated.
    """
    if flow.run_name is None:
        return flow.title
    contexts = {**request.contexts, "inputs": request.inputs, "vars": request.vars}
    try:
        with spending(PLANNING):
            name = evaluate_text(to_text(flow.run_name), contexts)
    except ExpressionError as error:
        raise UsageError(
            f"the run's name can't be evaluated: {error}", where=f"{flow.file}: run-name"
        ) from None
    return " ".join(name.split())[:_LONGEST] or flow.title
