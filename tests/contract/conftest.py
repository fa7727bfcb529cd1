"""Each transport in turn, on each kind of address."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cors_authz.edge.transport.choose import Maker
from tests.contract.transports import MAKERS, Running, serve


@pytest.fixture(params=MAKERS)
def make(request: pytest.FixtureRequest) -> Maker:
    """Give what makes a transport."""
    return MAKERS[request.param]


@pytest.fixture(params=["tcp", "unix"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give where to listen."""
    return f"unix:{tmp_path}/socket" if request.param == "unix" else "127.0.0.1:0"


@pytest.fixture
def running(make: Maker, address: str) -> Iterator[Running]:
    """Serve, with answers that are the checks reversed."""
    with serve(make, address) as running:
        yield running
