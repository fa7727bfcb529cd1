"""Where the metrics are read: `/metrics` by Prometheus, `/healthz`, and pages of JSON about the service."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType
from typing import Final, TypeAlias

from cors_authz.edge.metrics.http_request import HttpRequest
from cors_authz.edge.metrics.http_server import LAST_PORT, Answer, HttpServer, split_address
from cors_authz.edge.metrics.sample import Source
from cors_authz.edge.metrics.sources import Sources
from cors_authz.edge.settings_error import SettingsError

_log = logging.getLogger(__name__)

SETTING: Final = "metrics-listen"
METRICS: Final = "/metrics"
HEALTHZ: Final = "/healthz"

JsonPage: TypeAlias = Callable[[], bytes]
_NO_PAGES: Final[Mapping[str, JsonPage]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsOptions:
    """Where the metrics are read.

    Args:
        listen: `host:port`; of several workers, each takes a port from it on, and with port 0 the system chooses.
        workers: how many there are.

    Raises: SettingsError for an address that cannot be, or too few ports.
    """

    listen: str
    workers: int = 1

    def __post_init__(self) -> None:
        """Refuse what cannot be, before anything is started."""
        port = split_address(SETTING, self.listen)[1]
        last = port + self.workers - 1
        if port and last > LAST_PORT:
            raise SettingsError(
                f"{SETTING}: {self.workers} workers need the ports {port} to {last}, and the highest is {LAST_PORT};"
                " choose a lower port"
            )

    def address(self, worker: int) -> str:
        """Give the address of a worker, which are numbered from 0 on."""
        host, _, port = self.listen.rpartition(":")
        return f"{host}:{int(port) and int(port) + worker}"


class MetricsEndpoint:
    """Serves the metrics. It listens from the beginning, and answers once it is started.

    Args:
        address: `host:port`; with port 0 the system chooses.
        sources: what `/metrics` shows.
        pages: further pages, by their path: each gives JSON, and may be asked from any thread.

    Raises: SettingsError for an address that cannot be had.
    """

    def __init__(self, address: str, sources: Iterable[Source], pages: Mapping[str, JsonPage] = _NO_PAGES) -> None:
        # With the client library behind it, which takes as long to import as half of the rest.
        from cors_authz.edge.metrics.prometheus import Exposition

        self._exposition = Exposition(Sources(sources))
        self._pages = {METRICS: self._metrics, HEALTHZ: _healthz} | {
            path: _as_json(page) for path, page in pages.items()
        }
        self._failing: set[str] = set()
        self._server = HttpServer(SETTING, address, self._answer)

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

    def _answer(self, request: HttpRequest) -> Answer:
        page = self._pages.get(request.path)
        if page is None:
            return Answer(HTTPStatus.NOT_FOUND, f"there are: {' '.join(self._pages)}\n".encode())
        try:
            return page(request)
        except Exception:  # noqa: BLE001 - what is logged in full is not hidden
            # Once: whoever may ask could fill the log otherwise.
            if request.path not in self._failing:
                _log.exception("the page %s of the metrics endpoint fails", request.path)
            self._failing.add(request.path)
            return Answer(HTTPStatus.INTERNAL_SERVER_ERROR, b"this page fails; the log says why\n")

    def _metrics(self, request: HttpRequest) -> Answer:
        content_type, body = self._exposition.page(request.accept)
        return Answer(HTTPStatus.OK, body, content_type)


def _healthz(_request: HttpRequest) -> Answer:
    return Answer(HTTPStatus.OK, b"ok\n")


def _as_json(page: JsonPage) -> Callable[[HttpRequest], Answer]:
    return lambda _request: Answer(HTTPStatus.OK, page(), "application/json")
