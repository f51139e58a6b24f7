"""The OpenAPI 3.1 document, made from the operations' rows: their paths, Structs and docstrings are the only source."""

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Annotated, Any

import msgspec

from agent import __version__
from agent.server.http.operation import Media, Operation
from agent.server.people.auth.access import Access
from agent.server.process.idempotency import HEADER
from agent.server.process.problems import MEDIA_TYPE, ProblemDetails

_PARAMETER = re.compile(r"\{(\w+)(?::(\w+))?\}")
_REF = "#/components/schemas/{name}"
_NUMBER = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
# What a name in a path stands for, where it is more than any text.
_PATH_TYPES: Mapping[str, Any] = {
    "digest": Annotated[str, msgspec.Meta(pattern="^sha256:[0-9a-f]{64}$")],
}
_SCHEMES: Mapping[str, Mapping[str, str]] = {
    "token": {"type": "http", "scheme": "bearer", "description": "an access token (`agent login`)"},
    "job": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "ACTIONS_RUNTIME_TOKEN of a running job",
    },
}
_PROJECT = {
    "name": "project",
    "in": "query",
    "description": "the project; without it the one of the thing in the path, else `default`",
    "schema": {"type": "string"},
}


_IDEMPOTENCY = {
    "name": HEADER,
    "in": "header",
    "description": "the same request, sent again with the same key within a day, happens once",
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
}


def make_document(operations: Iterable[Operation]) -> dict[str, Any]:
    """The document of the operations that are `documented`."""
    rows = [operation for operation in operations if operation.documented]
    schemas, components = msgspec.json.schema_components(
        [*_types(rows), ProblemDetails], ref_template=_REF, schema_hook=_any_json
    )
    named = dict(zip([*_types(rows), ProblemDetails], schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for row in rows:
        path = _PARAMETER.sub(r"{\1}", row.path)
        paths.setdefault(path, {})[row.verb.lower()] = _describe(row, named)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "flow-agent",
            "version": __version__,
            "summary": "Flows, their runs, and the agents that run them",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": _SCHEMES},
    }


def _any_json(kind: type) -> dict[str, Any]:
    """The schema of what msgspec does not know: `object` is any JSON. Raises NotImplementedError for all else."""
    if kind is object:
        return {"description": "any JSON"}
    raise NotImplementedError(kind)


def problems_of(row: Operation) -> list[int]:
    """The statuses of the problems that may come back."""
    found = {408, 429, 503, *row.problems}
    if row.access.admits_people or row.access.admits_jobs:
        found |= {401, 403}
    if row.access.role is not None:
        found |= {404} if row.verb == "GET" else {404, 409}
    if row.query is not None or row.body is not None:
        found.add(400)
    if _PARAMETER.search(row.path):
        found |= {404, 422}
    if row.body is not None:
        found |= {413, 422}
    if row.is_repeatable:
        found |= {400, 409, 413, 422}
    if isinstance(row.body, type):
        found.add(415)
    if row.query is not None:
        found.add(422)
    return sorted(found)


def _types(rows: list[Operation]) -> list[Any]:
    """Every Struct that goes in or out, each once."""
    found: dict[Any, None] = {}
    for row in rows:
        for kind in (row.body, *row.answers.values()):
            if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
                found[kind] = None
    return list(found)


def _describe(row: Operation, named: Mapping[Any, Any]) -> dict[str, Any]:
    answers = {str(status): _answer(status, kind, named) for status, kind in row.answers.items()}
    problem = {"content": {MEDIA_TYPE: {"schema": named[ProblemDetails]}}}
    answers |= {
        str(status): {"description": HTTPStatus(status).phrase, **problem} for status in problems_of(row)
    }
    parameters = [*_path_parameters(row.path), *_query_parameters(row.query)]
    if row.access.role is not None:
        parameters.append(_PROJECT)
    if row.is_repeatable:
        parameters.append(_IDEMPOTENCY)
    described: dict[str, Any] = {
        "operationId": row.name,
        "summary": row.summary,
        "tags": [row.name.partition(".")[0]],
        "parameters": parameters,
        "responses": answers,
        "security": _security(row.access),
    }
    if row.body is not None:
        described["requestBody"] = {
            "required": not _may_be_empty(row.body),
            "content": _content(row.body, named),
        }
    return described


def _security(access: Access) -> list[dict[str, list[str]]]:
    admitted = {"token": access.admits_people, "job": access.admits_jobs}
    return [{scheme: []} for scheme, is_admitted in admitted.items() if is_admitted]


def _answer(status: int, kind: Any, named: Mapping[Any, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    if kind is not None:
        answer["content"] = _content(kind, named)
    return answer


def _content(kind: Any, named: Mapping[Any, Any]) -> dict[str, Any]:
    if isinstance(kind, Media):
        return {kind.type: {}}
    return {"application/json": {"schema": named[kind]}}


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": msgspec.json.schema(_NUMBER if kind in ("int", "run") else _PATH_TYPES.get(name, str)),
        }
        for name, kind in _PARAMETER.findall(path)
    ]


def _query_parameters(kind: type[msgspec.Struct] | None) -> list[dict[str, Any]]:
    if kind is None:
        return []
    _, components = msgspec.json.schema_components([kind], ref_template=_REF)
    schema = components[kind.__name__]
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": dict(parameter)}
        for name, parameter in schema["properties"].items()
    ]


def _may_be_empty(body: Any) -> bool:
    """Whether all fields of a body have defaults: then nothing at all stands for `{}`."""
    return isinstance(body, type) and all(not field.required for field in msgspec.structs.fields(body))
