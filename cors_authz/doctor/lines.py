"""The lines that a fix consists of, taken from the exported configuration: what was measured, and what Envoy takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import yaml

from cors_authz.envoy.address import Address
from cors_authz.envoy.bootstrap import Options, authz_cluster, authz_filter, host_settings, manager_settings

_OPTIONS: Final = Options()
_SERVICE: Final = Address("cors-authz-headless.cors-authz.svc", 9191)
"""As the chart calls it: a name that leads to each instance."""

_NEVER_WRAP: Final = 1_000_000

FILTER: Final[Mapping[str, Any]] = authz_filter(_OPTIONS)
CHECK: Final[Mapping[str, Any]] = FILTER["typed_config"]
MANAGER: Final[Mapping[str, Any]] = manager_settings(_OPTIONS)
HOST: Final[Mapping[str, Any]] = host_settings(_OPTIONS)
DECISION: Final[str] = MANAGER["access_log"][0]["typed_config"]["log_format"]["json_format"]["decision"]
CLUSTER: Final[Mapping[str, Any]] = authz_cluster([_SERVICE], None)


def lines(message: Mapping[str, Any], *names: str) -> str:
    """Write some fields of a message as YAML.

    Raises: KeyError where the message has no such field.
    """
    return written({name: message[name] for name in names})


def written(value: object) -> str:
    """Write a value of JSON as YAML, as `cors-authz export envoy` prints it."""
    return yaml.safe_dump(value, sort_keys=False, width=_NEVER_WRAP)
