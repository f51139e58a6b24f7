"""How an action speaks with its job: inputs from the environment, outputs to a file, messages to the log."""

import os
import secrets
import sys
import traceback
from collections.abc import Callable
from pathlib import Path


class StepError(Exception):
    """Something that the author of a flow can understand: what is wrong, and a hint what to do."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(f"{what}; {hint}" if hint else what)


def run(main: Callable[[], None]) -> None:
    """Run an action. An error is written as the job shows errors, and the step fails."""
    try:
        main()
    except StepError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        _fail(f"{error.strerror or error}{f' ({error.filename})' if error.filename else ''}")
    except Exception as error:  # noqa: BLE001  (whatever it is, it is our mistake, and the log shows it as one)
        if os.environ.get("RUNNER_DEBUG") == "1":
            traceback.print_exc()
        hint = "run again with debug logging to see where, and please report it"
        _fail(f"a mistake in this action: {type(error).__name__}: {error}; {hint}")


def get_input(name: str, default: str = "") -> str:
    """The input `name` without space around it, or `default` where nothing is given."""
    variable = "INPUT_" + name.replace(" ", "_").upper()
    return os.environ.get(variable, "").strip() or default


def get_flag(name: str, *, default: bool = False) -> bool:
    """The input `name` as a YAML boolean."""
    text = get_input(name, "true" if default else "false")
    if text.lower() not in {"true", "false"}:
        raise StepError(f"the input '{name}' is '{text}'", "write true or false")
    return text.lower() == "true"


def get_number(name: str, default: int, least: int, most: int) -> int:
    """The input `name` as a whole number in a range."""
    text = get_input(name, str(default))
    if not text.isascii() or not text.isdigit() or not least <= int(text[:9]) <= most:
        raise StepError(f"the input '{name}' is '{text}'", f"write a whole number from {least} to {most}")
    return int(text)


def get_choice(name: str, choices: tuple[str, ...]) -> str:
    """The input `name`, which is one of `choices`; the first is the default."""
    text = get_input(name, choices[0])
    if text not in choices:
        raise StepError(
            f"the input '{name}' is '{text}'", f"write {', '.join(choices[:-1])} or {choices[-1]}"
        )
    return text


def set_output(name: str, value: str) -> None:
    """Give the step's output `name`; outside of a job it is only printed."""
    file = os.environ.get("GITHUB_OUTPUT")
    if not file:
        say(f"{name}: {value}")
        return
    mark = f"end_{secrets.token_hex(16)}"  # nobody can write a value that ends itself
    with Path(file).open("a", encoding="utf-8") as outputs:
        outputs.write(f"{name}<<{mark}\n{value}\n{mark}\n")


def say(message: str) -> None:
    """Write a line to the log; what would begin a command there is broken up."""
    print(f" {message}" if message.lstrip().startswith(("::", "##[")) else message, flush=True)


def warn(message: str) -> None:
    """Write a warning that the job shows as an annotation."""
    print(f"::warning::{_escape(message)}", flush=True)


def workspace() -> Path:
    """The job's workspace, links followed."""
    return Path(os.environ.get("GITHUB_WORKSPACE") or Path.cwd()).resolve()


def human(size_bytes: int) -> str:
    """A size for people."""
    size, units = float(size_bytes), ["bytes", "KiB", "MiB", "GiB", "TiB"]
    while size >= 1024 and len(units) > 1:
        size /= 1024
        units.pop(0)
    return f"{size_bytes} bytes" if units[0] == "bytes" else f"{size:.1f} {units[0]}"


def _fail(message: str) -> None:
    print(f"::error::{_escape(message)}", flush=True)
    sys.exit(1)


def _escape(message: str) -> str:
    return message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
