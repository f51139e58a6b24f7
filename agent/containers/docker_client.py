"""docker-py, imported here and nowhere else: its client, its errors in our words, and how it writes things down."""

import contextlib
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from agent.containers.attach import Reach, open_unix_socket
from agent.containers.engine import EngineError, ImageError
from agent.containers.gpu_devices import MAKE_CDI_DEVICES
from agent.errors import AgentError, UnreachableError, UsageError

_CALL_SECONDS = 120
_BAD_REQUEST = 400
_BUILDKIT = "2"  # what the engine's API calls it
_BUILDKIT_SINCE = (1, 41)  # of the API: Docker 20.10
# What an engine says when asking it again will not help; the first three it says with the code of a broken server.
_FINAL = ("unauthorized", "denied", "no basic auth", "not found", "manifest unknown", "invalid reference")

_NO_TOOLKIT = (
    "the container engine can't give GPUs to containers: it does not know the NVIDIA container toolkit; "
    "install nvidia-container-toolkit, run `nvidia-ctk runtime configure --runtime=docker` and restart the engine"
)
_NO_CDI_DEVICE = "the container engine knows no CDI device of this job's GPUs"


def connect_client(address: str, reach: Reach | None = None, logins: Mapping[str, Any] | None = None) -> Any:
    """A client of the engine at `address`. `reach`, `logins`: see DockerEngine.connect. Raises UnreachableError.

    docker-py's own way to find the version ("auto") leaves a connection open when the answer is none.
    """
    from docker.errors import DockerException
    from requests.exceptions import RequestException

    try:
        with contextlib.closing(_make_client(address, reach)) as asking:
            version = _read_api_version(asking.version(api_version=False))
        client = _make_client(address, reach, version)
    except (DockerException, RequestException, OSError) as error:
        raise UnreachableError(
            f"the container engine does not answer: {_last_cause(error)}", where=address
        ) from None
    if reach is not None:
        _set_logins(client, logins or {})
    return client


def _make_client(address: str, reach: Reach | None, version: str = "") -> Any:
    """A client that has no connection yet, for a version of the API (default: the oldest); those to a socket `reach` gives."""
    from docker.api.client import APIClient
    from docker.constants import MINIMUM_DOCKER_API_VERSION

    make: Any = APIClient
    client = make(base_url=address, version=version or MINIMUM_DOCKER_API_VERSION, timeout=_CALL_SECONDS)
    parts = urlsplit(address)
    if parts.scheme == "unix":
        client.mount(
            "http+docker://", _make_adapter(reach or partial(open_unix_socket, parts.path, _CALL_SECONDS))
        )
    return client


def _make_adapter(reach: Reach) -> Any:
    """What has docker-py speak over connections that `reach` gives: over its own it loses the socket of one that is refused."""
    from docker.transport.unixconn import UnixHTTPAdapter, UnixHTTPConnection, UnixHTTPConnectionPool

    class Connection(UnixHTTPConnection):
        def connect(self) -> None:
            self.sock = reach()
            self.sock.settimeout(self.timeout)

    connection: Any = Connection

    class Pool(UnixHTTPConnectionPool):
        def _new_conn(self) -> Any:
            return connection(self.base_url, self.socket_path, self.timeout)

    pool: Any = Pool

    class Adapter(UnixHTTPAdapter):
        def get_connection(self, url: str, proxies: Any = None) -> Any:  # noqa: ARG002 - as the one that it replaces
            with self.pools.lock:
                found = self.pools.get(url)
                if found is None:
                    found = self.pools[url] = pool(
                        url, self.socket_path, self.timeout, maxsize=self.max_pool_size
                    )
            return found

    adapter: Any = Adapter
    return adapter("", _CALL_SECONDS)


def _read_api_version(found: Any) -> str:
    """What an engine says of itself. Raises DockerException when that is nothing."""
    from docker.errors import DockerException

    try:
        return str(found["ApiVersion"])
    except (KeyError, TypeError):
        raise DockerException("its answer names no version") from None


