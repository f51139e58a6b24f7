"""The label `ubuntu-latest`, its owner's to give: whether this machine lends itself to jobs that were written for GitHub's."""

import sys

from agent.machine.platform import find_os_version, find_platform
from agent.spec.labels import find_difference

LABEL = "ubuntu-latest"


def lend(labels: tuple[str, ...], asked: bool | None, *, may_ask: bool) -> tuple[str, ...]:  # noqa: FBT001 - a flag's value
    """`labels`, with `ubuntu-latest` where the owner wishes so. None: ask, where somebody sits at a terminal; else no."""
    if LABEL in (label.lower() for label in labels):
        return labels
    if asked is None:
        asked = (
            may_ask
            and find_platform().os == "Linux"
            and sys.stdin.isatty()
            and sys.stderr.isatty()
            and _ask()
        )
    return (*labels, LABEL) if asked else labels


def _ask() -> bool:
    """No is the answer to silence: jobs that nobody expected are worse than jobs that wait and say why."""
    difference = find_difference(LABEL, find_platform(), find_os_version)
    about = f" ({difference.partition(': ')[2].partition(';')[0]})" if difference else ""
    sys.stderr.write(
        f"Flows written for GitHub ask for {LABEL}{about}.\nLend this machine to their jobs? [y/N] "
    )
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
