"""How OTLP goes by HTTP: what a collector answers is read within bounds, as it may answer without end."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter

from cors_authz.edge.clock import monotonic_seconds

MAX_ANSWER_BYTES: Final = 64 * 1024
"""Of an answer that says what was refused, the SDK reads no more than the status."""

_READ_BYTES: Final = 8192
_OK: Final = range(200, 300)


def bounded_session(monotonic: Callable[[], float] = monotonic_seconds) -> requests.Session:
    """Give a session whose requests fail where the answer is larger than `MAX_ANSWER_BYTES`, or takes too long.

    The timeout of a request holds for the whole body, not for each read.

    Args:
        monotonic: gives seconds that never go back.
    """
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, _BoundedAdapter(monotonic))
    return session


class _BoundedAdapter(HTTPAdapter):
    def __init__(self, monotonic: Callable[[], float]) -> None:
        super().__init__()
        self._monotonic = monotonic

    def send(self, request: requests.PreparedRequest, *args: Any, **how: Any) -> requests.Response:  # noqa: ANN401 - as it is overridden
        """Send a request, and read the answer as it came: what is packed may be large once it is not."""
        end = self._monotonic() + how["timeout"]
        response = super().send(request, *args, **how)
        fault = self._read(response, end)
        # What was refused is told by its status.
        if fault and response.status_code in _OK:
            raise requests.RequestException(fault)
        return response

    def _read(self, response: requests.Response, end: float) -> str:
        body, fault = b"", ""
        while not fault and (part := response.raw.read1(_READ_BYTES, decode_content=False)):
            body += part
            if len(body) > MAX_ANSWER_BYTES:
                fault = f"its answer is longer than {MAX_ANSWER_BYTES} bytes"
            elif self._monotonic() > end:
                fault = "its answer takes too long"
        if fault:
            response.raw.close()
        response.raw = io.BytesIO(body)
        return fault