def _set_logins(client: Any, logins: Mapping[str, Any]) -> None:
    """Have `client` use `logins`, a `config.json`, in the place of this user's file: docker-py has no public word for it."""
    from docker.auth import AuthConfig

    kind: Any = AuthConfig
    client._auth_configs = kind.load_config(None, dict(logins)) if logins else kind({})  # noqa: SLF001


def ask_version(address: str) -> str:
    """What answers at `address`, and in which version: `Docker 27.1`. Raises AgentError."""
    with contextlib.closing(_make_client(address, None)) as client:
        found = translated(lambda: client.version(api_version=False))
    name = (found.get("Platform") or {}).get("Name") or "the container engine"
    return f"{name} {found.get('Version', '')}".strip()


def connect_builder(client: Any, address: str, reach: Reach | None = None) -> Any:
    """A client of its own for one build: by BuildKit where the engine behind `client` has it, else by the classic builder.

    docker-py has no word for it; the engine's API has: `version=2` in the query. An engine says which builder is its
    own; one that says nothing leaves it to its clients. Raises UnreachableError.
    """
    builder = connect_client(address, reach)
    if reach is not None:
        builder._auth_configs = client._auth_configs  # noqa: SLF001 - see _set_logins
    said = client.get(f"{client.base_url}/_ping").headers.get("Builder-Version", "")
    has_it = tuple(map(int, client.api_version.split("."))) >= _BUILDKIT_SINCE
    if said == _BUILDKIT or (not said and has_it):
        builder.params = {"version": _BUILDKIT}
    return builder


def count_oom_events(client: Any, container: str, *, until: str, known: int) -> int:
    """The engine's `oom` events of a container until a time (seconds since the epoch), or until there are more than `known`."""
    wanted = {"container": [container], "event": ["oom"]}
    events = client.events(since="1", until=until, filters=wanted, decode=True)
    count = 0
    try:
        for _event in events:
            count += 1
            if count > known and float(until) > time.time():
                break  # the rest of a wait that has had its answer
    finally:
        events.close()
    return count


def translated(call: Callable[[], Any]) -> Any:
    """`call`'s result, its errors in our words."""
    from docker.errors import APIError, DockerException, ImageNotFound
    from requests.exceptions import RequestException

    try:
        return call()
    except ImageNotFound as error:
        raise ImageError(str(error.explanation or error)) from None
    except APIError as error:
        if error.status_code == _BAD_REQUEST:
            raise UsageError(f"the container engine refuses: {error.explanation}") from None
        raise describe_failure(str(error.explanation or error)) from None
    except DockerException as error:
        raise EngineError(str(error)) from None
    except (RequestException, OSError) as error:
        raise UnreachableError(f"the container engine does not answer: {_last_cause(error)}") from None


def describe_failure(said: str) -> AgentError:
    """An engine's complaint as an error."""
    lower = said.lower()
    if "could not select device driver" in lower and "gpu" in lower:
        return EngineError(_NO_TOOLKIT)
    if "unresolvable cdi devices" in lower or 'could not select device driver "cdi"' in lower:
        return EngineError(f"{_NO_CDI_DEVICE} ({said}); {MAKE_CDI_DEVICES}")
    if "address pool" in lower:
        return EngineError(said, hint="remove networks that nobody uses: docker network prune")
    if any(word in lower for word in _FINAL) and "no such container" not in lower:
        return ImageError(said)
    return EngineError(said)


def _last_cause(error: BaseException) -> str:
    """The engine's own words, or the innermost reason, which is the one that says something."""
    if said := getattr(error, "explanation", None):
        return str(said)
    while isinstance(error.args[-1] if error.args else None, BaseException):
        error = error.args[-1]
    return getattr(error, "strerror", None) or str(error)


def split_tag(image: str) -> tuple[str, str]:
    """(name, tag or digest); `latest` where none is written, for no tag means all of them to the engine."""
    name, _, digest = image.partition("@")
    head, slash, last = name.rpartition("/")
    last, _, tag = last.partition(":")
    return head + slash + last, digest or tag or "latest"


def read_env(found: Mapping[str, Any]) -> dict[str, str]:
    """The environment of an image or a container, as the engine describes it."""
    pairs = (found.get("Config") or {}).get("Env") or []
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}
