"""The estate as data for the Rego policy: maps to look up in, as someone who cares for OPA's speed would write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from tests.bench.estate import AUDIENCE, ISSUER, ROLE, Estate, Group, Service

_GUARDS = {Service.API: "signed-in", Service.DESK: "clerks"}
_WRITES = ("GET", "HEAD", "POST", "PUT", "DELETE")
_HEADERS = ("content-type", "x-request-id", "authorization")


def write_opa_data(estate: Estate, jwks: Path, file: Path) -> Path:
    """Write the data that makes the Rego policy decide as the estate's own policy does."""
    routes: dict[str, dict[str, Any]] = {}
    for index in range(estate.groups):
        group = estate.group(index)
        routes.setdefault(group.host, {})[group.segment] = _route(group)
    exact = {estate.origin(app, index): str(app) for app in range(estate.origin_groups) for index in range(9)}
    patterns = {f"app{app}.example": str(app) for app in range(estate.origin_groups)}
    issuer = {"issuer": ISSUER, "audience": AUDIENCE, "role": ROLE, "jwks": jwks.read_text()}
    file.write_bytes(orjson.dumps({"routes": routes, "exact": exact, "patterns": patterns, **issuer}))
    return file


def _route(group: Group) -> dict[str, Any]:
    # Objects stand for sets: JSON has none, and `in` over an array is a scan.
    return {
        "guard": _GUARDS.get(group.service, "none"),
        "rules": [
            {"apps": _set(*map(str, group.writers)), "methods": _set(*_WRITES), "headers": _set(*_HEADERS)},
            {"apps": _set(str(group.readers)), "methods": _set("GET", "HEAD"), "headers": _set("authorization")},
        ],
    }


def _set(*members: str) -> dict[str, str]:
    return {member: member for member in members}
