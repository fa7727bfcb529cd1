"""What gRPC's health protocol is told of the service and of its policy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Condition
from typing import Final

from google.protobuf.message import DecodeError

from cors_authz._gen.wire.health_pb2 import HealthCheckRequest, HealthCheckResponse

SERVICE: Final = ""
"""The health of the service as a whole: what Envoy's health checks ask for."""
POLICY: Final = "cors_authz.policy"
"""Whether the newest version of the policy is the one in force. Apart from the service, which serves the last good one
on: a mistake in a policy must not take every replica out of the mesh at once."""

_WATCH_POLL_SECONDS: Final = 5.0

_Status = HealthCheckResponse.ServingStatus


class Health:
    """What gRPC's health protocol says of the service and of its policy. Safe to use from many threads."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._serving = {SERVICE: False, POLICY: False}

    def say(self, name: str, *, serving: bool) -> None:
        """Say whether something is serving."""
        with self._changed:
            self._serving[name] = serving
            self._changed.notify_all()

    def status(self, name: str) -> _Status:
        """Read what is said of a name."""
        if name not in self._serving:
            return HealthCheckResponse.SERVICE_UNKNOWN
        return HealthCheckResponse.SERVING if self._serving[name] else HealthCheckResponse.NOT_SERVING

    def changes(self, name: str, is_listening: Callable[[], bool]) -> Iterator[_Status]:
        """Give the status now and whenever it changes, for as long as someone listens."""
        status = self.status(name)
        yield status
        while is_listening():
            known = status
            status = self._changed_from(known, name, is_listening)
            if status != known:
                yield status

    def wake(self) -> None:
        """Let those who wait for a change see whether they are still to listen."""
        with self._changed:
            self._changed.notify_all()

    def _changed_from(self, known: _Status, name: str, is_listening: Callable[[], bool]) -> _Status:
        with self._changed:
            self._changed.wait_for(lambda: self.status(name) != known or not is_listening(), _WATCH_POLL_SECONDS)
            return self.status(name)


def service_asked(raw: bytes) -> str | None:
    """Read the name in a HealthCheckRequest; None for bytes that are none. Never raises."""
    try:
        return HealthCheckRequest.FromString(raw).service
    except DecodeError:
        return None


def serialized(status: _Status) -> bytes:
    """Write a HealthCheckResponse."""
    return HealthCheckResponse(status=status).SerializeToString()
