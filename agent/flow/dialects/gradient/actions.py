"""A job's action, as the one step that it becomes.

`container@v1` and `script@v1` are a container each, told its words one by one; the others are actions that this product ships.
"""

import re
from collections.abc import Mapping
from typing import Final

from agent.flow.dialects.gradient.data import JobData, Typed, name_dataset
from agent.flow.dialects.gradient.table.actions import ACTIONS
from agent.flow.dialects.gradient.values import as_text, is_secret, read_list, read_value
from agent.flow.model import Step, StepKind, Template
from agent.flow.nodes import Mapping as MappingNode
from agent.flow.nodes import Node, Scalar, Sequence
from agent.flow.reading import Reader
from agent.flow.shapes import mapping
from agent.flow.tidied import list_fields, text_of

_OWN: Final = "flow-agent"
_OWN_URL: Final = "context.event.github.url"
_STEP: Final = "action"
_FOLDER_TYPES: Final = ("volume", "dataset")
_PATH: Final = re.compile(r"/?(?P<side>inputs|outputs)/(?P<name>[^/]+)(?P<below>/.*)?")
_URL: Final = r"s3://[^/\s]+(?:/.*)?"


def read_action(reader: Reader, node: Node, job: JobData) -> Step | None:
    """The step that a job's `uses` and `with` come to; None where the action is unknown."""
    fields = list_fields(node)
    uses, given = fields.get("uses"), fields.get("with")
    if uses is None:
        return None
    known = ACTIONS.get(text_of(uses))
    if known is None:
        hint = f"a job does one of {', '.join(ACTIONS)}"
        reader.report_unknown(
            uses, f"there is no action '{text_of(uses)}'", text_of(uses), list(ACTIONS), hint
        )
        return None
    if given is None:
        given = MappingNode(node.file, uses.line, uses.column)
    told = list_fields(reader.read(given, mapping(known)))
    _check_words(reader, list_fields(given).get("args"))
    _check_script(reader, list_fields(given).get("script"))
    match text_of(uses):
        case "container@v1":
            return _make_container(reader, uses, told)
        case "script@v1":
            return _make_script(reader, uses, told)
        case "create-model@v1":
            return _make_model(reader, uses, told, job)
        case _:
            return _make_download(reader, uses, told, job)


def _make_container(reader: Reader, uses: Node, told: Mapping[str, Node]) -> Step:
    command = told.get("command")
    words = read_list(reader, command)
    if not isinstance(command, Sequence) and " " in text_of(command).strip():
        reader.warn(
            told["command"],
            f"'{text_of(command)}' is taken as the name of one program",
            "put what follows the program into `args`",
        )
    arguments = [*words[1:], *read_list(reader, told.get("args"))]
    return _make_image_step(reader, uses, told, words[0] if words else "", arguments)


def _check_words(reader: Reader, words: Node | None) -> None:
    """A lone dash or nothing is no word: YAML reads both as null."""
    for item in words.items if isinstance(words, Sequence) else []:
        if isinstance(item, Scalar) and item.value is None:
            reader.report(item, "a word of `args` is missing", 'in quotes it is there: "-", "null", ""')


def _check_script(reader: Reader, script: Node | None) -> None:
    """A number is read as text, as everywhere; it is hardly a script."""
    if isinstance(script, Scalar) and type(script.value) in (int, float):
        reader.warn(
            script,
            f"the script is a number: '{text_of(script)}' is run as a command of that name",
            "write what the image's bash runs",
        )


def _make_script(reader: Reader, uses: Node, told: Mapping[str, Node]) -> Step:
    return _make_image_step(reader, uses, told, "bash", ["-c", read_value(reader, told.get("script"))])


