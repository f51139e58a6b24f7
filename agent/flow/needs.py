"""`needs` of a flow's jobs, read for what is wrong with them all together."""

from agent.flow.graph import find_needs_problems
from agent.flow.nodes import Mapping, key_text
from agent.flow.reading import Reader
from agent.flow.tidied import list_fields, list_items, text_of


def check_needs(reader: Reader, jobs: Mapping) -> None:
    """Report each need that is of no job or of a cycle, and a flow without a job to begin with.

    Of a job that could not be read it is not known what it needs: who needs it is not unknown.
    """
    needs = {
        key_text(key): [
            (text_of(item), item)
            for item in (list_items(list_fields(job).get("needs")) if isinstance(job, Mapping) else ())
        ]
        for key, job in jobs.pairs
    }
    for place, complaint in find_needs_problems(needs):
        reader.report(place or jobs, complaint)
