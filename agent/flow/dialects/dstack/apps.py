"""`ports`, and the port of a provider that serves: the apps of a workflow."""

import re

from agent.flow.data import App
from agent.flow.dialects.dstack.makers import OpenedApp
from agent.flow.dialects.dstack.parts import as_written
from agent.flow.model import Position
from agent.flow.reading import Reader
from agent.flow.source import Node, Sequence

_MOST_PORTS = 100


def read_apps(
    reader: Reader, node: Node | None, opened: OpenedApp | None, workflow: str, position: Position
) -> tuple[App, ...]:
    """The provider's own app first, then a port for each that is asked for: PORT_0, PORT_1, ... in this order."""
    own = [App(opened.name, position, opens=opened.opens)] if opened else []
    if isinstance(node, Sequence):
        return (*own, *(_read_port(reader, item) for item in node.items))
    if node is None:
        return tuple(own)
    text = as_written(node)
    if not text.isdecimal() or not 1 <= int(text) <= _MOST_PORTS:
        reader.report(
            node, f"'{text}' is no number of ports", f"write 1 to {_MOST_PORTS}, or a list of ports"
        )
        return tuple(own)
    count = int(text)
    stem = _name_app(workflow)
    names = [stem] if count == 1 else [f"{stem}-{number}" for number in range(count)]
    return (*own, *(App(name, node.position) for name in names))


def _name_app(workflow: str) -> str:
    """A workflow's name as an app may have it, which is part of an address."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", workflow).strip("-_")
    return name if name[:1].isalpha() else f"app-{name}".rstrip("-")


def _read_port(reader: Reader, node: Node) -> App:
    """APP or APP:LOCAL; where it is reached is the server's to say, so the second one counts for nothing."""
    text = as_written(node)
    app, colon, local = text.partition(":")
    if not (app.isdecimal() and 1 <= int(app) <= 65_535 and (local.isdecimal() or not colon)):
        reader.report(node, f"'{text}' is no port", "write APP or APP:LOCAL, such as 8501")
        return App("port", node.position)
    if colon:
        reader.warn(
            node, f"port {local} of your own machine is not opened", "the run says where the app is reached"
        )
    return App(f"port-{app}", node.position, port=int(app))
