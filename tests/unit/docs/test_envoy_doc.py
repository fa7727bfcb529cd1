"""docs/envoy.md: its parts are those that are printed, and what it shows of names and TLS is what the tests run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import yaml

from cors_authz.envoy.address import Address
from cors_authz.envoy.bootstrap import ServiceTls, authz_cluster
from cors_authz.envoy.parts import Part

TEXT: Final = (Path(__file__).parents[3] / "docs" / "envoy.md").read_text()
SERVICE: Final = Address("authz.shop.svc", 9191)


def shown(first_key: str) -> Any:  # noqa: ANN401 - a part of the configuration
    """Read the block that begins with a key."""
    (block,) = re.findall(rf"^```yaml\n({first_key}:.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)
    return yaml.safe_load(block)


def test_the_parts_are_all_there_is_to_print() -> None:
    table = TEXT.partition("| `--part` |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `([a-z-]+)` \|", table, flags=re.MULTILINE) == [part.value for part in Part]


def test_a_service_by_name_is_found_as_shown() -> None:
    cluster = authz_cluster([SERVICE], None)
    assert cluster | shown("type") == cluster


def test_tls_to_the_service_is_as_shown() -> None:
    cluster = authz_cluster([SERVICE], ServiceTls("ca.pem", SERVICE.host, "envoy.pem", "envoy.key"))
    assert shown("transport_socket") == {"transport_socket": cluster["transport_socket"]}
