"""The API's description (OpenAPI 3.1), made from the routes and the types they answer with."""

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from collector.web.answers import Problem
from collector.web.api import Route

REF = "#/components/schemas/{name}"


def describe(routes: Iterable[Route], guarded: bool) -> dict[str, Any]:
    """The whole description; ``guarded``: whether one has to say who one is."""
    routes = list(routes)
    schemas, components = msgspec.json.schema_components(
        [*(route.answer for route in routes), Problem], ref_template=REF
    )
    paths = {}
    for route, schema in zip(routes, schemas, strict=False):
        operation: dict[str, Any] = {
            "summary": route.words,
            "operationId": _name(route.path),
            "parameters": _parameters(route),
            "responses": {
                "200": {"description": route.words, "content": {"application/json": {"schema": schema}}},
                "default": {
                    "description": "Why there is no answer",
                    "content": {"application/json": {"schema": {"$ref": REF.format(name="Problem")}}},
                },
            },
        }
        paths[route.path] = {"get": operation}
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


def _parameters(route: Route) -> list[dict[str, Any]]:
    inside = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"\{(\w+)\}", route.path)
    ]
    asked = [
        {"name": one.name, "in": "query", "description": one.words, "schema": one.schema} for one in route.parameters
    ]
    return [*inside, *asked]


def _name(path: str) -> str:
    return "_".join(part.strip("{}") for part in path.split("/")[3:])
