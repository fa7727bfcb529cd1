"""What every part of the bench works with: the cores, how much to measure, a folder, and a shop with its traffic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from cors_authz._gen.wire.external_auth_pb2 import CheckResponse
from tests.bench.estate import Estate
from tests.bench.load import LoadError
from tests.bench.machine import Cores, MissingError
from tests.bench.servers import Command, Running
from tests.bench.tokens import Issuer
from tests.bench.traffic import Check, Traffic

SEED: Final = 4


class Size(NamedTuple):
    """How much is measured: rounds of so many checks each, and which estates for growth."""

    rounds: int
    checks: int
    estates: Sequence[Estate]
    envoy_requests: int
    reload_seconds: int


FULL: Final = Size(5, 20_000, (Estate(10, 100), Estate(1000, 10_000), Estate(10_000, 100_000)), 10_000, 20)
QUICK: Final = Size(2, 4_000, (Estate(10, 100), Estate(1000, 10_000)), 2_000, 5)


class Workspace(NamedTuple):
    """Where and how much, and the address of the OTLP collector that servers send spans to."""

    cores: Cores
    size: Size
    folder: Path
    collector: str
    say: Callable[[str], None]


class Shop(NamedTuple):
    """An estate on disk, the issuer that it trusts, and its traffic."""

    estate: Estate
    traffic: Traffic
    policy: Path
    jwks: Path


def open_shop(estate: Estate, folder: Path, now_seconds: int) -> Shop:
    """Write an estate's policy and keys, and open its traffic."""
    folder.mkdir(parents=True, exist_ok=True)
    issuer, jwks = Issuer(now_seconds), folder / "jwks.json"
    jwks.write_bytes(issuer.key_set())
    estate.write(folder / "policy", jwks, "r1")
    return Shop(estate, Traffic(estate, issuer, SEED), folder / "policy", jwks)


def verify(server: Running, checks: Sequence[Check]) -> None:
    """Hold a server's answers against the expected outcomes, one by one, before anything is timed.

    Raises: LoadError naming the first that differs.
    """
    for check, raw in zip(checks, server.call([check.message for check in checks]), strict=True):
        response = CheckResponse.FromString(raw)
        outcome = response.dynamic_metadata.fields["outcome"].string_value
        if (outcome, response.status.code == 0) != (check.outcome, check.outcome == "allow"):
            raise LoadError(f"{server.name} says {outcome or 'nothing'} for {check.outcome}: {check.message!r}")


def available(make: Callable[[], Command], skipped: dict[str, str], name: str) -> Command | None:
    """Give a command, or None and note why there is none."""
    try:
        return make()
    except MissingError as error:
        skipped[name] = str(error)
        return None
