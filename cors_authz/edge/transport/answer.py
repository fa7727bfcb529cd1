"""The answer of a check, or none: no exception, and no empty bytes, leave as an allow."""

from __future__ import annotations

import logging

from cors_authz.edge.transport.interface import Check, Metadata

_log = logging.getLogger(__name__)


def answer(check: Check, message: bytes, metadata: Metadata) -> bytes | None:
    """Let a check decide.

    Returns: its answer; None where it raised or gave no bytes, which the log then tells. An empty CheckResponse is an
    allow to Envoy, so nothing is not an answer. Never raises.
    """
    try:
        answered: object = check(message, metadata)
    except Exception:  # noqa: BLE001 - no exception may become an allow
        _log.exception("a check failed")
        return None
    if not isinstance(answered, bytes) or not answered:
        _log.error("a check gave no answer")
        return None
    return answered
