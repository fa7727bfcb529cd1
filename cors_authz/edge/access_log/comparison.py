"""The thread that compares each entry with what was decided, counts what it finds and writes the lines."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from threading import Thread
from typing import Final, TypeAlias

from cors_authz.edge.access_log.figures import Fate, Figures
from cors_authz.edge.access_log.governed import Resource
from cors_authz.edge.access_log.inbox import Inbox
from cors_authz.edge.access_log.line import Compared, line_of, verdicts_of
from cors_authz.edge.audit.writer import Append
from cors_authz.edge.client_text import carried
from cors_authz.envoy.access_log import Entry, decode
from cors_authz.pdp.decision import Outcome
from cors_authz.pdp.response import Delivery
from cors_authz.review.delivery import UNREMARKABLE, Delivered, compare, decided_of

_log = logging.getLogger(__name__)

_STOP_SECONDS: Final = 10.0
_ID_DIGITS: Final = 8
_HEX: Final = frozenset("0123456789abcdef")


ResourceOf: TypeAlias = Callable[[Entry], Resource | None]


class Comparison:
    """Compares what the inbox holds, from a thread of its own.

    Args:
        inbox: holds the messages.
        resource_of: names what a request is for; None where nobody had to decide on it.
        figures: counts.
        append: takes the lines.
        share: of how many allowed requests that got what was decided lines are written, 0 to 1.
    """

    def __init__(self, inbox: Inbox, resource_of: ResourceOf, figures: Figures, append: Append, share: float) -> None:
        self._inbox, self._resource_of, self._figures = inbox, resource_of, figures
        self._append, self._share = append, share
        self._has_failed = False
        self._thread = Thread(target=self._run, name="comparison", daemon=True)

    def start(self) -> None:
        """Begin to compare."""
        self._thread.start()

    def stop(self) -> None:
        """Compare what waits, and end; once only, and after `start`."""
        self._inbox.close()
        self._thread.join(_STOP_SECONDS)
        if self._thread.is_alive():
            _log.error("access log: the last entries were not compared within %.0f s, and are lost", _STOP_SECONDS)

    def take(self, entries: Iterable[Entry]) -> None:
        """Compare entries here and now. Never raises."""
        for entry in entries:
            try:
                self._take(entry)
            except Exception as error:  # noqa: BLE001 - a fault with one entry must not end the comparison of all
                self._fail(error)

    def _run(self) -> None:
        for raw in self._inbox:
            self.take(self._entries_of(raw))

    def _entries_of(self, raw: bytes) -> tuple[Entry, ...]:
        message = decode(raw)
        if message is None:
            # Streams hand on what they could look over, so this would be a fault of ours.
            self._figures.entries(Fate.UNREADABLE, 1)
            return ()
        self._figures.entries(Fate.IGNORED, message.ignored)
        return message.entries

    def _fail(self, error: Exception) -> None:
        self._figures.entries(Fate.UNREADABLE, 1)
        if not self._has_failed:
            _log.error("access log: an entry cannot be compared; others may not be told of", exc_info=error)
        self._has_failed = True

    def _take(self, entry: Entry) -> None:
        compared = _compared(entry, self._resource_of)
        if compared is None:
            self._figures.entries(Fate.IGNORED, 1)
            return
        self._figures.entries(Fate.COMPARED, 1)
        self._figures.delivered(verdicts_of(compared), compared.resource.group)
        is_expendable = _is_expendable(compared)
        if not is_expendable:
            self._append(line_of(compared, 1), is_expendable=False)
        elif _is_drawn(entry, self._share):
            self._append(line_of(compared, self._share), is_expendable=True)


def _compared(entry: Entry, resource_of: ResourceOf) -> Compared | None:
    decided, resource = decided_of(entry.decision), resource_of(entry)
    if decided is not None:
        # The policy may be another one by now, or Envoy's path another than was checked.
        is_known = resource is not None and resource.group == decided.group
        resource = Resource(carried(decided.group), resource.path if resource and is_known else "")
    if resource is None:
        return None
    headers = Delivery(
        entry.headers.get("access-control-allow-origin", ""),
        entry.headers.get("access-control-allow-credentials", ""),
        entry.headers.get("access-control-expose-headers", ""),
        entry.headers.get("vary", ""),
    )
    delivered = Delivered(entry.status, entry.details, entry.reached_upstream, headers)
    return Compared(entry, decided, resource, compare(decided, delivered))


def _is_expendable(compared: Compared) -> bool:
    decided = compared.decided
    is_allow = decided is not None and decided.outcome == Outcome.ALLOW.value
    return is_allow and all(finding.verdict in UNREMARKABLE for finding in compared.findings)


def _is_drawn(entry: Entry, share: float) -> bool:
    # By the request's id, so that every listener draws the same, and no clock or chance is asked.
    digits = entry.request_id[:_ID_DIGITS]
    if len(digits) < _ID_DIGITS or not _HEX.issuperset(digits):
        return share > 0
    return int(digits, 16) < share * 16**_ID_DIGITS
