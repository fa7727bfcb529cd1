"""Where something listens, as gRPC writes it: the one reader of addresses."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final, NamedTuple

from cors_authz.policy.finding import shown

LAST_PORT: Final = 65535

MAX_SOCKET_PATH_BYTES: Final = 107
"""Of `sockaddr_un.sun_path`, less the byte that ends it: https://man7.org/linux/man-pages/man7/unix.7.html."""


class Address(NamedTuple):
    """Where something listens: a host and a TCP port, or the path of a Unix socket (then host is "" and port 0)."""

    host: str
    port: int
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read an address as gRPC writes it.

        Args:
            text: `HOST:PORT`, `[IPv6]:PORT`, `unix:PATH` or `unix://PATH`.

        Raises:
            ValueError: It is none of these; the text says what to write.

        Spec: https://github.com/grpc/grpc/blob/master/doc/naming.md.
        """
        if text.startswith("unix:"):
            return cls._of_path(text)
        host, _, port = text.rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        name = host[1:-1] if bracketed else host
        if not name or not name.isprintable() or bracketed != (":" in name) or not _is_port(port):
            raise ValueError(f"`{shown(text)}` is not an address; write HOST:PORT, [IPv6]:PORT or unix:PATH")
        return cls(name, int(port))

    @classmethod
    def _of_path(cls, text: str) -> Address:
        path = text.removeprefix("unix:")
        path = path.removeprefix("//") if path.startswith("///") else path
        if not path or path.startswith("//"):
            raise ValueError(f"`{shown(text)}` names no Unix socket; write unix:PATH")
        # Bytes that are no UTF-8 among them, which gRPC cannot be told.
        if not path.isprintable():
            raise ValueError(f"`{shown(text)}` has characters that no path should have; write unix:PATH")
        return cls("", 0, path)

    def of_worker(self, number: int) -> Address:
        """Give the address of one of several workers, numbered from 0.

        Returns: the port that is so much higher, or the path with `-number`; port 0, for which the system chooses,
            stays.
        """
        if self.path:
            return self._replace(path=f"{self.path}-{number}")
        return self._replace(port=self.port and self.port + number)

    def __str__(self) -> str:
        """Write the address as gRPC and `parse` read it."""
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def is_ip(host: str) -> bool:
    """Whether a host is an IP address, without brackets."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _is_port(text: str) -> bool:
    return len(text) <= len(str(LAST_PORT)) and text.isascii() and text.isdecimal() and int(text) <= LAST_PORT
