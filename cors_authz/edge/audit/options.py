"""How the audit trail is kept: where its lines go, what they reveal, and what happens when they find no room."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum, unique
from pathlib import Path
from typing import Final

from cors_authz.edge.settings_error import SettingsError
from cors_authz.fetch.request import OWN_PREFIX

STDOUT: Final = "-"
OTLP: Final = "otlp"

NEVER_REVEALED: Final = frozenset(
    {"authorization", "cookie", "proxy-authorization", "set-cookie", "x-api-key", "x-forwarded-client-cert"}
)
"""Headers whose values are secrets, or name people. Our own (`x-cors-authz-*`) are never revealed either."""

MIN_ROTATE_BYTES: Final = 64 << 10
MIN_QUEUE_LINES: Final = 256
MAX_QUEUE_LINES: Final = 1 << 20

_REVEALED: Final = re.compile(r"(header|claim):(\S{1,128})")
_HEADER_NAME: Final = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")


@unique
class WhenFull(Enum):
    """What happens to a line that finds the queue full, or nearly so."""

    DROP_ALLOW_FIRST = "drop-allow-first"
    """From three quarters on, what allows is dropped; what refuses only once there is no room at all."""
    BLOCK = "block"
    """The check waits for room, a fifth of a second at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterOptions:
    """Where lines go, and how.

    Args:
        targets: each a path, `-` for standard output or `otlp` for the collector of logs.
        rotate_bytes: the size from which a file is put aside for a new one; 0 leaves that to others.
        keep: how many files that were put aside are kept.
        queue_lines: how many lines may wait for each target.
        when_full: what happens to those that find no room.
        required: whether nothing may go on without its line.
        key: the file of the private key (Ed25519, PEM) that signs heads of the chain; None leaves them unsigned.
        head_lines: after so many lines there is a head.
        setting: what names the targets to people; its key is named after it.
    """

    targets: tuple[str, ...]
    rotate_bytes: int = 256 << 20
    keep: int = 16
    queue_lines: int = 32_768
    when_full: WhenFull = WhenFull.DROP_ALLOW_FIRST
    required: bool = False
    key: Path | None = None
    head_lines: int = 1000
    setting: str = "audit"

    @property
    def makes_wait(self) -> bool:
        """Whether a line may hold up, or refuse, what it is about."""
        return self.required or self.when_full is WhenFull.BLOCK

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises: SettingsError.
        """
        if not self.targets or len(set(self.targets)) < len(self.targets) or not all(self.targets):
            raise SettingsError(f"{self.setting}: name each target once: a file, - for standard output, or otlp")
        if self.rotate_bytes and self.rotate_bytes < MIN_ROTATE_BYTES:
            raise SettingsError(
                f"audit-rotate-bytes: `{self.rotate_bytes}` cannot be; write 0, or {MIN_ROTATE_BYTES} or more"
            )
        if self.keep < 1:
            raise SettingsError(f"audit-keep: `{self.keep}` cannot be; write how many old files to keep, 1 or more")
        if not MIN_QUEUE_LINES <= self.queue_lines <= MAX_QUEUE_LINES:
            raise SettingsError(
                f"audit-queue: `{self.queue_lines}` cannot be; write {MIN_QUEUE_LINES} to {MAX_QUEUE_LINES} records"
            )
        if self.head_lines < 1:
            raise SettingsError(
                f"audit-head-records: `{self.head_lines}` cannot be; write a number of records, 1 or more"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditOptions:
    """How decisions are recorded.

    Args:
        writer: where their lines go.
        sample_allow: the share of allows, preflights among them, that is recorded, 0 to 1; refusals and errors always.
        reveal: what is recorded beside the built-in fields: `header:NAME` (lower case) and `claim:NAME`.
    """

    writer: WriterOptions
    sample_allow: float = 1.0
    reveal: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        """Refuse what cannot be, and to reveal what is a secret.

        Raises: SettingsError.
        """
        if not 0 <= self.sample_allow <= 1:
            raise SettingsError(f"audit-sample-allow: `{self.sample_allow}` is no share; write a number from 0 to 1")
        for each in self.reveal:
            _refuse_revealing(each)

    @property
    def headers(self) -> tuple[str, ...]:
        """The names of the headers to reveal."""
        return _named("header", self.reveal)

    @property
    def claims(self) -> tuple[str, ...]:
        """The names of the claims to reveal."""
        return _named("claim", self.reveal)


def _refuse_revealing(revealed: str) -> None:
    parts = _REVEALED.fullmatch(revealed)
    if parts is None or (parts[1] == "header" and not _HEADER_NAME.fullmatch(parts[2])):
        raise SettingsError(f"audit-reveal: `{revealed}` cannot be; write header:x-client, in lower case, or claim:sub")
    if parts[1] == "header" and (parts[2] in NEVER_REVEALED or parts[2].startswith(OWN_PREFIX)):
        raise SettingsError(f"audit-reveal: header `{parts[2]}` holds secrets, and is never recorded; leave it out")


def _named(kind: str, revealed: tuple[str, ...]) -> tuple[str, ...]:
    prefix = f"{kind}:"
    return tuple(each.removeprefix(prefix) for each in revealed if each.startswith(prefix))
