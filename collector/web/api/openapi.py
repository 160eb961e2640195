"""The API's description (OpenAPI 3.1), made from the routes and the types they answer with."""

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from collector.web.api.routes import ApiPost, ApiRoute
from collector.web.api.schemas import ErrorAnswer

NEEDS = "x-needs"  # the right that one needs, see collector.web.access.roles
REF = "#/components/schemas/{name}"


def describe(routes: Iterable[ApiRoute], posts: Iterable[ApiPost], guarded: bool) -> dict[str, Any]:
    """The whole description; ``guarded``: whether one has to say who one is."""
    routes, posts = list(routes), list(posts)
    types = [
        *(route.answer for route in routes),
        *(one for post in posts for one in (post.answer, post.body)),
        ErrorAnswer,
    ]
    schemas, components = msgspec.json.schema_components(types, ref_template=REF)
    paths: dict[str, Any] = {}
    for route, schema in zip(routes, schemas, strict=False):
        operation = _operation(
            route.path, route.summary, schema, [*_path_parameters(route.path), *_query_parameters(route)]
        )
        paths.setdefault(route.path, {})["get"] = {**operation, NEEDS: route.needs}
    rest = schemas[len(routes) :]
    for post, schema, body in zip(posts, rest[::2], rest[1::2], strict=False):
        operation = _operation(post.path, post.summary, schema, _path_parameters(post.path))
        operation[NEEDS] = post.needs
        operation["requestBody"] = {"content": {"application/json": {"schema": body}}}
        paths.setdefault(post.path, {})["post"] = operation
    described: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "Hải Đăng",
            "version": "1",
            "description": "Availability that can be defended. Times are ms since the epoch, ratios 0 to 1.",
        },
        "paths": paths,
        "components": {"schemas": components},
    }
    if guarded:
        described["components"]["securitySchemes"] = {
            "people": {"type": "http", "scheme": "basic"},
            "programs": {"type": "http", "scheme": "bearer"},
        }
        described["security"] = [{"people": []}, {"programs": []}]
    return described


def _operation(path: str, summary: str, schema: dict[str, Any], parameters: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "summary": summary,
        "operationId": _name(path),
        "parameters": parameters,
        "responses": {
            "200": {"description": summary, "content": {"application/json": {"schema": schema}}},
            "default": {
                "description": "Why there is no answer",
                "content": {"application/json": {"schema": {"$ref": REF.format(name="ErrorAnswer")}}},
            },
        },
    }


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"\{(\w+)\}", path)
    ]


def _query_parameters(route: ApiRoute) -> list[dict[str, Any]]:
    return [
        {"name": one.name, "in": "query", "description": one.description, "schema": one.schema}
        for one in route.parameters
    ]


def _name(path: str) -> str:
    return "_".join(part.strip("{}") for part in path.split("/")[3:])
