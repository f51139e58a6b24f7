"""Runs in the paths of routes, `{run:run}`: by their number, or by their readable name, which says the same."""

from starlette.convertors import Convertor, register_url_convertor

from agent.spec.run_names import find_number

_NOBODYS = 1 << 63  # larger than any id


class RunConvertor(Convertor[int]):
    """A run's number; a name that no run can have becomes a number that none has."""

    regex = "[0-9]+|[A-Za-z]+-[A-Za-z]+-[0-9]+"

    def convert(self, value: str) -> int:
        """The number."""
        if value.isdecimal():
            return int(value)
        number = find_number(value)
        return _NOBODYS if number is None else number

    def to_string(self, value: int) -> str:
        """As addresses are written."""
        return str(value)


def register_run_paths() -> None:
    """Let routes say `{run:run}`."""
    register_url_convertor("run", RunConvertor())
