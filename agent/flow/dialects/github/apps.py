"""`apps`: our own key of a job: ports that it opens for people, by name or as a list.

apps: {notebook: {port: 8888, opens: "/lab?token=x"}, board: 6006}
apps: [{name: notebook, opens: /lab}]        without a port the agent picks a free one: PORT_0, PORT_1, ... in the steps
"""

from agent.flow.data import App
from agent.flow.dialects.github.parts import is_expression, list_fields, list_pairs, template_of, text_of
from agent.flow.identifiers import explain_invalid
from agent.flow.reading import Reader
from agent.flow.resources import read_whole
from agent.flow.source import Mapping, Node, Scalar, Sequence, key_text

MOST_APPS = 20


def read_apps(reader: Reader, node: Node | None) -> tuple[App, ...]:
    """The apps in their order, which is that of PORT_0, PORT_1, ..."""
    if isinstance(node, Sequence):
        named = [
            (item, list_fields(item).get("name", item), item)
            for item in node.items
            if isinstance(item, Mapping)
        ]
        apps = [_read_app(reader, text_of(name), name, value) for _, name, value in named]
    else:
        apps = [_read_app(reader, key_text(key), key, value) for key, value in list_pairs(node)]
    seen: set[str] = set()
    for app, place in zip(apps, _names(node), strict=True):
        if app.name in seen:
            reader.report(place, f"two apps are called '{app.name}'")
        seen.add(app.name)
    if node is not None and len(apps) > MOST_APPS:
        reader.report(node, f"a job opens at most {MOST_APPS} apps, not {len(apps)}")
    return tuple(apps)


def _names(node: Node | None) -> list[Node]:
    if isinstance(node, Sequence):
        return [list_fields(item).get("name", item) for item in node.items if isinstance(item, Mapping)]
    return [key for key, _ in list_pairs(node)]


def _read_app(reader: Reader, name: str, place: Node, node: Node) -> App:
    complaint = explain_invalid(name) if name else ""
    if complaint:
        reader.report(place, complaint)
    if isinstance(node, Scalar):  # NAME: PORT
        return App(name, place.position, port=read_whole(reader, node, least=0, most=65_535, default=0))
    fields = list_fields(node)
    opens = fields.get("opens")
    if opens is not None and not is_expression(opens) and not text_of(opens).startswith("/"):
        reader.report(opens, f"'{text_of(opens)}' is no path", f"write /{text_of(opens)}")
    return App(
        name,
        place.position,
        port=read_whole(reader, fields.get("port"), least=0, most=65_535, default=0),
        opens=template_of(opens, default="/"),
    )
