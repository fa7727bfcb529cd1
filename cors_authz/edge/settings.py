"""The settings of the service, validated once at start."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from pathlib import Path


class SettingsError(Exception):
    """A setting that cannot be; the message names it and what it takes."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How the service runs. `drain_seconds` is for Envoy to notice, `grace_seconds` for checks that are under way."""

    policy: Path
    environment: str
    listen: str
    threads: int
    drain_seconds: float
    grace_seconds: float

    def __post_init__(self) -> None:
        """Refuse an address that no server can listen on, and times that are none.

        Raises: SettingsError.
        """
        for name, seconds in (("drain-seconds", self.drain_seconds), ("grace-seconds", self.grace_seconds)):
            # Not-a-number is within no range, and passes every test that asks for what is outside of one.
            if not 0 <= seconds < inf:
                raise SettingsError(f"{name}: `{seconds}` is no time; write a number of seconds, 0 or more")
        if self.listen.startswith("unix:"):
            if not self.listen.removeprefix("unix:").startswith("/"):
                raise SettingsError(f"listen: `{self.listen}` has no absolute path; write unix:/run/cors-authz.sock")
            return
        host, colon, port = self.listen.rpartition(":")
        if not colon or not host or not (port.isascii() and port.isdecimal()) or int(port) > 65535:  # noqa: PLR2004 - the highest port
            raise SettingsError(f"listen: `{self.listen}` is no address; write host:port or unix:/path")
