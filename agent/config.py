"""Settings, read once: a flag wins over the environment (`AGENT_*`), over the config file, over the default.

Every setting is a row of `SETTINGS`; `agent doctor` prints each with the place that its value came from.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.errors import UsageError
from agent.user_folders import own_config_folder, user_folder


@dataclass(frozen=True, slots=True)
class Setting:
    """One thing that can be set: its key in the config file, its variable, its default, and what it means."""

    key: str
    variable: str
    default: str
    meaning: str


SETTINGS: tuple[Setting, ...] = (
    Setting("url", "AGENT_URL", "", "the server, such as https://flows.example.org"),
    Setting("token", "AGENT_TOKEN", "", "your access token for the server's API"),
    Setting("project", "AGENT_PROJECT", "", "the project that commands are about (default: default)"),
    Setting("registration_token", "AGENT_REGISTRATION_TOKEN", "", "the token that `agent register` spends"),
    Setting("state", "AGENT_STATE", "", "this agent's identity and jobs (default: by user, see docs/cli.md)"),
    Setting("work_dir", "AGENT_WORK_DIR", "", "workspaces, tools and fetched actions (default: STATE/work)"),
    Setting(
        "run_as", "AGENT_RUN_AS", "", "the user that jobs run as (default: the agent's own, docs/security.md)"
    ),
    Setting(
        "gpu_share",
        "AGENT_GPU_SHARE",
        "",
        "which GPUs the agent offers: all, none, or numbers and UUIDs with commas (default: what it was started with, docs/gpu-shares.md)",
    ),
    Setting(
        "gpu_strangers",
        "AGENT_GPU_STRANGERS",
        "withhold",
        "what becomes of a GPU on which somebody else computes: `withhold` it from jobs, or `allow` them beside",
    ),
    Setting(
        "executor", "AGENT_EXECUTOR", "local", "who runs this agent's jobs: local, or slurm (docs/slurm.md)"
    ),
    Setting(
        "slurm_partitions",
        "AGENT_SLURM_PARTITIONS",
        "",
        "the partitions that jobs may choose among, the usual one first (default: Slurm's default)",
    ),
    Setting(
        "slurm_options",
        "AGENT_SLURM_OPTIONS",
        "",
        "options of sbatch for every job, such as --account=lab --qos=normal",
    ),
    Setting(
        "actions_url",
        "AGENT_ACTIONS_URL",
        "https://github.com/{owner}/{repo}",
        "where `uses:` looks, in order",
    ),
    Setting("actions_limit", "AGENT_ACTIONS_LIMIT", "20 GiB", "what the store of fetched actions may hold"),
    Setting(
        "kept_limit",
        "AGENT_KEPT_LIMIT",
        "20 GiB",
        "what this machine may hold of what its jobs kept, for jobs to come",
    ),
    Setting(
        "policy",
        "AGENT_POLICY",
        "",
        "what this machine lets jobs have (default: STATE/policy.toml, docs/policy.md)",
    ),
    Setting(
        "git_config",
        "AGENT_GIT_CONFIG",
        "",
        "the git configuration with which this agent's jobs fetch actions (default: STATE/gitconfig)",
    ),
    Setting(
        "container_allow",
        "AGENT_CONTAINER_ALLOW",
        "",
        "what containers may have of this machine, in words (docs/policy.md)",
    ),
    Setting(
        "snapshot_limit",
        "AGENT_SNAPSHOT_LIMIT",
        "200 MB",
        "from which size of its files on `agent flow submit` asks before it sends a snapshot",
    ),
    Setting("node20", "AGENT_NODE20", "", "the node 20 executable for actions"),
    Setting("node24", "AGENT_NODE24", "", "the node 24 executable for actions"),
    Setting(
        "hook_job_started",
        "ACTIONS_RUNNER_HOOK_JOB_STARTED",
        "",
        "the owner's script (.sh or .ps1) before each job",
    ),
    Setting(
        "hook_job_completed", "ACTIONS_RUNNER_HOOK_JOB_COMPLETED", "", "the owner's script after each job"
    ),
    Setting("listen", "AGENT_LISTEN", "127.0.0.1:8420", "where `agent server` listens"),
    Setting("data", "AGENT_DATA", "", "the server's data folder (default: by user, see docs/cli.md)"),
    Setting(
        "blobs_url", "AGENT_BLOBS_URL", "", "where the server's bulk bytes lie (default: in its data folder)"
    ),
    Setting(
        "outside_hosts",
        "AGENT_OUTSIDE_HOSTS",
        "",
        "hosts, networks and folders that are not public and whose repositories the server may read",
    ),
    Setting(
        "public_code",
        "AGENT_PUBLIC_CODE",
        "*",
        "hosts whose public repositories the server hands on to jobs, `*` for any; `no`: none",
    ),
    Setting("public_url", "AGENT_PUBLIC_URL", "", "the server's address as agents and people reach it"),
    Setting(
        "peer_url",
        "AGENT_PEER_URL",
        "",
        "where the other servers reach this one, of several on one database (default: where it listens)",
    ),
    Setting("attach", "AGENT_ATTACH", "yes", "whether people may attach to running jobs: yes or no"),
    Setting(
        "apps_url",
        "AGENT_APPS_URL",
        "",
        "where people find apps of jobs, such as https://*.apps.example.org; `no`: nowhere (default: docs/apps.md)",
    ),
    Setting(
        "trusted_proxies",
        "AGENT_TRUSTED_PROXIES",
        "",
        "networks of the proxies in front of the server, whose word on who asks is believed (default: none)",
    ),
    Setting(
        "proxy_header",
        "AGENT_PROXY_HEADER",
        "X-Forwarded-For",
        "by which they say it: X-Forwarded-For (with X-Forwarded-Proto), or Forwarded",
    ),
    Setting(
        "database_url",
        "AGENT_DATABASE_URL",
        "",
        "PostgreSQL, for several servers at once (default: the file DATA/flow.db)",
    ),
    Setting("database_pool", "AGENT_DATABASE_POOL", "16", "connections of one server to PostgreSQL"),
    Setting(
        "metrics",
        "AGENT_METRICS",
        "",
        "who sees /metrics: a token of its own, or `open` for all (default: admins)",
    ),
    Setting("oidc_issuer", "AGENT_OIDC_ISSUER", "", "the OpenID Connect provider that people may sign in at"),
    Setting("oidc_client_id", "AGENT_OIDC_CLIENT_ID", "", "what the server is called there"),
    Setting("oidc_client_secret", "AGENT_OIDC_CLIENT_SECRET", "", "and its secret"),
    Setting("oidc_name", "AGENT_OIDC_NAME", "", "what people know the provider by"),
    Setting("oidc_domains", "AGENT_OIDC_DOMAINS", "", "mail domains that may sign in (default: any)"),
    Setting("oidc_claim", "AGENT_OIDC_CLAIM", "groups", "the claim that gives roles"),
    Setting("oidc_roles", "AGENT_OIDC_ROLES", "", "roles by its values: GROUP=PROJECT:ROLE ..."),
    Setting(
        "master_key",
        "AGENT_MASTER_KEY",
        "",
        "the key that secrets are encrypted under (default: DATA/master.key)",
    ),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """Values by key, and where each came from (`flag`, `AGENT_X`, the config file's path, `default`)."""

    values: Mapping[str, str]
    origins: Mapping[str, str]

    def __getitem__(self, key: str) -> str:
        return self.values[key]

    @property
    def state_folder(self) -> Path:
        """Where this machine's agent keeps its identity and its jobs."""
        return Path(self["state"]) if self["state"] else user_folder("agent")

    @property
    def work_folder(self) -> Path:
        """Where jobs work, and where tools and fetched actions are kept."""
        return Path(self["work_dir"]) if self["work_dir"] else self.state_folder / "work"

    @property
    def actions_limit_bytes(self) -> int:
        """What the store of fetched actions may hold. Raises UsageError when it is not a size."""
        return read_size(self["actions_limit"], self.origins["actions_limit"])

    @property
    def kept_limit_bytes(self) -> int:
        """What this machine may hold of what its jobs kept. Raises UsageError when it is not a size."""
        return read_size(self["kept_limit"], self.origins["kept_limit"])

    @property
    def policy_file(self) -> Path:
        """The owner's rules for jobs on this machine, whether the file exists or not."""
        return Path(self["policy"]) if self["policy"] else self.state_folder / "policy.toml"

    @property
    def git_config(self) -> Path:
        """The git configuration for the agent's jobs, whether the file exists or not."""
        return Path(self["git_config"]) if self["git_config"] else self.state_folder / "gitconfig"

    @property
    def data_folder(self) -> Path:
        """Where the server keeps its database, blobs and keys."""
        return Path(self["data"]) if self["data"] else user_folder("server")

    @property
    def container_allow(self) -> tuple[str, ...]:
        """The words that say what containers may have of this machine."""
        return tuple(self["container_allow"].split())

    @property
    def actions_urls(self) -> tuple[str, ...]:
        """The URL templates of `uses:` repositories, in the order in which they are tried."""
        return tuple(self["actions_url"].split())


def load_settings(flags: Mapping[str, str | None] | None = None) -> Settings:
    """The settings of this process. `flags` holds what was said on the command line; None counts as not said.

    Raises UsageError when the config file is not valid or has an unknown key.
    """
    file = config_file()
    written = _read_config(file)
    values: dict[str, str] = {}
    origins: dict[str, str] = {}
    for setting in SETTINGS:
        flag = (flags or {}).get(setting.key)
        environment = os.environ.get(setting.variable)
        if flag is not None:
            values[setting.key], origins[setting.key] = flag, "flag"
        elif environment is not None:
            values[setting.key], origins[setting.key] = environment, setting.variable
        elif setting.key in written:
            values[setting.key], origins[setting.key] = written[setting.key], str(file)
        else:
            values[setting.key], origins[setting.key] = setting.default, "default"
    return Settings(values, origins)


def config_file() -> Path:
    """The config file's path, whether it exists or not: `AGENT_CONFIG`, else the user's, else the machine's."""
    named = os.environ.get("AGENT_CONFIG")
    if named:
        return Path(named)
    folder = own_config_folder()
    machine = Path("/etc/flow-agent/config.toml")
    if folder is None:
        return machine
    own = folder / "config.toml"
    # One in somebody else's folder, which can't be looked at, is none.
    return own if os.path.exists(own) or not os.path.exists(machine) else machine  # noqa: PTH110 - Path's raises


def bundled(name: str) -> Path:
    """A folder that is shipped beside the code (`actions`, `examples`, `install`, `systemd`)."""
    installed = Path(__file__).parent / "_bundled" / name
    return installed if installed.is_dir() else Path(__file__).parent.parent / name


def read_size(text: str, where: str) -> int:
    """The bytes that `text` says: `20 GiB`, `500MB`, `4096`. Raises UsageError, naming `where`, when it is not a size."""
    match = re.fullmatch(r"(\d{1,15}) ?(?:([KMGT])(i?)B?|B)?", text.strip(), re.IGNORECASE | re.ASCII)
    if match is None:
        raise UsageError(f"'{text}' is not a size", where=where, hint="write it as 20 GiB or 500 MB")
    number, unit, is_binary = match.groups()
    base = 1024 if is_binary else 1000
    power = " KMGT".index(unit.upper()) if unit else 0
    return int(int(number) * base**power)


def _read_config(file: Path) -> dict[str, str]:
    try:
        text = file.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return {}
    except UnicodeDecodeError as error:
        raise UsageError(f"the config file is not UTF-8 text: {error}", where=str(file)) from None
    import tomllib

    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"the config file is not valid TOML: {error}", where=str(file)) from None
    known = {setting.key for setting in SETTINGS}
    for key, value in data.items():
        if key not in known:
            raise UsageError(
                f"unknown setting '{key}'", where=str(file), hint=f"known are {', '.join(sorted(known))}"
            )
        if not isinstance(value, str):
            raise UsageError(
                f"setting '{key}' is not text", where=str(file), hint='write it in quotes: key = "value"'
            )
    return data
