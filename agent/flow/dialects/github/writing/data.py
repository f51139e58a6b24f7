"""`brings` and `keeps`: data in and out of a job, in the keys that GitHub flows have for it here."""

from agent.flow.data import BroughtData, KeptData
from agent.flow.dialects.github.writing.templates import Writer
from agent.flow.expressions import to_text
from agent.flow.model import Template

_Fields = dict[str, object]


def write_bring(writer: Writer, bring: BroughtData) -> _Fields:
    """One thing that is brought."""
    place = bring.position
    fields: _Fields = {}
    if bring.kind == "last":
        fields |= {"last": writer.write(bring.job, place), "flow": writer.write(bring.of, place)}
    else:
        fields[bring.kind] = writer.write(bring.of, place)
    for key, value in (("name", bring.name), ("project", bring.project)):
        if value:
            fields[key] = writer.write(value, place)
    if bring.path:
        fields["path"] = _write_path(writer, bring, "inputs")
    if bring.is_read_only:
        fields["read-only"] = True
    if bring.is_optional and bring.kind != "cache":
        fields["optional"] = True
    return fields


def write_keep(writer: Writer, keep: KeptData) -> _Fields:
    """One thing that is kept."""
    path = to_text(_write_path(writer, keep, "outputs"))
    fields: _Fields = {"path": f"{path}/" if keep.makes_folder and not path.endswith("/") else path}
    if keep.name:
        fields["name"] = writer.write(keep.name, keep.position)
    if keep.kind != "artifact":
        fields["as"] = keep.kind
    for key, is_so in (("always", keep.always), ("live", keep.live)):
        if is_so:
            fields[key] = True
    return fields


def _write_path(writer: Writer, data: BroughtData | KeptData, side: str) -> Template:
    path = writer.write(data.path, data.position)
    if not data.in_data:
        return path
    if not isinstance(path, str) or not path.startswith(f"{side}/"):
        writer.lose(
            data.position, f"what lies at /{path} is shared among jobs", "keep it as an output, and bring it"
        )
    return f"/{path}"
