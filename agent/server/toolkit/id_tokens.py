"""OpenID Connect as GitHub's clients and others' clouds speak it: who the issuer is, its keys, and a job's token.

GET /.well-known/openid-configuration, /.well-known/jwks      for anybody (OpenID Connect Discovery 1.0)
GET /_apis/id-token?api-version=2.0[&audience=TEXT]           for a job with `permissions: id-token: write`: {"value": TOKEN}
"""

import json

from starlette.responses import JSONResponse, Response

from agent.server.http.call import Call, json_response
from agent.server.http.operation import Operation
from agent.server.people.auth.access import Access
from agent.server.people.id_tokens.keys import ALGORITHM, KEEP_SECONDS
from agent.server.process.problems import MalformedError
from agent.spec.services import ID_TOKEN_PATH

_KEYS = "/.well-known/jwks"
_CLAIMS = [
    "sub", "aud", "exp", "iat", "iss", "jti", "nbf", "ref", "ref_type", "sha", "head_ref", "base_ref",
    "event_name", "repository", "repository_id", "repository_owner", "repository_visibility", "environment",
    "actor", "run_id", "run_number", "run_attempt", "runner_environment", "workflow", "workflow_ref",
    "workflow_sha", "job_id", "job_workflow_ref", "job_workflow_sha", "project", "project_id",
]  # fmt: skip


async def show_issuer(call: Call) -> Response:
    """Who the issuer of jobs' tokens is."""
    url = call.rooms.people.id_tokens.url
    return _kept_answer(
        {
            "issuer": url,
            "jwks_uri": url + _KEYS,
            "subject_types_supported": ["public", "pairwise"],
            "response_types_supported": ["id_token"],
            "claims_supported": _CLAIMS,
            "id_token_signing_alg_values_supported": [ALGORITHM],
            "scopes_supported": ["openid"],
        }
    )


async def show_keys(call: Call) -> Response:
    """The keys with which jobs' tokens are checked."""
    published = await call.rooms.people.id_tokens.keys.list_published()
    return _kept_answer({"keys": [json.loads(key.public) for key in published]})


async def make_token(call: Call) -> Response:
    """A token with which the job proves itself to one audience."""
    given = call.request.query_params.getlist("audience")
    if len(given) > 1:
        raise MalformedError(f"'audience' is there {len(given)} times")
    job = call.caller.job
    assert job is not None
    return json_response({"value": await call.rooms.people.id_tokens.sign(job, "".join(given))})


def _kept_answer(data: object) -> Response:
    return JSONResponse(data, headers={"Cache-Control": f"public, max-age={int(KEEP_SECONDS)}"})


OPERATIONS = (
    Operation("GET", "/.well-known/openid-configuration", Access.PUBLIC, show_issuer, documented=False),
    Operation("GET", _KEYS, Access.PUBLIC, show_keys, documented=False),
    Operation("GET", ID_TOKEN_PATH, Access.PROOF, make_token, query=None, documented=False),
)
