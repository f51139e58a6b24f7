"""Makers, one for each provider: of a workflow they make its commands, where they run, and the port that it opens.

A provider is a function of this table; what all workflows have (names, data, environment, resources) is `workflows`'.
"""

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from agent.flow.dialects.dstack.commands import find_program, install, list_setup, quote_args, quote_word
from agent.flow.dialects.dstack.data import SHOWN
from agent.flow.dialects.dstack.parts import as_written, commands_of, strip_path, version_of
from agent.flow.dialects.dstack.providers import CustomProvider
from agent.flow.expressions import has_expression
from agent.flow.reading import Reader
from agent.flow.source import Node
from agent.flow.tidied import text_of

_PORT: Final = "$PORT_0"
_LINKED: Final = "{token}"  # in what an app opens: its token, which the commands find as
_FOUND: Final = "$APP_TOKEN_0"
_PYTHON: Final = re.compile(r"[0-9]+(?:\.[0-9]+)*")
_SHELLS: Final = ("sh", "bash", "dash", "ash", "zsh")


@dataclass(frozen=True, slots=True)
class OpenedApp:
    """A port that the provider itself opens."""

    name: str
    opens: str = "/"


@dataclass(frozen=True, slots=True)
class Making:
    """A workflow as its provider reads it."""

    reader: Reader
    fields: Mapping[str, Node]
    node: Node
    gpus: int = 0  # of each machine
    custom: CustomProvider | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """What a provider makes of it."""

    commands: tuple[str, ...] = ()
    image: str = ""  # in a container of which they run; empty: on the machine
    runs_in: str = "bash"  # a shell by name, or a command line
    entrypoint: tuple[str, ...] | None = (
        None  # the image itself is run, with this before the commands (none: its own)
    )
    python: str = ""  # the version that was asked for
    app: OpenedApp | None = None
    nodes: int = 1


def _make_bash(making: Making) -> Made:
    commands = commands_of(making.fields.get("commands"))
    if "commands" in making.fields and not commands:
        making.reader.report(making.fields["commands"], "there is no command", "write `- COMMAND`")
    return _on_machine(making, commands)


def _make_python(making: Making) -> Made:
    program = _require_program(making)
    run = f"python {quote_word(program)}{quote_args(making.fields.get('args'))}"
    return _on_machine(making, [run], version="version")


def _make_torchrun(making: Making) -> Made:
    """One process for each GPU, or one, on each machine. What the first machine is called, its agents are told (docs/scheduling.md)."""
    nodes = _read_nodes(making)
    processes = f"--nproc_per_node={making.gpus or 1}"
    program = f"{quote_word(_require_program(making))}{quote_args(making.fields.get('args'))}"
    where = (
        "--standalone"
        if nodes == 1
        else "--nnodes=$AGENT_NODES --node_rank=$AGENT_NODE_RANK --master_addr=$MASTER_ADDR --master_port=$MASTER_PORT"
    )
    made = _on_machine(making, [f"torchrun {where} {processes} {program}"], version="version")
    return Made(made.commands, python=made.python, nodes=nodes)


def _make_docker(making: Making) -> Made:
    fields = making.fields
    image = text_of(fields.get("image"))
    commands = (*list_setup(fields), *commands_of(fields.get("commands")))
    words = _split_words(making, fields.get("entrypoint"))
    if not words and commands:
        return Made(commands, image=image, runs_in="sh")
    if words and words[0].rpartition("/")[2] in _SHELLS and words[-1].endswith("c"):
        kept = [word for word in words[1:] if word not in ("-i", "-c")]  # nobody types into it
        flags = [word.removesuffix("c") for word in kept if word != "-ic"]
        return Made(commands, image=image, runs_in=shlex.join([words[0], *flags, "{0}"]))
    return Made(commands, image=image, entrypoint=tuple(words))


def _make_custom(making: Making) -> Made:
    provider = making.custom
    assert provider is not None
    return Made((*list_setup(making.fields), *provider.commands), image=provider.image, runs_in="sh")


def _make_curl(making: Making) -> Made:
    url, output = text_of(making.fields.get("url")), text_of(making.fields.get("output"))
    return Made(
        (f"curl --fail --location --create-dirs --show-error --silent {quote_word(url)} -o {quote_word(output)}",)
    )  # fmt: skip


def _make_lab(making: Making) -> Made:
    return _serve_jupyter(making, "lab", "jupyterlab", "/lab")


def _make_notebook(making: Making) -> Made:
    return _serve_jupyter(making, "notebook", "notebook", "/tree")


def _serve_jupyter(making: Making, name: str, package: str, path: str) -> Made:
    options = f"--no-browser --allow-root --ip=127.0.0.1 --port={_PORT} --ServerApp.port_retries=0"
    serve = f"JUPYTER_TOKEN={_FOUND} jupyter {name} {options}"
    setup = [install((package, making.fields.get("version")))]
    made = _on_machine(making, [serve], before=setup)
    return Made(made.commands, python=made.python, app=OpenedApp(name, f"{path}?token={_LINKED}"))


