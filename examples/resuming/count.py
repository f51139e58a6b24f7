"""Counts to a million, and goes on where it was: a job that may be interrupted at any moment."""

import json
import os
import signal
from pathlib import Path

LAST, STEP = 1_000_000, 10_000
STATE = Path("state/count.json")
is_over = False


def end(*_: object) -> None:
    """It has to make place: the loop ends, and writes down how far it is."""
    global is_over  # noqa: PLW0603 - a signal's handler has no other way
    is_over = True


def save(number: int, total: int) -> None:
    """Under another name first, then renamed: whoever looks finds the old one or the new one, whole."""
    STATE.parent.mkdir(exist_ok=True)
    making = STATE.with_name(f"{STATE.name}.tmp")
    making.write_text(json.dumps([number, total]))
    making.replace(STATE)


signal.signal(signal.SIGTERM, end)
n, total = json.loads(STATE.read_text()) if STATE.exists() else (0, 0)
print(f"from {n}, after {os.environ.get('AGENT_RESUME_REASON') or 'nothing'}")
while n < LAST and not is_over:
    n, total = n + 1, total + n + 1
    if n % STEP == 0:
        save(n, total)
save(n, total)
print(f"{total} at {n}")
