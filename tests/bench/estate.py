"""A shop of any size: its policy as files on disk, and the names by which traffic meets it.

One shape for the trace and for growth, so that size is all that differs: resource groups in tens to a host, origin
groups of ten origins each, nine of them exact and one a pattern.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum, unique
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

ISSUER: Final = "https://id.shop.example"
AUDIENCE: Final = "shop-api"
ROLE: Final = "clerk"

_GROUPS_OF_A_HOST: Final = 10
_ORIGINS_OF_A_GROUP: Final = 10
_OF_A_FILE: Final = 250
_HEADERS: Final = ("content-type", "x-request-id")
_WRITES: Final = ("GET", "POST", "PUT", "DELETE")


@unique
class Service(Enum):
    """What a resource group serves."""

    API = "api"
    DESK = "desk"
    FORM = "form"
    LIVE = "live"


class Group(NamedTuple):
    """A resource group: where it is, what it serves, and which origin groups its two rules admit."""

    name: str
    host: str
    segment: str
    service: Service
    writers: tuple[int, int]
    readers: int


class Estate(NamedTuple):
    """How many resource groups and origins there are; both are multiples of ten."""

    groups: int
    origins: int

    @property
    def origin_groups(self) -> int:
        """How many origin groups the origins make."""
        return self.origins // _ORIGINS_OF_A_GROUP

    def group(self, index: int) -> Group:
        """Describe one resource group."""
        host, place = divmod(index, _GROUPS_OF_A_HOST)
        named = [index % self.origin_groups, (index + 1) % self.origin_groups, (index + 2) % self.origin_groups]
        return Group(
            f"service-{index}",
            f"api{host}.shop.example",
            f"service{place}",
            _service(place),
            (named[0], named[1]),
            named[2],
        )

    def origin(self, group: int, index: int) -> str:
        """Give one of the ten origins of a group as a browser sends it; the last is one that the pattern matches."""
        return (
            f"https://pr-{group * 7 + 1}.app{group}.example" if index == _EXACT else f"https://{_exact(group, index)}"
        )

    def write(self, folder: Path, jwks: Path, revision: str) -> None:
        """Write the policy, in files that stay below the language's bound of a file."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "bundle.yaml").write_bytes(orjson.dumps(_bundle(jwks, revision)))
        for number, first in enumerate(range(0, max(self.groups, self.origin_groups), _OF_A_FILE)):
            (folder / f"part-{number}.yaml").write_text(_yaml(self._part(first)), encoding="utf-8")

    def _part(self, first: int) -> dict[str, Any]:
        return {
            "apiVersion": "cors-authz/v1",
            "kind": "PolicyPart",
            "metadata": {"name": f"part-{first}", "owner": "shop"},
            "originGroups": {f"app-{i}": self._origins(i) for i in self._some(first, self.origin_groups)},
            "resourceGroups": {self.group(i).name: _resource(self.group(i)) for i in self._some(first, self.groups)},
        }

    def _some(self, first: int, total: int) -> range:
        return range(min(first, total), min(first + _OF_A_FILE, total))

    def _origins(self, group: int) -> dict[str, Any]:
        exact = [self.origin(group, index) for index in range(_EXACT)]
        return {"origins": [*exact, f"https://pr-{{digits}}.app{group}.example"], "trust": "high"}


_EXACT: Final = _ORIGINS_OF_A_GROUP - 1


def _exact(group: int, index: int) -> str:
    return f"www{index}.app{group}.example"


def _service(place: int) -> Service:
    if place == _GROUPS_OF_A_HOST - 1:
        return Service.LIVE
    if place == _GROUPS_OF_A_HOST - 2:
        return Service.FORM
    return Service.DESK if place % 2 else Service.API


def _bundle(jwks: Path, revision: str) -> dict[str, Any]:
    issuer = {"issuer": ISSUER, "audiences": [AUDIENCE], "keys": {"jwksFile": str(jwks)}, "algorithms": ["RS256"]}
    return {
        "apiVersion": "cors-authz/v1",
        "kind": "PolicyBundle",
        "metadata": {"name": "shop", "owner": "shop", "revision": revision},
        "teams": {"shop": {"contact": "shop@shop.example"}},
        "identity": {"jwt": {"main": issuer}},
        "guards": {"signed-in": {"authenticated": True}, "clerks": {"anyRole": [ROLE]}},
    }


def _resource(group: Group) -> dict[str, Any]:
    api = group.service in {Service.API, Service.DESK}
    writers = {"methods": list(_WRITES), "headers": list(_HEADERS), "credentials": ["bearer" if api else "cookie"]}
    if not api:
        writers["contentTypes"] = ["application/x-www-form-urlencoded", "application/json"]
    described: dict[str, Any] = {
        "match": [{"hosts": [group.host], "paths": [f"/{group.segment}/**"]}],
        "allow": [
            {"origins": [f"app-{app}" for app in dict.fromkeys(group.writers)], **writers},
            {"origins": [f"app-{group.readers}"], "credentials": writers["credentials"]},
        ],
    }
    if api:
        described["guards"] = ["clerks" if group.service is Service.DESK else "signed-in"]
    if group.service is Service.LIVE:
        described["protocols"] = ["http", "websocket"]
    return described


def _yaml(document: Mapping[str, Any]) -> str:
    """Write a document as people do, a group to a few lines: each member of a section in flow style on its own line."""
    return "".join(f"{line}\n" for line in _lines(document))


def _lines(document: Mapping[str, Any]) -> Iterator[str]:
    for key, value in document.items():
        if key in {"originGroups", "resourceGroups"}:
            yield f"{key}:" if value else f"{key}: {{}}"
            for name, member in value.items():
                yield f"  {name}:"
                yield from (f"    {field}: {orjson.dumps(inner).decode()}" for field, inner in member.items())
        else:
            yield f"{key}: {orjson.dumps(value).decode()}"