def _make_code(making: Making) -> Made:
    """The editor of the machine, where there is one; else it is fetched, as it always was."""
    version = version_of(making.fields.get("version")) or "1.74.3"
    release = f"openvscode-server-v{version}-linux"
    url = f"https://github.com/gitpod-io/openvscode-server/releases/download/openvscode-server-v{version}"
    fetch = "\n".join(
        (
            "editor=$(command -v openvscode-server || true)",
            'if [ -z "$editor" ]; then',
            '  arch=$([ "$(uname -m)" = aarch64 ] && echo arm64 || echo x64)',
            f'  curl --fail --location --silent --show-error "{url}/{release}-$arch.tar.gz" | tar -xz -C "$FLOW_TEMP" || exit',
            f'  editor="$FLOW_TEMP/{release}-$arch/bin/openvscode-server"',
            "fi",
        )
    )
    serve = f'"$editor" --host 127.0.0.1 --port {_PORT} --connection-token "{_FOUND}" --default-folder "$PWD"'
    made = _on_machine(making, [serve], before=[fetch])
    app = OpenedApp("code", f"/?tkn={_LINKED}")
    return Made(made.commands, python=made.python, app=app)


def _make_ssh(making: Making) -> Made:
    wait = 'echo "ready: \\`agent run attach $RUN_NAME\\` opens a shell here"\nexec sleep infinity'
    made = _on_machine(making, [wait])
    return Made(made.commands, python=made.python)


def _make_gradio(making: Making) -> Made:
    program = _require_program(making)
    serve = f"GRADIO_SERVER_PORT={_PORT} GRADIO_SERVER_NAME=127.0.0.1 python {quote_word(program)}{quote_args(making.fields.get('args'))}"
    return _serve(making, "gradio", [install(("gradio", making.fields.get("version")))], serve)


def _make_streamlit(making: Making) -> Made:
    target = text_of(making.fields.get("target"))
    serve = (
        f"streamlit run --server.port {_PORT} --server.address 127.0.0.1 --server.headless true"
        f" --server.enableCORS false --server.enableXsrfProtection false {quote_word(target)}"
        f"{quote_args(making.fields.get('args'))}"
    )
    return _serve(making, "streamlit", [install(("streamlit", making.fields.get("version")))], serve)


def _make_fastapi(making: Making) -> Made:
    """`app` names the application; a `file` has it under the name `app`."""
    fields = making.fields
    app = text_of(fields.get("app"))
    program = find_program(fields)
    if not app and not program:
        making.reader.report(making.node, "Required property is missing: app", "write `app: module:name`")
    app = app or program.removesuffix(".py").replace("/", ".").lstrip(".") + ":app"
    serve = f"uvicorn --host 127.0.0.1 --port {_PORT} {quote_word(app)}{quote_args(fields.get('args'))}"
    setup = [install(("fastapi", fields.get("version")), ("uvicorn[standard]", fields.get("uvicorn")))]
    return _serve(making, "fastapi", setup, serve, "/docs")


def _make_tensorboard(making: Making) -> Made:
    """What its runs kept lies in a folder for each; of those with a `logdir` only this is left there."""
    logdir = strip_path(text_of(making.fields.get("logdir")) or ".")
    choose = (
        f"for run in {SHOWN}/*; do",
        '  mv "$run" "$run.all" || exit',
        f'  if [ -e "$run.all"/{quote_word(logdir)} ]; then mv "$run.all"/{quote_word(logdir)} "$run" || exit',
        f'  else echo "${{run##*/}} has kept no "{quote_word(logdir)} >&2; fi',
        '  rm -rf "$run.all"',
        "done",
    )
    setup = [install(("tensorboard", making.fields.get("version")))]
    if logdir != ".":
        setup.append("\n".join(choose))
    serve = f"tensorboard --host 127.0.0.1 --port {_PORT} --logdir {SHOWN}"
    return _serve(making, "tensorboard", setup, serve)


def _serve(making: Making, name: str, setup: Sequence[str], command: str, opens: str = "/") -> Made:
    made = _on_machine(making, [command], before=setup)
    return Made(made.commands, python=made.python, app=OpenedApp(name, opens))


def _on_machine(
    making: Making, commands: list[str], *, before: Sequence[str] = (), version: str = "python"
) -> Made:
    """Commands after those that every provider has; `version` is another key that says which Python they want."""
    fields = making.fields
    everything = (*before, *list_setup(fields), *commands)
    asked = fields.get("python") or fields.get(version)
    python = version_of(asked)
    if asked is not None and not has_expression(python) and not _PYTHON.fullmatch(python):
        making.reader.report(asked, f"'{python}' is no version of Python", "write 3.11, or 3")
    return Made(everything, python=python)


def _require_program(making: Making) -> str:
    program = find_program(making.fields)
    if not program:
        making.reader.report(making.node, "Required property is missing: file")
    return program


def _read_nodes(making: Making) -> int:
    node = making.fields.get("nodes")
    text = as_written(node) or "1"
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        making.reader.report(node or making.node, f"'{text}' is no number of machines", "write 1 to 1000")
        return 1
    return int(text)


def _split_words(making: Making, node: Node | None) -> list[str]:
    try:
        return shlex.split(text_of(node))
    except ValueError as error:
        making.reader.report(node or making.node, f"the entrypoint can't be read: {error}")
        return []


MAKERS: Final[Mapping[str, Callable[[Making], Made]]] = {
    "bash": _make_bash,
    "docker": _make_docker,
    "python": _make_python,
    "torchrun": _make_torchrun,
    "curl": _make_curl,
    "lab": _make_lab,
    "notebook": _make_notebook,
    "code": _make_code,
    "ssh": _make_ssh,
    "gradio": _make_gradio,
    "streamlit": _make_streamlit,
    "fastapi": _make_fastapi,
    "tensorboard": _make_tensorboard,
}
make_custom: Final = _make_custom
