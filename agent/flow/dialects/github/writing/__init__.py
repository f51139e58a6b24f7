"""A flow of the model, whatever its language, written in GitHub's: an equal one, or the list of what has none there.

`flow.py` writes the file, `jobs.py`, `steps.py`, `data.py` and `triggers.py` its parts, `templates.py` the expressions in them.
"""

from agent.flow.dialects.github.writing.flow import write_flow

__all__ = ["write_flow"]
