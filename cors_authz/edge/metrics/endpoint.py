"""Where the metrics are read: `/metrics` by Prometheus, `/healthz`, and pages of JSON about the service."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Final, TypeAlias

from cors_authz.edge.metrics.http_server import Answer, HttpServer
from cors_authz.edge.metrics.prometheus import Exposition
from cors_authz.edge.metrics.sample import Source
from cors_authz.edge.metrics.sources import Sources

_log = logging.getLogger(__name__)

METRICS: Final = "/metrics"
HEALTHZ: Final = "/healthz"

JsonPage: TypeAlias = Callable[[], bytes]
_NO_PAGES: Final[Mapping[str, JsonPage]] = MappingProxyType({})


class MetricsEndpoint:
    """Serves the metrics. It listens from the beginning, and answers once it is started.

    Args:
        address: `host:port`; with port 0 the system chooses.
        sources: what `/metrics` shows.
        pages: further pages, by their path: each gives JSON, and may be asked from any thread.

    Raises: SettingsError for an address that cannot be had.
    """

    def __init__(self, address: str, sources: Iterable[Source], pages: Mapping[str, JsonPage] = _NO_PAGES) -> None:
        self._exposition = Exposition(Sources(sources))
        self._pages = {METRICS: self._metrics, HEALTHZ: _healthz} | {
            path: _as_json(page) for path, page in pages.items()
        }
        self._failing: set[str] = set()
        self._server = HttpServer(address, self._answer)

    @property
    def address(self) -> str:
        """Where it listens, with the port that the system chose."""
        return self._server.address

    def start(self) -> None:
        """Begin to answer; once only."""
        self._server.start()
        _log.info("metrics are read at http://%s%s", self.address, METRICS)

    def stop(self) -> None:
        """Answer no longer."""
        self._server.stop()

    def _answer(self, path: str, accept: str) -> Answer:
        page = self._pages.get(path)
        if page is None:
            return Answer(HTTPStatus.NOT_FOUND, f"there are: {' '.join(self._pages)}\n".encode())
        try:
            return page(accept)
        except Exception:  # noqa: BLE001 - what is logged in full is not hidden
            # Once: whoever may ask could fill the log otherwise.
            if path not in self._failing:
                _log.exception("the page %s of the metrics endpoint fails", path)
            self._failing.add(path)
            return Answer(HTTPStatus.INTERNAL_SERVER_ERROR, b"this page fails; the log says why\n")

    def _metrics(self, accept: str) -> Answer:
        content_type, body = self._exposition.page(accept)
        return Answer(HTTPStatus.OK, body, content_type)


def _healthz(_accept: str) -> Answer:
    return Answer(HTTPStatus.OK, b"ok\n")


def _as_json(page: JsonPage) -> Callable[[str], Answer]:
    return lambda _accept: Answer(HTTPStatus.OK, page(), "application/json")
