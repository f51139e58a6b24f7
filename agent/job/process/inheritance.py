"""The inherited environment, from the daemon as from `agent flow run`: what makes the machine usable, and nothing else.

A job sees the owner's paths, language, proxies, authorities and GPU settings. It sees neither `AGENT_*` nor the tokens of whoever
happened to start it (seen elsewhere: actions/runner#465). `LD_LIBRARY_PATH` is passed on: on GPU machines it is
how the owner says where CUDA lies, and only the owner can set it. `TERM` is not: a job's output is no terminal; nor is
`SSH_AUTH_SOCK`, which is the keys of the person at the desk (git of actions uses it all the same, outside of the steps).
"""

from collections.abc import Mapping

# What bounds git's search for a repository: above a job's own folder there may be somebody's, and a job is in none of these.
GIT_CEILING = "GIT_CEILING_DIRECTORIES"
_NAMES = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "LD_LIBRARY_PATH"),
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
        # Whom to trust beside the public authorities, as OpenSSL, node, requests, curl, pip, git, cargo and the AWS clients are
        # told: behind a proxy that opens TLS nothing else finds its way out, and `npm install` repeats itself for minutes.
        *(
            "SSL_CERT_FILE",
            "SSL_CERT_DIR",
            "NODE_EXTRA_CA_CERTS",
            "REQUESTS_CA_BUNDLE",
            "CURL_CA_BUNDLE",
            "PIP_CERT",
        ),
        *("GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "CARGO_HTTP_CAINFO", "AWS_CA_BUNDLE"),
    }
)
_PREFIXES = ("LC_", "CUDA_", "NVIDIA_", "NCCL_")


def scrub_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The part of `environment` that jobs inherit."""
    return {name: value for name, value in environment.items() if _is_shared(name)}


def _is_shared(name: str) -> bool:
    # Proxies are written in both cases; all other names only as they are here.
    is_proxy = name.lower().endswith("_proxy") and name.upper() in _NAMES
    return name in _NAMES or is_proxy or name.startswith(_PREFIXES)
