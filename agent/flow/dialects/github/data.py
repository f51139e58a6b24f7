"""`brings` and `keeps`: our own keys of a job."""

from agent.flow.data import BroughtData, KeptData
from agent.flow.dialects.github.parts import is_expression, list_fields, list_items, template_of, text_of
from agent.flow.model import Template
from agent.flow.reading import Reader
from agent.flow.source import Mapping, Node, Scalar, Sequence

_INPUTS, _OUTPUTS = "/inputs/", "/outputs/"
_KINDS = ("job", "tag", "last", "run", "dataset", "text", "cache")


def read_brings(reader: Reader, node: Node | None, needs: tuple[str, ...]) -> tuple[BroughtData, ...]:
    """What the job is brought. One that comes from a job of the run comes from one that it waits for."""
    found = []
    for item in _items(node):
        fields = list_fields(item)
        kind = next((kind for kind in _KINDS if kind in fields), "")
        if not kind:
            continue  # reported by the table
        if kind == "job":
            _check_need(reader, fields["job"], needs)
        if kind in ("text", "cache") and "path" not in fields:
            reader.report(
                item, f"a {kind} to bring has no path", "add `path:`, the file or folder that it becomes"
            )
        found.append(_read_bring(reader, kind, fields, item))
    return tuple(found)


def read_keeps(reader: Reader, node: Node | None) -> tuple[KeptData, ...]:
    """What is kept of the job."""
    found = []
    for item in _items(node):
        fields = list_fields(item) if isinstance(item, Mapping) else {"path": item}
        kind = text_of(fields.get("as")) or "artifact"
        if "live" in fields and kind not in ("artifact", "volume"):
            reader.report(fields["live"], f"a {kind} is kept at the end", "leave `live` out")
        path = template_of(fields.get("path"), default="")
        is_folder = isinstance(path, str) and path.endswith("/")
        own, in_data = _own_path(path, _OUTPUTS)
        found.append(
            KeptData(
                kind,
                own,
                item.position,
                name=_name_text(fields) if kind == "text" else template_of(fields.get("name"), default=""),
                always=_flag(reader, fields.get("always")),
                live=_flag(reader, fields.get("live")),
                in_data=in_data,
                makes_folder=is_folder,
            )
        )
    return tuple(found)


def name_kept_outputs(node: Node | None) -> list[str]:
    """The outputs that a job has by what it keeps: texts, and datasets, whose new version it is."""
    fields = [list_fields(item) for item in _items(node)]
    texts = [str(_name_text(each)) for each in fields if text_of(each.get("as")) == "text"]
    datasets = [str(_name_text(each)) for each in fields if text_of(each.get("as")) == "dataset"]
    return [*texts, *(name.partition(":")[0] for name in datasets)]


def _name_text(fields: dict[str, Node]) -> Template:
    """The output's name: what is written, else the file's."""
    name, path = fields.get("name"), text_of(fields.get("path"))
    return path.rpartition("/")[2] if name is None else template_of(name)


def _read_bring(reader: Reader, kind: str, fields: dict[str, Node], item: Node) -> BroughtData:
    own, in_data = _own_path(template_of(fields.get("path"), default=""), _INPUTS)
    of: Template = template_of(fields[kind])
    job: Template = ""
    if kind == "last":
        own_file = item.position.file
        of, job = template_of(fields.get("flow"), default=own_file), of
    return BroughtData(
        kind,
        of,
        item.position,
        path=own,
        name=template_of(fields.get("name"), default=""),
        job=job,
        project=template_of(fields.get("project"), default=""),
        in_data=in_data,
        is_read_only=_flag(reader, fields.get("read-only")),
        is_optional=_flag(reader, fields.get("optional")) or kind == "cache",
    )


def _own_path(path: Template, folder: str) -> tuple[Template, bool]:
    """A path below `/inputs` or `/outputs` as the model has it, and whether it is one."""
    if isinstance(path, str) and path.startswith(folder):
        return path[1:], True
    return path, False


def _check_need(reader: Reader, job: Node, needs: tuple[str, ...]) -> None:
    if text_of(job) not in needs:
        reader.report(
            job,
            f"the job '{text_of(job)}' is not waited for, so that nothing of it can be brought",
            f"add it to this job's `needs`: needs: [{text_of(job)}]",
        )


def _flag(reader: Reader, node: Node | None) -> bool:
    if is_expression(node):
        assert node is not None
        reader.report(node, "expected true or false, found an expression", "this is decided before a run")
    return isinstance(node, Scalar) and node.value is True


def _items(node: Node | None) -> list[Node]:
    return list_items(node) if isinstance(node, Sequence) else []
