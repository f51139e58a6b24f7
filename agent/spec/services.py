"""Services around a job, as GitHub's own clients hear of them: names of variables, and of the tokens sealed beside its secrets.

Source: actions/toolkit `packages/{artifact,cache,core}`; actions/runner `NodeScriptActionHandler.cs`, `ScriptHandler.cs`.
"""

from collections.abc import Mapping

from agent.spec.conventions import ID_TOKEN, RUNTIME_TOKEN

ID_TOKEN_PERMISSION = "id-token"  # noqa: S105 - a name
ID_TOKEN_PATH = "/_apis/id-token"  # noqa: S105 - a path


def describe_services(url: str, token: str) -> Mapping[str, str]:
    """Variables of actions, and of no `run:` step: where artifacts and caches are."""
    base = url.rstrip("/") + "/"  # the client of caches puts its paths right behind it
    return {
        "ACTIONS_RUNTIME_URL": base,
        "ACTIONS_RESULTS_URL": base,
        "ACTIONS_CACHE_URL": base,
        "ACTIONS_CACHE_SERVICE_V2": "True",
        RUNTIME_TOKEN: token,
    }


def describe_id_tokens(url: str, token: str) -> Mapping[str, str]:
    """Variables of all steps of a job that may prove itself to others. Clients put `&audience=` behind the address."""
    return {
        "ACTIONS_ID_TOKEN_REQUEST_URL": f"{url.rstrip('/')}{ID_TOKEN_PATH}?api-version=2.0",
        ID_TOKEN: token,
    }


def describe_flow(contexts: Mapping[str, Mapping[str, object]]) -> Mapping[str, str]:
    """Of the claims of such a token those that a job's contexts alone have: the flow's name, and a request's own branch."""
    github = contexts.get("github", {})
    return {name: str(github.get(name) or "") for name in ("workflow", "head_ref")}


def asks_for_id_tokens(permissions: Mapping[str, str] | None) -> bool:
    """Whether a job with these permissions may prove itself to others: nobody may who does not say so."""
    return (permissions or {}).get(ID_TOKEN_PERMISSION) == "write"
