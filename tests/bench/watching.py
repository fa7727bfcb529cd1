"""What it costs to be watched: the service with nothing on, and with one thing more in each row."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

from tests.bench.decisions import HOT, MIXED, QUEUE, Rows, enter, probe, rounds
from tests.bench.servers import Watched, product, serving
from tests.bench.traffic import write_trace
from tests.bench.workspace import Shop, Workspace


def measure(shop: Shop, space: Workspace) -> Rows:
    """Measure each row under the hot request and the mix.

    Raises: LoadError, ServerFailedError, MissingError.
    """
    write_trace(shop.traffic.hot(space.size.checks), space.folder / "hot")
    with ExitStack() as running:
        entrants = []
        for name, watched in _rows(space):
            command = product(shop.policy, QUEUE, watched)._replace(name=name)
            server = running.enter_context(serving(command, space.cores, space.folder, probe(shop)))
            entrants.append(enter(server, shop, space))
        return rounds(entrants, shop, space, (HOT, MIXED))


def _rows(space: Workspace) -> Iterator[tuple[str, Watched]]:
    yield "nothing", Watched()
    yield "metrics", Watched(metrics=True)
    recorded = Watched(metrics=True, audit=space.folder / "audit-watched")
    yield "metrics, audit", recorded
    for share in (0.01, 1.0):
        audit = space.folder / f"audit-traced-{share}"
        traced = recorded._replace(audit=audit, collector=space.collector, share=share)
        yield f"metrics, audit, {share:.0%} traced", traced
