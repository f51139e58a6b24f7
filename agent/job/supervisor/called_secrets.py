"""The secrets of a job of a called flow: what each call on the way to it makes of its caller's."""

from collections.abc import Mapping

from agent.flow.expressions import RUNNING, evaluate_template, spending, to_text
from agent.job.output.masking import Masker
from agent.spec.job import JobSpec


def hand_on_secrets(
    spec: JobSpec, secrets: Mapping[str, str], own_token: str, masker: Masker
) -> dict[str, str]:
    """The job's `secrets` context, made from that of the run; what comes about on the way is masked too.

    The secret `own_token` every job has, whatever its caller says. Raises ExpressionError when a `secrets:` can't be evaluated.
    """
    handed = dict(secrets)
    for caller in spec.callers:
        contexts = {**caller.contexts, "secrets": handed}
        with spending(RUNNING):
            written = evaluate_template(caller.secrets, contexts)
        assert isinstance(written, Mapping)
        token = {own_token: handed[own_token]} if own_token in handed else {}
        handed = {**token, **{str(name): to_text(value) for name, value in written.items()}}
        for value in handed.values():
            masker.add(value)
    return handed
