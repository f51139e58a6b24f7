"""Members of contexts: what each is known to have, and the paths of an expression held against it.

A path is a context and the names that an expression follows from it: `needs.build['result']` is
("needs", "build", "result"). GitHub reads a name that is not there as empty, without a word; here it is a warning, and
only where nothing that a run could do would bring the name about.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final, NamedTuple

from agent.flow.expressions import Expression, fold_case, member_paths
from agent.flow.model import OutputRead
from agent.flow.problems import Problem, Severity

Path = tuple[str, ...]

_LONGEST_NAME: Final = 50  # the search for a similar name costs time
_MOST_COMPARED: Final = 200
_MOST_NAMES: Final = 12  # of those that a hint lists
_NAME_LETTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


class Members:
    """The names that a value has, each with what is known of it in turn: None where it may have anything."""

    __slots__ = ("_absence", "_elsewhere", "_inner", "is_loose", "is_open")

    def __init__(
        self,
        names: "Mapping[str, Known]",
        absence: str,
        *,
        elsewhere: Mapping[str, tuple[str, str]] = MappingProxyType({}),
        is_open: bool = False,
        is_loose: bool = False,
    ) -> None:
        self._inner: dict[str, tuple[str, Known]] = {}
        self._absence = absence  # why a name that is not among them is empty
        # By folded name: why one that could be thought to be there is not, and what to do.
        self._elsewhere = elsewhere
        self.is_open = is_open  # there may be others
        # People ask for others and mean it: only what is nearly one of the names is a mistake.
        self.is_loose = is_loose
        for name, known in names.items():
            self.add(name, known)

    def add(self, name: str, known: "Known") -> None:
        """Let it have `name` from now on. Names differ by more than case."""
        self._inner.setdefault(fold_case(name), (name, known))

    def has(self, name: str) -> bool:
        """Whether `name` is known to be there."""
        return fold_case(name) in self._inner

    def find(self, name: str) -> "Known":
        """What is known of `name`: anything may be behind one that is not known to be there."""
        return self._inner.get(fold_case(name), ("", None))[1]

    def explain(self, name: str) -> tuple[str, str]:
        """Why `name` is not there, and what to do, or nothing."""
        return self._elsewhere.get(fold_case(name), (self._absence, ""))

    def list_names(self) -> list[str]:
        """All names, as they were written."""
        return [name for name, _ in self._inner.values()]


class DeclaredElsewhere(NamedTuple):
    """Outputs that another file declares: the flow (`is_call`) or the action behind `uses`."""

    uses: str
    is_call: bool


Known = Members | DeclaredElsewhere | None


class Missing(NamedTuple):
    """A path that leads nowhere: its last name is not among `members`, which the name before it has."""

    path: Path
    members: Members


class Declared(NamedTuple):
    """The outputs that a file declares; `is_all` where it cannot have others."""

    names: Collection[str]
    is_all: bool


def names_of(names: Iterable[str], absence: str) -> Members:
    """Members of which nothing more is known than their names."""
    return Members(dict.fromkeys(names), absence)


class Vocabulary:
    """What a language's contexts have in every flow: the members of those that are `fixed`, by context; which of these
    have more to tell where the flow around them is known (`deeper`: context and folded name); and which contexts may have
    anything (`unknowable`). Compared by identity.
    """

    __slots__ = ("_deeper", "_unknowable", "fixed")

    def __init__(
        self,
        fixed: Mapping[str, Members],
        *,
        deeper: Collection[tuple[str, str]] = (),
        unknowable: Collection[str] = (),
    ) -> None:
        self.fixed = fixed
        self._deeper = frozenset(deeper)
        self._unknowable = frozenset(unknowable)

    def is_doubtful(self, path: Path) -> bool:
        """Whether only the flow around it, or nothing at all, can bear out a path."""
        context, name = path[0], path[1]
        if context in self._unknowable:
            return False
        fixed = self.fixed.get(context)
        if fixed is None or not fixed.has(name):
            return True
        return len(path) > 2 and (context, fold_case(name)) in self._deeper


def list_doubts(expression: Expression, vocabulary: Vocabulary) -> tuple[Path, ...]:
    """The paths of an expression that the flow around it, or nothing at all, can bear out; each once."""
    return tuple(dict.fromkeys(path for path in member_paths(expression) if vocabulary.is_doubtful(path)))


def follow(known: Known, path: Path) -> Missing | tuple[DeclaredElsewhere, str] | None:
    """What is wrong with a path whose context has the members `known`; or the outside output that it reads."""
    for index, name in enumerate(path[1:], start=1):
        if known is None:
            return None
        if isinstance(known, DeclaredElsewhere):
            return known, name
        if not known.has(name):
            return None if known.is_open else Missing(path[: index + 1], known)
        known = known.find(name)
    return None


def explain_missing(missing: Missing, *, suggests: bool = True) -> tuple[str, str] | None:
    """(message, hint) for a path that leads nowhere; without `suggests` no similar name is looked for.

    None where nothing speaks for a mistake: people may well ask for names that are not there.
    """
    path, members = missing
    reason, hint = members.explain(path[-1])
    names = members.list_names() if suggests else []
    if members.is_loose and not find_close(path[-1], names):
        return None
    hint = hint or _advise(show_path(path[:-1]), path[-1], names)
    return f"`{show_path(path)}` is always empty: {reason}", hint


def check_outputs(
    reads: Iterable[OutputRead], find_declared: Callable[[OutputRead], Declared | None]
) -> list[Problem]:
    """A warning for each output that is read and that the flow or action does not declare.

    `find_declared` gives what that file declares, None where it is not at hand. An action that is a program can set
    outputs that it does not declare: there only a name that is nearly a declared one is taken for a mistake.
    """
    problems = []
    for read in reads:
        declared = find_declared(read)
        if declared is None or fold_case(read.name) in {fold_case(name) for name in declared.names}:
            continue
        prefix = read.shown.removesuffix(_show_name(read.name))
        close = find_close(read.name, declared.names)
        if declared.is_all:
            what = "flow" if read.is_call else "action"
            message = f"`{read.shown}` is always empty: the {what} '{read.uses}' declares no such output"
            problems.append(
                Problem(read.position, message, _advise(prefix, read.name, declared.names), Severity.WARNING)
            )
        elif close:
            message = f"`{read.shown}` may be empty: the action '{read.uses}' does not declare this output"
            hint = f"did you mean `{prefix}{_show_name(close)}`?"
            problems.append(Problem(read.position, message, hint, Severity.WARNING))
    return problems


def find_close(name: str, names: Collection[str]) -> str:
    """The one of `names` that is most like `name`, or nothing."""
    if len(name) > _LONGEST_NAME or len(names) > _MOST_COMPARED:
        return ""
    from difflib import get_close_matches  # most flows have nothing that is misspelt

    by_form = {_loosen(each): each for each in names}
    close = get_close_matches(_loosen(name), by_form, n=1, cutoff=0.7)
    return by_form[close[0]] if close else ""


@lru_cache(maxsize=256)
def show_path(path: Path) -> str:
    """A path as an expression would have it: `needs.build['my output']`."""
    return path[0] + "".join(_show_name(name) for name in path[1:])


def _advise(prefix: str, name: str, names: Collection[str]) -> str:
    close = find_close(name, names)
    if close:
        return f"did you mean `{prefix}{_show_name(close)}`?"
    shown = ", ".join(list(names)[:_MOST_NAMES])
    return f"known here: {shown}{', ...' if len(names) > _MOST_NAMES else ''}" if shown else ""


def _show_name(name: str) -> str:
    if name and not name[0].isdigit() and _NAME_LETTERS.issuperset(name):
        return f".{name}"
    quoted = name.replace("'", "''")
    return f"['{quoted}']"


def _loosen(name: str) -> str:
    return name.lower().replace("-", "_")
