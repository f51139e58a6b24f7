"""Registration: keys are made here, the public halves and the inventory go to the server, the token is spent.

Nothing is kept until the server said yes, and what was here before stays until then:

    keys written to STATE/identity.new  ->  POST  ->  agent.json away, keys moved into place, agent.json written

A crash in the last part leaves a machine that is not registered, never one with the keys of another registration.
"""

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from agent.asking import Answer, ask
from agent.daemon.place import claim_place, set_copied_jobs_aside
from agent.daemon.state import Registration, StateFolder
from agent.daemon.state_access import accessible
from agent.errors import AgentError, RefusedError, UsageError
from agent.ids import is_id
from agent.seal.identity import PublicIdentity, create_identity
from agent.spec.resources import Inventory, derive_labels, to_json
from agent.trees import remove_tree
from agent.wire.answers import explain_answer, explain_silence, not_ours

_PATH = "/api/v1/agents/register"
_TIMEOUT_SECONDS = 30.0
_LABEL = re.compile(r"[^\s,]{1,100}")
_ASK_FOR_ANOTHER = "make a new one with `agent server token create` on the server"


@dataclass(frozen=True, slots=True)
class RegisterOptions:
    """What the owner asks for."""

    url: str
    token: str
    name: str
    labels: tuple[str, ...] = ()
    group: str = ""
    max_jobs: int = 1
    is_ephemeral: bool = False
    is_replacing: bool = False
    work_folder: str = ""


def register(state: StateFolder, request: RegisterOptions, inventory: Inventory) -> Registration:
    """Register this machine and store who it is.

    Raises UsageError for a request that can't be right, RefusedError when this machine has a registration already or the
    server says no, UnreachableError when nobody answers, AgentError when the state can't be written. Each leaves everything as
    it was.
    """
    url = _check_request(request)
    with accessible(state), state.hold_lock():
        _check_free(state, is_replacing=request.is_replacing)
        with _new_keys(state) as (folder, public):
            answer = _post(url, _body(request, inventory, public))
            registration = _read_answer(answer, url, request)
            _keep(state, folder, registration)
    return registration


def _check_request(request: RegisterOptions) -> str:
    parts = urlsplit(request.url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise UsageError(
            f"'{request.url}' is not a server's URL", where="--url", hint="such as https://flows.example.org"
        )
    if parts.username or parts.password:
        raise UsageError("the URL holds a password", where="--url", hint="leave out what stands before the @")
    if not request.token.strip():
        raise UsageError("the registration token is empty", where="--token", hint=_ASK_FOR_ANOTHER)
    if not 1 <= request.max_jobs <= 10_000:
        raise UsageError(f"{request.max_jobs} is not a number of jobs", where="--max-jobs", hint="1 to 10000")
    for label in request.labels:
        if _LABEL.fullmatch(label) is None:
            raise UsageError(
                f"'{label}' is not a label", where="--labels", hint="no blanks, at most 100 characters"
            )
    return request.url.rstrip("/")


def _check_free(state: StateFolder, *, is_replacing: bool) -> None:
    if state.registration.exists() and not is_replacing:
        raise RefusedError(
            "this machine is registered already",
            where=str(state.registration),
            hint="`agent unregister` first, or --replace; a second agent needs a state of its own (AGENT_STATE)",
        )


@contextlib.contextmanager
def _new_keys(state: StateFolder) -> Iterator[tuple[Path, PublicIdentity]]:
    """New keys on the disk, in a folder that is gone afterwards unless it was moved."""
    folder = state.path / "identity.new"
    remove_tree(folder)
    identity = create_identity()
    try:
        identity.save(folder)
        yield folder, identity.public
    finally:
        remove_tree(folder)


def _body(request: RegisterOptions, inventory: Inventory, public: PublicIdentity) -> dict[str, object]:
    return {
        "token": request.token.strip(),
        "name": request.name,
        "labels": list(dict.fromkeys((*derive_labels(inventory), *request.labels))),
        "group": request.group,
        "max_jobs": request.max_jobs,
        "ephemeral": request.is_ephemeral,
        "replace": request.is_replacing,
        "identity": public.to_json(),
        "inventory": to_json(inventory),
    }


def _post(url: str, body: dict[str, object]) -> Any:
    import httpx

    try:
        response = ask("POST", f"{url}{_PATH}", json=body, timeout=_TIMEOUT_SECONDS)
    except httpx.HTTPError as error:
        raise explain_silence(type(error).__name__, str(error), url) from None
    except (httpx.InvalidURL, UnicodeError) as error:
        raise UsageError(f"'{url}' is not a server's URL: {error}", where="--url") from None
    if not response.is_success:
        raise _explain_refusal(url, response)
    try:
        return json.loads(response.content)
    except ValueError:
        raise not_ours(url) from None


def _explain_refusal(url: str, response: Answer) -> AgentError:
    error = explain_answer(
        response.status_code, response.headers, response.content, url, login_hint=_ASK_FOR_ANOTHER
    )
    if response.status_code == 422:
        return RefusedError(error.what, where=url, hint=error.hint)
    if response.status_code == 403:
        error.hint = error.hint or _ASK_FOR_ANOTHER
    elif response.status_code == 409:
        error.hint = error.hint or "choose another --name, or --replace that agent"
    return error


def _read_answer(answer: Any, url: str, request: RegisterOptions) -> Registration:
    values = [answer.get(key) for key in ("agent", "name", "server")] if isinstance(answer, dict) else []
    if not values or not all(isinstance(value, str) and value for value in values):
        raise not_ours(url)
    agent, name, server = (str(value) for value in values)
    if not is_id("agent", agent):
        raise not_ours(url)
    return Registration(
        agent=agent,
        server=server,
        url=url,
        name=name,
        labels=request.labels,
        group=request.group,
        max_jobs=request.max_jobs,
        is_ephemeral=request.is_ephemeral,
        work_folder=request.work_folder,
    )


def _keep(state: StateFolder, keys: Path, registration: Registration) -> None:
    set_copied_jobs_aside(state)
    state.forget_registration()
    keys.rename(state.identity)
    state.save_registration(registration)
    claim_place(state)
