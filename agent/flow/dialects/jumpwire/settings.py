"""The words that the table of actions is written in: a key of a config, and an action."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from agent.flow.nodes import Node, plain
from agent.flow.reading import Reader
from agent.flow.shapes import Fields, Key, Shape

ReadValue = Callable[
    [Reader, Node], object
]  # of a node of the key's shape: the value; what is wrong with it is reported


def read_plain(_reader: Reader, node: Node) -> object:
    """The value as it is written."""
    return plain(node)


class ConfigKey(Key):
    """A key of a config. `default` is what it is where it is not written; None: then it is not there."""

    __slots__ = ("default", "read")

    def __init__(
        self,
        name: str,
        shape: Shape,
        about: str,
        *,
        read: ReadValue = read_plain,
        default: object = None,
        required: bool = False,
    ) -> None:
        super().__init__(name, shape, about, required=required)
        self.read = read
        self.default = default


@dataclass(frozen=True, slots=True)
class Action:
    """Something that a stage can be."""

    name: str  # canonical
    written: str  # as files call it
    about: str
    config: Fields  # its keys are settings
    is_trigger: bool = False
    with_key: str = ""  # the key of its config that tells it from another action that is written the same

    @property
    def settings(self) -> tuple[ConfigKey, ...]:
        """The keys of its config."""
        return tuple(key for key in self.config.keys.values() if isinstance(key, ConfigKey))

    @property
    def title(self) -> str:
        """The action as people are told of it."""
        return f"`{self.written}` with `{self.with_key}`" if self.with_key else f"`{self.written}`"


UNKNOWN: Final = Action("", "", "", Fields("config"))  # of a stage whose action nobody knows
