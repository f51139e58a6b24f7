"""The origins of apps of jobs in browsers: each on a host of its own, and none of them ours.

An origin is scheme, host and port; cookies know hosts only. So an app is told apart by its host: `LABEL.localhost` where a
server is used on its own machine (browsers take each such name for the machine itself), else what the operator says, such as
`https://*.apps.example.org`. A label is `NAME-PLACE-JOB`: the app's name for people, its place in the job, and the job's id.
"""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from agent.errors import UsageError
from agent.server.process.own_url import is_host

NO_APPS = "no"  # the setting that switches them off

_LABEL = re.compile(r"(?:[a-z0-9-]{1,30}-)?(?P<place>[0-9]{1,3})-(?P<digits>[0-9a-hjkmnp-tv-z]{20})")
_NAME_CHARACTERS = 30


@dataclass(frozen=True, slots=True)
class AppsOrigin:
    """`domain` is what a label stands before: `apps.example.org`; `port` is empty where browsers leave it out."""

    scheme: str
    domain: str
    port: str = ""

    def url_of(self, label: str) -> str:
        """The origin of the app with that label."""
        return f"{self.scheme}://{label}.{self.domain}" + (f":{self.port}" if self.port else "")

    def find_label(self, host: str) -> str | None:
        """The label in a request's `Host`; empty for one that no app has; None when the request is not for apps."""
        name = host.rpartition(":")[0] if re.search(r":[0-9]*$", host) else host
        name = name.lower().rstrip(".")
        if not name.endswith(f".{self.domain}"):
            return None
        label = name.removesuffix(f".{self.domain}")
        return label if _LABEL.fullmatch(label) else ""


def make_label(job: str, place: int, name: str) -> str:
    """The label of the app at `place` in `job`."""
    shown = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:_NAME_CHARACTERS].strip("-")
    return f"{shown}-{place}-{job.removeprefix('job_')}".lstrip("-")


def read_label(label: str) -> tuple[str, int]:
    """The job, and the app's place in it. Raises ValueError for what is no label."""
    match = _LABEL.fullmatch(label)
    if match is None:
        raise ValueError("no app has this label")
    return f"job_{match['digits']}", int(match["place"])


def read_apps_origin(setting: str, own_url: str) -> AppsOrigin | None:
    """The origin that the operator says; without a word, for a server at a loopback address, `*.localhost`.

    None: there is none. `own_url` is where people find the server. Raises UsageError.
    """
    own = urlsplit(own_url)
    if setting == NO_APPS:
        return None
    if not setting:
        if not _is_loopback(own.hostname or ""):
            return None
        return AppsOrigin(own.scheme, "localhost", str(own.port or ""))
    scheme, _, rest = setting.rstrip("/").partition("://")
    star, _, host = rest.partition(".")
    if scheme not in ("http", "https") or star != "*" or not is_host(host) or host.startswith("["):
        raise UsageError(
            "this is no address for apps",
            where=f"AGENT_APPS_URL: {setting[:200]}",
            hint="such as https://*.apps.example.org, or `no` to have none",
        )
    name, _, port = host.lower().partition(":")
    if (own.hostname or "").endswith(f".{name}") or own.hostname == name:
        raise UsageError(
            "the server's own pages lie among the hosts of apps, which may not share anything with them",
            where=f"AGENT_APPS_URL: {setting[:200]}",
            hint=f"another domain than that of {own_url}: best one of its own, at least apps.{name}",
        )
    return AppsOrigin(scheme, name, port)


def _is_loopback(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