def _make_image_step(
    reader: Reader, uses: Node, told: Mapping[str, Node], entrypoint: Template, arguments: list[Template]
) -> Step:
    image = text_of(told.get("image"))
    if "image" in told and (is_secret(told["image"]) or re.search(r"\s|^[-/]|\$\{\{", image)):
        reader.report(
            told["image"], f"'{image}' is no image", "as in `bash:5` or `registry.example/team/train:2`"
        )
    with_: dict[str, Template] = {"args": arguments} if arguments else {}
    if entrypoint:
        with_["entrypoint"] = entrypoint
    return Step(StepKind.USES, _STEP, uses.position, uses=f"docker://{image}", with_=with_)


def _make_model(reader: Reader, uses: Node, told: Mapping[str, Node], job: JobData) -> Step:
    if "model" not in list_fields(job.inputs):
        reader.report(
            uses, "create-model@v1 has no input `model`", "add `inputs: {model: JOB.outputs.NAME}`, a dataset"
        )
    wrong = [output for name, output in job.outputs.items() if name != "model-id" or output.type != "string"]
    for output in wrong:
        reader.report(
            output.node, f"create-model@v1 makes no output '{output.name}'", "it makes `model-id`, a string"
        )
    name = told.get("name")
    called = "" if name is None else name_dataset(reader, name)[0]
    return _make_own(reader, uses, told, {"name": as_text(called), "path": "inputs/model"})


def _make_download(reader: Reader, uses: Node, told: Mapping[str, Node], job: JobData) -> Step:
    url, secret = told.get("url"), told.get("secret-access-key")
    if "access-key" in told or text_of(uses).startswith("s3-"):
        if url is not None and not is_secret(url) and not re.fullmatch(_URL, text_of(url)):
            reader.report(
                url, f"'{text_of(url)}' is no address of an S3 bucket", "as in `s3://bucket/folder/`"
            )
        if secret is not None and not is_secret(secret):
            reader.report(
                secret,
                "the secret access key stands in the file for everybody to read",
                "write `secret:NAME`",
            )
    password = told.get("password")
    if password is not None and text_of(password) and not is_secret(password):
        reader.warn(password, "the password stands in the file for everybody to read", "write `secret:NAME`")
    return _make_own(reader, uses, told, {"path": _find_target(reader, uses, told.get("path"), job)})


def _make_own(reader: Reader, uses: Node, told: Mapping[str, Node], more: Mapping[str, Template]) -> Step:
    with_ = {name: read_value(reader, value) for name, value in told.items() if name not in more}
    if text_of(told.get("url")) == _OWN_URL:
        del with_["url"]  # to the action, none is the code that the run is about
    return Step(StepKind.USES, _STEP, uses.position, uses=f"{_OWN}/{text_of(uses)}", with_={**with_, **more})


def _find_target(reader: Reader, uses: Node, path: Node | None, job: JobData) -> str:
    """Where a download goes, relative to the job's data: `outputs/NAME`, or a folder in it."""
    folders = {name: output for name, output in job.outputs.items() if output.type in _FOLDER_TYPES}
    shared = list(job.shared.values())
    if path is not None:
        return _read_target(reader, path, folders, shared)
    choices = [
        *(f"outputs/{name}" for name in folders),
        *(f"inputs/{name}" for name in shared if not folders),
    ]
    if len(choices) != 1:
        what = "no output that is a folder" if not choices else f"{len(choices)} outputs that are folders"
        hint = (
            "add `outputs: {NAME: {type: volume}}`" if not choices else "say which with `path: /outputs/NAME`"
        )
        reader.report(uses, f"{text_of(uses)} has {what} to write into", hint)
        return "outputs"
    return choices[0]


def _read_target(reader: Reader, path: Node, folders: Mapping[str, Typed], shared: list[str]) -> str:
    text = text_of(path)
    found = _PATH.fullmatch(text.rstrip("/"))
    known = [*(f"/outputs/{name}" for name in folders), *(f"/inputs/{name}" for name in shared)]
    if found is None or f"/{found['side']}/{found['name']}" not in known or ".." in text.split("/"):
        reader.report_unknown(path, f"'{text}' is in none of the folders that the job makes", text, known)
        return "outputs"
    return text.strip("/")
